"""The services of a member: as those of a daemon that is alone, but what is another member's goes there."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orion_registry.core.membership import Member
from orion_registry.core.model import Actor
from orion_registry.core.selection.leases import Lease
from orion_registry.errors import RegistryError, Unavailable
from orion_registry.runtime.clustered import ClusterCoordinator
from orion_registry.runtime.clustered_selections import ClusterSelections, gone
from orion_registry.runtime.selections import Queued, Wanted
from orion_registry.server.balancer_service import BalancerService
from orion_registry.server.cluster_methods import RENEW
from orion_registry.server.clustered_routes import ClusterRouteStreams
from orion_registry.server.door import Door
from orion_registry.server.methods import BALANCER_SERVICE, MONITOR_SERVICE, REGISTRY_METHODS, REGISTRY_SERVICE
from orion_registry.server.monitor_service import MonitorService
from orion_registry.server.peers import AllPeers, MemberGone
from orion_registry.server.registry_service import RegistryService
from orion_registry.server.wrapper import Handlers
from orion_registry.wire.balancer import Origin
from orion_registry.wire.balancer_answers import encode_renewal
from orion_registry.wire.decode import decode_checked_ref
from orion_registry.wire.packing import blob
from orion_registry.wire.spans import span_of
from orion_registry_pb.v1 import balancer_pb2, monitor_pb2, registry_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

_SEND_HEARTBEAT = next(method for method in REGISTRY_METHODS if method.name == "SendHeartbeat")

PROBE_S = 65.0
"""How long a check that is run now may take at another member: the longest time limit of one, and some."""


class ClusterRegistryService(RegistryService):
    """See `RegistryService`."""

    def __init__(self, coordinator: ClusterCoordinator, peers: AllPeers, door: Door) -> None:
        super().__init__(coordinator)
        self._cluster = coordinator
        self._peers = peers
        self._judge_beat = door.check(_SEND_HEARTBEAT)

    def discover(self, request: registry_pb2.DiscoverServicesRequest, actor: Actor) -> bytes:
        """DiscoverServices. What is appended is added to the message: stale_for."""
        return super().discover(request, actor) + _stale(5, self._cluster.stale_s)

    async def get(self, request: registry_pb2.GetServiceRequest, actor: Actor) -> bytes:  # type: ignore[override]
        """GetService."""
        return super().get(request, actor) + _stale(4, self._cluster.stale_s)

    async def update_status(  # type: ignore[override]  # the wrapper takes either
        self, request: registry_pb2.UpdateServiceStatusRequest, actor: Actor
    ) -> bytes:
        """UpdateServiceStatus."""
        owner = self._cluster.membership.owner_of(request.ref.service_id)
        if owner is None:
            return super().update_status(request, actor)
        path = f"/{REGISTRY_SERVICE}/UpdateServiceStatus"
        return await self._peers.relay(owner, path, request.SerializeToString(), actor)

    async def send_heartbeat(  # type: ignore[override]
        self, request: registry_pb2.SendHeartbeatRequest, actor: Actor
    ) -> bytes:
        """SendHeartbeat: whoever beats here comes to this member."""
        entry = self._cluster.registry.find(request.ref.service_id)
        if entry is None or entry.owner is not None:
            await self._cluster.take_for([decode_checked_ref(request.ref)], actor)
            self._judge_beat(request, actor)  # once more, if it was not known here when the call came in
        return super().send_heartbeat(request, actor)


class ClusterMonitorService(MonitorService):
    """See `MonitorService`."""

    def __init__(self, coordinator: ClusterCoordinator, peers: AllPeers) -> None:
        super().__init__(coordinator)
        self._membership = coordinator.membership
        self._peers = peers

    async def check_service_health(self, request: monitor_pb2.CheckServiceHealthRequest, actor: Actor) -> bytes:
        """CheckServiceHealth: the owner runs it."""
        owner = self._membership.owner_of(request.service_id)
        if owner is None:
            return await super().check_service_health(request, actor)
        path = f"/{MONITOR_SERVICE}/CheckServiceHealth"
        return await self._peers.relay(owner, path, request.SerializeToString(), actor, PROBE_S)

    async def get_service_health(  # type: ignore[override]
        self, request: monitor_pb2.GetServiceHealthRequest, actor: Actor
    ) -> bytes:
        """GetServiceHealth: the owner knows most; without it, what is known here."""
        owner = self._membership.owner_of(request.service_id)
        if owner is not None:
            path = f"/{MONITOR_SERVICE}/GetServiceHealth"
            try:
                return await self._peers.relay(owner, path, request.SerializeToString(), actor)
            except RegistryError:
                pass
        return super().get_service_health(request, actor)


class ClusterBalancerService(BalancerService):
    """See `BalancerService`. Leases of other members are released, renewed and learnt from there."""

    def __init__(self, coordinator: ClusterCoordinator, selections: ClusterSelections, peers: AllPeers) -> None:
        super().__init__(coordinator)
        self._cluster_selections = selections
        self._membership = coordinator.membership
        self._peers = peers
        self._routes = ClusterRouteStreams(self)

    # What Route does as well.

    async def select(self, wanted: Wanted, queued: Queued) -> tuple[Lease, ...]:
        """See `ClusterSelections.select_or_wait`."""
        return await self._cluster_selections.select_or_wait(wanted, queued)

    def answered(self, wanted: Wanted) -> tuple[Lease, ...]:
        """See `ClusterSelections.answered`."""
        return self._cluster_selections.answered(wanted.request)

    def is_another(self, command: balancer_pb2.RouteCommand) -> bool:
        """Whether another member has to answer a command, or may have to."""
        match command.WhichOneof("command"):
            case "release":
                return self._cluster_selections.owner(command.release.selection_id) is not None
            case "renew":
                return any(self._cluster_selections.owner(one) is not None for one in command.renew.selection_ids)
            case _:
                return self._membership.owner_of(command.report.service_id) is not None

    def granter(self, selection_id: str) -> Member | None:
        """The other member that has granted a lease; None = this one."""
        return self._cluster_selections.owner(selection_id)

    def _take_back(self, lease: Lease) -> None:
        """See `BalancerService`."""
        if (member := self.granter(lease.selection_id)) is not None:
            self._peers.give_back(member, lease.selection_id, lease.caller)
        else:
            super()._take_back(lease)

    def end_stream(self, stream: str, granters: Iterable[Member]) -> None:
        """A Route stream is over: leases of others that live on it last for a grace, unless they are renewed."""
        for member in granters:
            self._peers.end_stream(member, stream)

    # Callers.

    async def select_service(self, request: balancer_pb2.SelectServiceRequest, actor: Actor) -> bytes:
        """SelectService."""
        wanted = self._wanted(request, Origin(identity=actor.identity))
        return self.selected(await self._cluster_selections.select_or_wait(wanted))

    async def release_service(  # type: ignore[override]
        self, request: balancer_pb2.ReleaseServiceRequest, actor: Actor
    ) -> bytes:
        """ReleaseService."""
        member = self._cluster_selections.owner(request.selection_id)
        if member is None:
            return super().release_service(request, actor)
        self._cluster_selections.ended(request.selection_id)
        try:
            return await self._relay(member, "ReleaseService", request, actor)
        except Unavailable as error:
            if self._peers.reachable(member.life) and not isinstance(error, MemberGone):
                raise
            return b""  # it is gone, and the lease with it; or it is cut off, and the lease ends by its ttl

    async def renew_selections(  # type: ignore[override]
        self, request: balancer_pb2.RenewSelectionsRequest, actor: Actor, stream: str = ""
    ) -> bytes:
        """RenewSelections, each at the member that granted it."""
        return await self.renewed(request, actor, stream)

    async def renewed(self, request: balancer_pb2.RenewSelectionsRequest, actor: Actor, stream: str) -> bytes:
        """The bytes of a RenewSelectionsResponse."""
        of_others: dict[str, tuple[Member, list[str]]] = {}
        own = balancer_pb2.RenewSelectionsRequest()
        own.CopyFrom(request)
        del own.selection_ids[:]
        for selection_id in request.selection_ids:
            member = self._cluster_selections.owner(selection_id)
            if member is None:
                own.selection_ids.append(selection_id)
            else:
                of_others.setdefault(member.life, (member, []))[1].append(selection_id)
        parts = []
        if own.selection_ids or not of_others:
            parts.append(self.renew(own, actor.identity, self._selections.now(), stream))
        for member, selection_ids in of_others.values():
            part = balancer_pb2.RenewSelectionsRequest()
            part.CopyFrom(own)
            del part.selection_ids[:]
            part.selection_ids.extend(selection_ids)
            try:
                parts.append(await self._relay(member, RENEW, part, actor, stream))
            except RegistryError as error:
                over = isinstance(error, MemberGone)
                parts += [encode_renewal(one, gone(one) if over else error) for one in selection_ids]
        return b"".join(parts)

    async def report_outcome(  # type: ignore[override]
        self, request: balancer_pb2.ReportOutcomeRequest, actor: Actor
    ) -> bytes:
        """ReportOutcome: the owner learns from it."""
        owner = self._membership.owner_of(request.service_id)
        if owner is None:
            return super().report_outcome(request, actor)
        return await self._relay(owner, "ReportOutcome", request, actor)

    async def _relay(self, member: Member, name: str, request: "Message", actor: Actor, stream: str = "") -> bytes:
        path = f"/{BALANCER_SERVICE}/{name}"
        return await self._peers.relay(member, path, request.SerializeToString(), actor, stream=stream)


RELAYED = (
    f"/{REGISTRY_SERVICE}/UpdateServiceStatus",
    f"/{MONITOR_SERVICE}/CheckServiceHealth",
    f"/{MONITOR_SERVICE}/GetServiceHealth",
    f"/{BALANCER_SERVICE}/ReleaseService",
    f"/{BALANCER_SERVICE}/RenewSelections",
    f"/{BALANCER_SERVICE}/ReportOutcome",
)
"""Methods that a member runs for another."""


def local_handlers(coordinator: ClusterCoordinator) -> Handlers:
    """What is relayed to this member is its own: it goes no further."""
    return {
        **RegistryService(coordinator).handlers,
        **MonitorService(coordinator).handlers,
        **BalancerService(coordinator).handlers,
    }


def _stale(field: int, seconds: float) -> bytes:
    return blob(field, span_of(round(seconds, 3)).SerializeToString()) if seconds else b""
