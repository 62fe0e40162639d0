"""Who gets which answer: the whole of access control as one table. It is written by hand, from the documentation, and
not made from the method table of the code: where they differ, one of them is wrong.

Cells are reasons; their codes are those of the closed list. Columns that are not here: callers that nobody knows (no
token; garbage; an expired, a revoked one) get NO_IDENTITY, and the right one OK, but for rows marked `open`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.empty_pb2 import Empty
from grpc_reflection.v1alpha import reflection_pb2

from orion_registry_pb.v1 import admin_pb2, balancer_pb2, monitor_pb2, registry_pb2
from tests.security import requests as ask
from tests.security.requests import NAMESPACE, Maker

COLUMNS: Final = ("neighbour", "foreign", "viewer", "caller", "agent", "operator")
"""neighbour: roles agent, caller, viewer in the namespace, but another identity than the owner's. foreign: every role,
in another namespace. The rest: that one role in the namespace; caller and agent as the owner, others as somebody."""

TABLE: Final = """
RPC                                  neighbour  foreign          viewer       caller       agent        operator
Registry.RegisterService             NOT_OWNER  NOT_ALLOWED      NOT_ALLOWED  NOT_ALLOWED  OK           NOT_ALLOWED
Registry.UnregisterService           NOT_OWNER  NO_SUCH_SERVICE  NOT_ALLOWED  NOT_ALLOWED  OK           NOT_ALLOWED
Registry.GetService                  OK         NO_SUCH_SERVICE  OK           OK           OK           OK
Registry.UpdateService               NOT_OWNER  NO_SUCH_SERVICE  NOT_ALLOWED  NOT_ALLOWED  OK           NOT_ALLOWED
Registry.UpdateServiceStatus         NOT_OWNER  NO_SUCH_SERVICE  NOT_ALLOWED  NOT_ALLOWED  OK           NOT_ALLOWED
Registry.DiscoverServices            OK         NOT_ALLOWED      OK           OK           OK           OK
Registry.WatchServices               OK         NOT_ALLOWED      OK           OK           OK           OK
Registry.Heartbeat                   NOT_OWNER  NO_SUCH_SERVICE  NOT_ALLOWED  NOT_ALLOWED  OK           NOT_ALLOWED
Registry.SendHeartbeat               NOT_OWNER  NO_SUCH_SERVICE  NOT_ALLOWED  NOT_ALLOWED  OK           NOT_ALLOWED
Balancer.SelectService               OK         NOT_ALLOWED      NOT_ALLOWED  OK           NOT_ALLOWED  NOT_ALLOWED
Balancer.ReleaseService              NOT_OWNER  NOT_OWNER        NOT_ALLOWED  OK           NOT_ALLOWED  NOT_ALLOWED
Balancer.RenewSelections             NOT_OWNER  NOT_OWNER        NOT_ALLOWED  OK           NOT_ALLOWED  NOT_ALLOWED
Balancer.ListSelections              NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED
Balancer.ListSelections:service      OK         NO_SUCH_SERVICE  OK           NOT_ALLOWED  NOT_ALLOWED  OK
Balancer.ReportOutcome               OK         NO_SUCH_SERVICE  NOT_ALLOWED  OK           NOT_ALLOWED  NOT_ALLOWED
Balancer.Route:select                OK         NOT_ALLOWED      NOT_ALLOWED  OK           NOT_ALLOWED  NOT_ALLOWED
Balancer.Route:release               NOT_OWNER  NOT_OWNER        NOT_ALLOWED  OK           NOT_ALLOWED  NOT_ALLOWED
Balancer.Route:renew                 NOT_OWNER  NOT_OWNER        NOT_ALLOWED  OK           NOT_ALLOWED  NOT_ALLOWED
Balancer.Route:report                OK         NO_SUCH_SERVICE  NOT_ALLOWED  OK           NOT_ALLOWED  NOT_ALLOWED
Balancer.ExplainSelection            OK         NOT_ALLOWED      OK           OK           NOT_ALLOWED  OK
Balancer.SetStrategy                 NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED
Balancer.GetBalancerStats            OK         OK               OK           NOT_ALLOWED  NOT_ALLOWED  OK
Balancer.GetServicePerformance       OK         NO_SUCH_SERVICE  OK           OK           NOT_ALLOWED  OK
Monitor.CheckServiceHealth           NOT_OWNER  NO_SUCH_SERVICE  NOT_ALLOWED  NOT_ALLOWED  OK           OK
Monitor.GetServiceHealth             OK         NO_SUCH_SERVICE  OK           OK           OK           OK
Monitor.GetHealthStats               OK         OK               OK           OK           OK           OK
Admin.GetServerInfo                  OK         OK               OK           NOT_ALLOWED  NOT_ALLOWED  OK
Admin.ListEvents                     NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED
Admin.ListEvents:namespace           OK         NOT_ALLOWED      OK           NOT_ALLOWED  NOT_ALLOWED  OK
Admin.ListEvents:service             OK         NO_SUCH_SERVICE  OK           NOT_ALLOWED  NOT_ALLOWED  OK
Admin.WatchEvents                    NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED
Admin.WatchEvents:namespace          OK         NOT_ALLOWED      OK           NOT_ALLOWED  NOT_ALLOWED  OK
Admin.WatchEvents:service            OK         NO_SUCH_SERVICE  OK           NOT_ALLOWED  NOT_ALLOWED  OK
Admin.SetOverlay:key                 NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  OK
Admin.SetOverlay:service             NOT_ALLOWED  NO_SUCH_SERVICE  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  OK
Admin.SetOverlay:selector            NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  OK
Admin.ListOverlays                   NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED
Admin.ListOverlays:namespace         OK         NOT_ALLOWED      OK           NOT_ALLOWED  NOT_ALLOWED  OK
Admin.RemoveService                  NOT_ALLOWED  NO_SUCH_SERVICE  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  OK
Admin.ListAuditRecords               NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED
Admin.ExportSnapshot                 NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED
Admin.ImportSnapshot                 NOT_ALLOWED  NOT_ALLOWED    NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED  NOT_ALLOWED
ServerReflection.ServerReflectionInfo            OK  OK  OK  OK  OK  OK
ServerReflection (v1alpha).ServerReflectionInfo  OK  OK  OK  OK  OK  OK
Health.Check                         open  open  open  open  open  open
Health.List                          open  open  open  open  open  open
Health.Watch                         open  open  open  open  open  open
"""

_Anything = Empty()
"""A message without a field: what every RPC that needs none takes."""

REQUESTS: Final[Mapping[str, Maker]] = {
    "RegisterService": ask.register,
    "UnregisterService": ask.with_ref(registry_pb2.UnregisterServiceRequest),
    "GetService": ask.with_id(registry_pb2.GetServiceRequest),
    "UpdateService": ask.update,
    "UpdateServiceStatus": ask.with_ref(registry_pb2.UpdateServiceStatusRequest, status=1),
    "DiscoverServices": ask.with_selector(registry_pb2.DiscoverServicesRequest),
    "WatchServices": ask.with_selector(registry_pb2.WatchServicesRequest),
    "Heartbeat": ask.hello,
    "SendHeartbeat": ask.with_ref(registry_pb2.SendHeartbeatRequest, ask.TTL),
    "SelectService": ask.with_selector(balancer_pb2.SelectServiceRequest),
    "ReleaseService": ask.release,
    "RenewSelections": ask.renew,
    "ListSelections:service": ask.with_id(balancer_pb2.ListSelectionsRequest),
    "ReportOutcome": ask.with_id(balancer_pb2.ReportOutcomeRequest),
    "Route:select": ask.command("select", ask.with_selector(balancer_pb2.SelectServiceRequest)),
    "Route:release": ask.command("release", ask.release),
    "Route:renew": ask.command("renew", ask.renew),
    "Route:report": ask.command("report", ask.with_id(balancer_pb2.ReportOutcomeRequest)),
    "ExplainSelection": ask.explain,
    "SetStrategy": ask.plain(balancer_pb2.SetStrategyRequest(capability="other", strategy=1)),  # type: ignore[arg-type] # a number does as well
    "GetServicePerformance": ask.with_id(balancer_pb2.GetServicePerformanceRequest),
    "CheckServiceHealth": ask.with_id(
        monitor_pb2.CheckServiceHealthRequest, health_check_url="http://127.0.0.1:1/health"
    ),
    "GetServiceHealth": ask.with_id(monitor_pb2.GetServiceHealthRequest),
    "ListEvents:namespace": ask.plain(admin_pb2.ListEventsRequest(namespace=NAMESPACE)),
    "ListEvents:service": ask.with_id(admin_pb2.ListEventsRequest),
    "WatchEvents:namespace": ask.plain(admin_pb2.WatchEventsRequest(namespace=NAMESPACE)),
    "WatchEvents:service": ask.with_id(admin_pb2.WatchEventsRequest),
    "SetOverlay:key": ask.overlay_by_key,
    "SetOverlay:service": ask.overlay_by_id,
    "SetOverlay:selector": ask.with_selector(admin_pb2.SetOverlayRequest, mode=2),
    "ListOverlays:namespace": ask.plain(admin_pb2.ListOverlaysRequest(namespace=NAMESPACE)),
    "RemoveService": ask.with_id(admin_pb2.RemoveServiceRequest),
    "ImportSnapshot": ask.snapshot,
    "ServerReflectionInfo": ask.plain(reflection_pb2.ServerReflectionRequest(list_services="*")),
}
"""What is sent, by method and, where it matters, what the message names. What is not here is empty."""

READS: Final[Mapping[str, int]] = {"Heartbeat": 2}
"""How many answers tell what came of it, if not one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One RPC, or one form of its message. expected: reasons by column, of `COLUMNS`."""

    name: str
    expected: Mapping[str, str]

    @property
    def rpc(self) -> str:
        """Short name of the RPC."""
        return self.name.partition(":")[0]

    @property
    def is_open(self) -> bool:
        """Whether it answers whoever can connect."""
        return set(self.expected.values()) == {"open"}

    @property
    def make(self) -> Maker:
        """Makes its messages."""
        return REQUESTS.get(self.name.rpartition(".")[2], ask.plain(_Anything))

    @property
    def reads(self) -> int:
        """How many answers to read."""
        return READS.get(self.rpc.rpartition(".")[2], 1)


def rows() -> tuple[Row, ...]:
    """The table."""
    lines = [line for line in TABLE.splitlines() if line][1:]
    return tuple(_row(line) for line in lines)


def _row(line: str) -> Row:
    name, *cells = line.rsplit(maxsplit=len(COLUMNS))
    return Row(name=name.strip(), expected=dict(zip(COLUMNS, cells, strict=True)))
