"""The method table: every RPC that the daemon serves, who may call it, what it costs, whether it is audited."""

from dataclasses import dataclass
from enum import Enum
from functools import partial

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from orion_registry.core.model import Role
from orion_registry_pb.v1 import admin_pb2, balancer_pb2, heartbeat_pb2, monitor_pb2, registry_pb2

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


class Cost(Enum):
    """What a call costs the daemon; limits on rates will be set by class."""

    READ = "read"
    """Memory only, bounded by the answer's size."""
    REPORT = "report"
    """Memory only, but watchers may hear of it."""
    WRITE = "write"
    """Waits for the store."""
    PROBE = "probe"
    """Knocks at a service, and waits for what it says."""
    STREAM = "stream"
    """Holds a stream open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One RPC.

    Attributes:
        service: full name of its service.
        name: its own name.
        kind: how many messages go each way.
        request: class of the messages that come in.
        roles: who may call; enforced once identities are configured.
        cost: what a call costs.
        audited: whether every call and denial goes into the audit chain.
        always: whether it answers while the registry starts and stops.
    """

    service: str
    name: str
    kind: Kind
    request: type[Message]
    roles: frozenset[Role]
    cost: Cost
    audited: bool = False
    always: bool = False

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
    cost: Cost,
    kind: Kind = Kind.UNARY,
    audited: bool = False,
) -> Method:
    return Method(service=service, name=name, kind=kind, request=request, roles=roles, cost=cost, audited=audited)


_registry = partial(_method, REGISTRY_SERVICE)
_balancer = partial(_method, BALANCER_SERVICE)


def _monitor(name: str, request: type[Message], roles: frozenset[Role], cost: Cost, audited: bool = False) -> Method:
    return Method(
        service=MONITOR_SERVICE,
        name=name,
        kind=Kind.UNARY,
        request=request,
        roles=roles,
        cost=cost,
        audited=audited,
    )


def _admin(name: str, request: type[Message], cost: Cost, kind: Kind = Kind.UNARY) -> Method:
    return Method(
        service=ADMIN_SERVICE, name=name, kind=kind, request=request, roles=_OPERATORS, cost=cost, audited=True
    )


def _look(name: str, request: type[Message], cost: Cost, kind: Kind = Kind.UNARY, always: bool = False) -> Method:
    return Method(
        service=ADMIN_SERVICE, name=name, kind=kind, request=request, roles=_VIEWERS, cost=cost, always=always
    )


def _always(service: str, name: str, request: type[Message], cost: Cost, kind: Kind) -> Method:
    return Method(service=service, name=name, kind=kind, request=request, roles=_ALL, cost=cost, always=True)


REGISTRY_METHODS = (
    _registry("RegisterService", registry_pb2.RegisterServiceRequest, _AGENTS, Cost.WRITE, audited=True),
    _registry("UnregisterService", registry_pb2.UnregisterServiceRequest, _AGENTS, Cost.WRITE, audited=True),
    _registry("GetService", registry_pb2.GetServiceRequest, _ALL, Cost.READ),
    _registry("UpdateService", registry_pb2.UpdateServiceRequest, _AGENTS, Cost.WRITE, audited=True),
    _registry("UpdateServiceStatus", registry_pb2.UpdateServiceStatusRequest, _AGENTS, Cost.REPORT, audited=True),
    _registry("DiscoverServices", registry_pb2.DiscoverServicesRequest, _ALL, Cost.READ),
    _registry("WatchServices", registry_pb2.WatchServicesRequest, _ALL, Cost.STREAM, Kind.SERVER_STREAM),
    _registry("Heartbeat", heartbeat_pb2.HeartbeatRequest, _AGENTS, Cost.STREAM, Kind.BIDI),
    _registry("SendHeartbeat", registry_pb2.SendHeartbeatRequest, _AGENTS, Cost.REPORT),
)

BALANCER_METHODS = (
    _balancer("SelectService", balancer_pb2.SelectServiceRequest, _CALLERS, Cost.REPORT),
    _balancer("ReleaseService", balancer_pb2.ReleaseServiceRequest, _CALLERS, Cost.REPORT),
    _balancer("RenewSelections", balancer_pb2.RenewSelectionsRequest, _CALLERS, Cost.REPORT),
    _balancer("ListSelections", balancer_pb2.ListSelectionsRequest, _VIEWERS, Cost.READ),
    _balancer("ReportOutcome", balancer_pb2.ReportOutcomeRequest, _CALLERS, Cost.REPORT),
    _balancer("Route", balancer_pb2.RouteRequest, _CALLERS, Cost.STREAM, Kind.BIDI),
    _balancer("ExplainSelection", balancer_pb2.ExplainSelectionRequest, _LOOKERS, Cost.READ),
    _balancer("SetStrategy", balancer_pb2.SetStrategyRequest, _OPERATORS, Cost.REPORT, audited=True),
    _balancer("GetBalancerStats", balancer_pb2.GetBalancerStatsRequest, _VIEWERS, Cost.READ),
    _balancer("GetServicePerformance", balancer_pb2.GetServicePerformanceRequest, _LOOKERS, Cost.READ),
)

MONITOR_METHODS = (
    _monitor("CheckServiceHealth", monitor_pb2.CheckServiceHealthRequest, _MINDERS, Cost.PROBE, audited=True),
    _monitor("GetServiceHealth", monitor_pb2.GetServiceHealthRequest, _ALL, Cost.READ),
    _monitor("GetHealthStats", monitor_pb2.GetHealthStatsRequest, _ALL, Cost.READ),
)

ADMIN_METHODS = (
    _look("GetServerInfo", admin_pb2.GetServerInfoRequest, Cost.READ, always=True),
    _look("ListEvents", admin_pb2.ListEventsRequest, Cost.READ),
    _look("WatchEvents", admin_pb2.WatchEventsRequest, Cost.STREAM, Kind.SERVER_STREAM),
    _admin("SetOverlay", admin_pb2.SetOverlayRequest, Cost.WRITE),
    _look("ListOverlays", admin_pb2.ListOverlaysRequest, Cost.READ),
    _admin("RemoveService", admin_pb2.RemoveServiceRequest, Cost.WRITE),
    _admin("ExportSnapshot", admin_pb2.ExportSnapshotRequest, Cost.STREAM, Kind.SERVER_STREAM),
    _admin("ImportSnapshot", admin_pb2.ImportSnapshotRequest, Cost.WRITE, Kind.CLIENT_STREAM),
)

_LIST_REQUEST: type[Message] = health_pb2.HealthListRequest  # type: ignore[attr-defined] # newer than its types

HEALTH_METHODS = (
    _always(HEALTH_SERVICE, "Check", health_pb2.HealthCheckRequest, Cost.READ, Kind.UNARY),
    _always(HEALTH_SERVICE, "List", _LIST_REQUEST, Cost.READ, Kind.UNARY),
    _always(HEALTH_SERVICE, "Watch", health_pb2.HealthCheckRequest, Cost.STREAM, Kind.SERVER_STREAM),
)

# grpcio-reflection ships v1alpha alone; v1 has the same messages on the wire (gRFC A15).
REFLECTION_METHODS = tuple(
    _always(service, "ServerReflectionInfo", reflection_pb2.ServerReflectionRequest, Cost.STREAM, Kind.BIDI)
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
