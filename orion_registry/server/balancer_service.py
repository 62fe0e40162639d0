"""BalancerService: each handler decodes, makes one call to the coordinator's selections, and encodes."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from orion_registry.core import limits
from orion_registry.core.access.rights import Role
from orion_registry.core.holder import name_of
from orion_registry.core.model import Actor, Now
from orion_registry.core.paging import page_size
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.scopes import Scope
from orion_registry.core.validation import check_id
from orion_registry.errors import InvalidArgument, Reason, RegistryError, shown
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.runtime.entropy import seeded_draw
from orion_registry.runtime.selections import Selections
from orion_registry.server.methods import BALANCER_SERVICE
from orion_registry.server.route_stream import RouteStreams
from orion_registry.server.wrapper import Handlers
from orion_registry.wire.balancer import (
    Origin,
    SelectDecoder,
    decode_outcome,
    decode_renewal,
    decode_response_time,
    decode_scope,
    decode_strategy,
)
from orion_registry.wire.balancer_answers import (
    encode_explanation,
    encode_listed,
    encode_performance,
    encode_renewal,
    encode_selection,
    encode_stats,
    encode_strategy_set,
)
from orion_registry_pb.v1 import balancer_pb2 as pb

_WHO_LOOK = frozenset({Role.OPERATOR, Role.VIEWER})


class BalancerService:
    """Handlers of the RPCs, by their names. Errors are the core's own; the wrapper makes statuses of them."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._selections = coordinator.selections
        self._balancing = coordinator.registry.balancing
        self._wanted = SelectDecoder()
        self._routes = RouteStreams(self)

    @property
    def handlers(self) -> Handlers:
        """What `build_handlers` takes."""
        return {
            BALANCER_SERVICE: {
                "SelectService": self.select_service,
                "ReleaseService": self.release_service,
                "RenewSelections": self.renew_selections,
                "ListSelections": self.list_selections,
                "ReportOutcome": self.report_outcome,
                "Route": self._routes.serve,
                "ExplainSelection": self.explain_selection,
                "SetStrategy": self.set_strategy,
                "GetBalancerStats": self.get_balancer_stats,
                "GetServicePerformance": self.get_service_performance,
            }
        }

    # Callers.

    async def select_service(self, request: pb.SelectServiceRequest, actor: Actor) -> bytes:
        """SelectService."""
        leases = await self._selections.select_or_wait(self._wanted(request, Origin(identity=actor.identity)))
        return self.selected(leases)

    def release_service(self, request: pb.ReleaseServiceRequest, actor: Actor) -> bytes:
        """ReleaseService."""
        self.release(request, actor.identity, self._selections.now())
        return b""

    def renew_selections(self, request: pb.RenewSelectionsRequest, actor: Actor, stream: str = "") -> bytes:
        """RenewSelections; stream: another member's Route stream, which they live on from now on."""
        return self.renew(request, actor.identity, self._selections.now(), stream)

    def report_outcome(self, request: pb.ReportOutcomeRequest, _actor: Actor) -> bytes:
        """ReportOutcome."""
        self.report(request, self._selections.now())
        return b""

    # What Route does as well.

    @property
    def coordinator(self) -> Coordinator:
        """Whom they ask."""
        return self._coordinator

    @property
    def selections(self) -> Selections:
        """Whom they ask about selections."""
        return self._selections

    @property
    def wanted(self) -> SelectDecoder:
        """Decodes what callers want."""
        return self._wanted

    def selected(self, leases: tuple[Lease, ...]) -> bytes:
        """A SelectServiceResponse. Leases that would make it exceed its size are not granted after all."""
        balancing = self._balancing
        if len(leases) == 1:  # nearly always
            lease = leases[0]
            fresh = lease.request is None  # else it may be the answer to a retry
            return encode_selection(lease, balancing.entry_of(lease), lease.ttl_s if fresh else balancing.left_s(lease))
        parts: list[bytes] = []
        room = limits.PAGE_BYTES
        for lease in leases:
            part = encode_selection(lease, balancing.entry_of(lease), balancing.left_s(lease))
            room -= len(part)
            if room < 0 and parts:
                self._take_back(lease)
            else:
                parts.append(part)
        return b"".join(parts)

    def _take_back(self, lease: Lease) -> None:
        """A lease is not told to its caller."""
        self._balancing.drop(lease)

    def release(self, request: pb.ReleaseServiceRequest, identity: str, now: Now) -> None:
        """Ends a lease. Raises RegistryError."""
        outcome, time_s = decode_outcome(request.outcome), decode_response_time(request)
        self._balancing.release(request.selection_id, identity, now, outcome, time_s)

    def renew(self, request: pb.RenewSelectionsRequest, identity: str, now: Now, stream: str = "") -> bytes:
        """Renews leases, each for itself: the bytes of a RenewSelectionsResponse. Raises InvalidArgument."""
        selection_ids, ttl_s = decode_renewal(request)
        parts: list[bytes] = []
        for selection_id in selection_ids:
            outcome: float | RegistryError
            try:
                outcome = self._balancing.renew(selection_id, identity, now, ttl_s, stream).ttl_s
            except RegistryError as error:
                outcome = error
            parts.append(encode_renewal(selection_id, outcome))
        return b"".join(parts)

    def report(self, request: pb.ReportOutcomeRequest, now: Now) -> None:
        """Takes an outcome. Raises RegistryError."""
        outcome, time_s = decode_outcome(request.outcome), decode_response_time(request)
        self._balancing.report(check_id("service_id", request.service_id), outcome, time_s, now)

    # Those who look, and operators.

    def list_selections(self, request: pb.ListSelectionsRequest, _actor: Actor) -> bytes:
        """ListSelections."""
        if request.service_id:
            check_id("service_id", request.service_id)
        if request.caller:
            check_id("caller", request.caller)
        size = page_size(request.page_size)
        after = _after(request.page_token)
        page = list(islice(self._listed(request, after), size + 1))
        token = f"{page[size - 1].ordinal:x}" if len(page) > size else ""
        balancing = self._balancing
        return encode_listed(((lease, balancing.age_s(lease), balancing.left_s(lease)) for lease in page[:size]), token)

    def _listed(self, request: pb.ListSelectionsRequest, after: int) -> Iterator[Lease]:
        return (
            lease
            for lease in self._balancing.open_leases(request.service_id)
            if lease.ordinal > after and (not request.caller or name_of(lease) == request.caller)
        )

    def explain_selection(self, request: pb.ExplainSelectionRequest, actor: Actor) -> bytes:
        """ExplainSelection."""
        wanted = self._wanted(request.request, Origin(identity=actor.identity))
        pool = self._selections.pool(wanted)
        now, draw = self._selections.now(), seeded_draw(request.seed)
        return encode_explanation(self._balancing.explain(pool, wanted.request, now, draw), len(pool.line))

    def set_strategy(self, request: pb.SetStrategyRequest, actor: Actor) -> bytes:
        """SetStrategy."""
        strategy = decode_strategy("strategy", request.strategy)
        scope = decode_scope(request)
        answer = encode_strategy_set(self._balancing.set_strategy(scope, strategy))
        where = f"service_name {scope.service_name}" if scope.service_name else f"capability {scope.capability}"
        target = "none" if strategy is None else strategy.name
        if scope.service_name or scope.capability:
            target += f", {where}"
        self.coordinator.audit.did(actor, "SetStrategy", target=target)
        return answer

    def get_balancer_stats(self, _request: pb.GetBalancerStatsRequest, actor: Actor) -> bytes:
        """GetBalancerStats. Names of services and capabilities are for those who may look everywhere."""
        stats = self._balancing.stats
        if not actor.rights.everywhere(_WHO_LOOK):
            stats = replace(stats, scopes={scope: name for scope, name in stats.scopes.items() if scope == Scope()})
        return encode_stats(stats, self._selections.streams)

    def get_service_performance(self, request: pb.GetServicePerformanceRequest, _actor: Actor) -> bytes:
        """GetServicePerformance."""
        return encode_performance(self._balancing.slots_of(check_id("service_id", request.service_id)))


def _after(token: str) -> int:
    try:
        return int(token, 16) if token else 0
    except ValueError:
        message = f"page_token: must be the next_page_token of an answer, got {shown(token)}"
        raise InvalidArgument(Reason.BAD_PAGE_TOKEN, message) from None
