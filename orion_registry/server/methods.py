"""The method table: every RPC that the daemon serves, who may call it, what it costs, whether it is audited."""

from dataclasses import dataclass
from enum import Enum
from functools import partial

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from orion_registry.core.access.cost import Cost
from orion_registry.core.access.rights import EVERYTHING, Role
from orion_registry.core.model import Actor
from orion_registry.errors import PermissionDenied, Reason
from orion_registry.server import scopes
from orion_registry.server.scopes import Scope
from orion_registry_pb.v1 import admin_pb2, audit_pb2, balancer_pb2, heartbeat_pb2, monitor_pb2, registry_pb2

REGISTRY_SERVICE = "orion.registry.v1.RegistryService"
BALANCER_SERVICE = "orion.registry.v1.BalancerService"
MONITOR_SERVICE = "orion.registry.v1.MonitorService"
ADMIN_SERVICE = "orion.registry.v1.AdminService"
HEALTH_SERVICE = "grpc.health.v1.Health"
REFLECTION_SERVICE = "grpc.reflection.v1.ServerReflection"
REFLECTION_ALPHA_SERVICE = "grpc.reflection.v1alpha.ServerReflection"


class Kind(Enum):
    """How many messages go each way."""

    UNARY = "unary"
    SERVER_STREAM = "server stream"
    CLIENT_STREAM = "client stream"
    BIDI = "bidi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One RPC.

    Attributes:
        service: full name of its service.
        name: its own name.
        kind: how many messages go each way.
        request: class of the messages that come in.
        roles: who may call.
        scope: where the caller needs one of the roles.
        cost: what a call costs.
        audited: whether every call and denial goes into the audit chain.
        always: whether it answers while the registry starts and stops.
    """

    service: str
    name: str
    kind: Kind
    request: type[Message]
    roles: frozenset[Role]
    scope: Scope
    cost: Cost
    audited: bool = False
    always: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it answers callers that are not known."""
        return self.scope is scopes.nobody_in_particular

    @property
    def for_members(self) -> bool:
        """Whether the other members of a cluster alone may call it."""
        return self.scope is scopes.members_alone

    def require_role(self, actor: Actor) -> None:
        """Raises PermissionDenied: a caller has none of the roles in any namespace."""
        if not actor.rights.grants:
            message = f"nothing is granted to {actor.identity!r}: add a [[grant]] to access_file of the registry"
            raise PermissionDenied(Reason.NOT_ALLOWED, message)
        if actor.rights is not EVERYTHING and not actor.rights.anywhere(self.roles):
            wanted = ", ".join(sorted(self.roles))
            raise PermissionDenied(Reason.NOT_ALLOWED, f"{self.name} may be called by: {wanted}")

    @property
    def path(self) -> str:
        """What HTTP/2 calls it: /service/name."""
        return f"/{self.service}/{self.name}"


_AGENTS = frozenset({Role.AGENT})
_OPERATORS = frozenset({Role.OPERATOR})
_MINDERS = frozenset({Role.OPERATOR, Role.AGENT})
_VIEWERS = frozenset({Role.OPERATOR, Role.VIEWER})
_CALLERS = frozenset({Role.CALLER})
_LOOKERS = frozenset({Role.OPERATOR, Role.VIEWER, Role.CALLER})
_ALL = frozenset(Role)


def _method(
    service: str,
    name: str,
    request: type[Message],
    roles: frozenset[Role],
    scope: Scope,
    cost: Cost,
    kind: Kind = Kind.UNARY,
    audited: bool = False,
    always: bool = False,
) -> Method:
    return Method(
        service=service,
        name=name,
        kind=kind,
        request=request,
        roles=roles,
        scope=scope,
        cost=cost,
        audited=audited,
        always=always,
    )


_registry = partial(_method, REGISTRY_SERVICE)
_balancer = partial(_method, BALANCER_SERVICE)
_monitor = partial(_method, MONITOR_SERVICE)
_admin = partial(_method, ADMIN_SERVICE)
_health = partial(_method, HEALTH_SERVICE, roles=_ALL, scope=scopes.nobody_in_particular, always=True)

REGISTRY_METHODS = (
    _registry(
        "RegisterService", registry_pb2.RegisterServiceRequest, _AGENTS, scopes.by_service, Cost.WRITE, audited=True
    ),
    _registry(
        "UnregisterService", registry_pb2.UnregisterServiceRequest, _AGENTS, scopes.by_ref, Cost.WRITE, audited=True
    ),
    _registry("GetService", registry_pb2.GetServiceRequest, _ALL, scopes.by_service_id, Cost.READ),
    _registry("UpdateService", registry_pb2.UpdateServiceRequest, _AGENTS, scopes.by_ref, Cost.WRITE, audited=True),
    _registry(
        "UpdateServiceStatus",
        registry_pb2.UpdateServiceStatusRequest,
        _AGENTS,
        scopes.by_ref,
        Cost.REPORT,
        audited=True,
    ),
    _registry("DiscoverServices", registry_pb2.DiscoverServicesRequest, _ALL, scopes.by_selector, Cost.READ),
    _registry(
        "WatchServices", registry_pb2.WatchServicesRequest, _ALL, scopes.by_selector, Cost.STREAM, Kind.SERVER_STREAM
    ),
    _registry("Heartbeat", heartbeat_pb2.HeartbeatRequest, _AGENTS, scopes.by_session, Cost.STREAM, Kind.BIDI),
    _registry("SendHeartbeat", registry_pb2.SendHeartbeatRequest, _AGENTS, scopes.by_ref, Cost.REPORT),
)

BALANCER_METHODS = (
    _balancer("SelectService", balancer_pb2.SelectServiceRequest, _CALLERS, scopes.by_selector, Cost.REPORT),
    _balancer("ReleaseService", balancer_pb2.ReleaseServiceRequest, _CALLERS, scopes.by_lease, Cost.REPORT),
    _balancer("RenewSelections", balancer_pb2.RenewSelectionsRequest, _CALLERS, scopes.by_lease, Cost.REPORT),
    _balancer("ListSelections", balancer_pb2.ListSelectionsRequest, _VIEWERS, scopes.by_listed_service, Cost.READ),
    _balancer("ReportOutcome", balancer_pb2.ReportOutcomeRequest, _CALLERS, scopes.by_service_id, Cost.REPORT),
    _balancer("Route", balancer_pb2.RouteRequest, _CALLERS, scopes.by_command, Cost.STREAM, Kind.BIDI),
    _balancer("ExplainSelection", balancer_pb2.ExplainSelectionRequest, _LOOKERS, scopes.by_asked_selector, Cost.READ),
    _balancer("SetStrategy", balancer_pb2.SetStrategyRequest, _OPERATORS, scopes.everywhere, Cost.REPORT, audited=True),
    _balancer("GetBalancerStats", balancer_pb2.GetBalancerStatsRequest, _VIEWERS, scopes.anywhere, Cost.READ),
    _balancer(
        "GetServicePerformance", balancer_pb2.GetServicePerformanceRequest, _LOOKERS, scopes.by_service_id, Cost.READ
    ),
)

MONITOR_METHODS = (
    _monitor(
        "CheckServiceHealth",
        monitor_pb2.CheckServiceHealthRequest,
        _MINDERS,
        scopes.by_service_minded,
        Cost.PROBE,
        audited=True,
    ),
    _monitor("GetServiceHealth", monitor_pb2.GetServiceHealthRequest, _ALL, scopes.by_service_id, Cost.READ),
    _monitor("GetHealthStats", monitor_pb2.GetHealthStatsRequest, _ALL, scopes.anywhere, Cost.READ),
)

ADMIN_METHODS = (
    _admin("GetServerInfo", admin_pb2.GetServerInfoRequest, _VIEWERS, scopes.anywhere, Cost.READ, always=True),
    _admin("ListEvents", admin_pb2.ListEventsRequest, _VIEWERS, scopes.by_events, Cost.READ),
    _admin(
        "WatchEvents",
        admin_pb2.WatchEventsRequest,
        _VIEWERS,
        scopes.by_events,
        Cost.STREAM,
        Kind.SERVER_STREAM,
    ),
    _admin("SetOverlay", admin_pb2.SetOverlayRequest, _OPERATORS, scopes.by_target, Cost.WRITE, audited=True),
    _admin("ListOverlays", admin_pb2.ListOverlaysRequest, _VIEWERS, scopes.by_listed_namespace, Cost.READ),
    _admin("RemoveService", admin_pb2.RemoveServiceRequest, _OPERATORS, scopes.by_service_id, Cost.WRITE, audited=True),
    _admin("ListAuditRecords", audit_pb2.ListAuditRecordsRequest, _OPERATORS, scopes.everywhere, Cost.READ),
    _admin(
        "ExportSnapshot",
        admin_pb2.ExportSnapshotRequest,
        _OPERATORS,
        scopes.everywhere,
        Cost.STREAM,
        Kind.SERVER_STREAM,
        audited=True,
    ),
    _admin(
        "ImportSnapshot",
        admin_pb2.ImportSnapshotRequest,
        _OPERATORS,
        scopes.everywhere,
        Cost.WRITE,
        Kind.CLIENT_STREAM,
        audited=True,
    ),
)

_LIST_REQUEST: type[Message] = health_pb2.HealthListRequest  # type: ignore[attr-defined] # newer than its types

HEALTH_METHODS = (
    _health("Check", health_pb2.HealthCheckRequest, cost=Cost.READ),
    _health("List", _LIST_REQUEST, cost=Cost.READ),
    _health("Watch", health_pb2.HealthCheckRequest, cost=Cost.STREAM, kind=Kind.SERVER_STREAM),
)

# grpcio-reflection ships v1alpha alone; v1 has the same messages on the wire (gRFC A15).
REFLECTION_METHODS = tuple(
    _method(
        service,
        "ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest,
        _ALL,
        scopes.anywhere,
        Cost.STREAM,
        Kind.BIDI,
        always=True,
    )
    for service in (REFLECTION_SERVICE, REFLECTION_ALPHA_SERVICE)
)

METHODS = (
    *REGISTRY_METHODS,
    *BALANCER_METHODS,
    *MONITOR_METHODS,
    *ADMIN_METHODS,
    *HEALTH_METHODS,
    *REFLECTION_METHODS,
)
