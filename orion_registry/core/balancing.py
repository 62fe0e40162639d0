"""Selection joined with the registry: the front door for callers. Services go in by `candidates`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from orion_registry.core import limits
from orion_registry.core.candidates import Candidates
from orion_registry.core.entry import Entry
from orion_registry.core.fleet import Fleet
from orion_registry.core.holder import Holder, NobodyHolds, owner_of
from orion_registry.core.model import Now, ServiceStatus, StatusReasonCode
from orion_registry.core.selection.balancer import Balancer
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.explain import Explanation
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.queue import Waiter
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.scopes import Scope
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw, StrategyName
from orion_registry.core.selection.tally import LeaseTally, SelectionTally
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.core.selector import Selector
from orion_registry.core.validation import check_id, check_labels, check_number
from orion_registry.errors import PermissionDenied, Reason, RegistryError, Unavailable, shown

PREFIX = 8
"""Characters of the history_id that begin every selection_id: two lives share them once in 4 billion times."""


ELSEWHERE = "/@"
"""Begins the caller of a lease that stands for one that another member has granted. No caller's name begins with @."""


class Balancing:
    """Selections of a fleet.

    Instants come in as `Now` and are judged: a stall of the daemon ends no lease.

    Attributes:
        candidates: tells it of services.
        holder: hears what happens to selections.
        tally: what became of those who asked.
    """

    def __init__(self, fleet: Fleet, config: BalancerConfig, draw: Draw, history_id: str) -> None:
        self._fleet = fleet
        self._balancer = Balancer(config, draw, history_id[:PREFIX], self)
        self.holder: Holder = NobodyHolds()
        self.candidates = Candidates(fleet.catalog, self._balancer, lambda: fleet.patience.latest, self._lost)
        self._ejections: list[tuple[str, bool]] = []
        self._expired = 0
        self.tally = SelectionTally()

    def reconfigure(self, config: BalancerConfig) -> None:
        """See `Registry.reconfigure`."""
        self._balancer.reconfigure(config)

    # Callers.

    def pool(self, selector: Selector) -> Pool:
        """What `select` selects from. May be kept by who asks often, until it is `closed`.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        return self.candidates.pool(selector)

    def select(self, pool: Pool, request: SelectionRequest, now: Now) -> tuple[Lease, ...] | Waiter:
        """Picks, and reserves a slot on each service picked; or a place in the queue: see `Holder.settled`.

        Raises:
            InvalidArgument: REQUEST_ID_REUSED.
            NotFound: NO_MATCH.
            Unavailable: NO_READY_SERVICE, with counts by reason.
            ResourceExhausted: NO_FREE_SLOT, QUEUE_FULL, RATE_LIMITED.
        """
        try:
            return self._balancer.select(pool, request, self._fleet.patience.judged(now.mono))
        except Unavailable as error:
            self.tally.refused[self._balancer.strategy(pool, request), error.reason] += 1
            message = f"{error.message}: {self._against(pool, request)}"
            raise Unavailable(error.reason, message, retry_after_s=error.retry_after_s) from None
        except RegistryError as error:
            self.tally.refused[self._balancer.strategy(pool, request), error.reason] += 1
            raise

    def give_up(self, waiter: Waiter) -> None:
        """Whoever waits does not any more. Nothing happens if the wait is over."""
        self._balancer.give_up(waiter)

    def release(
        self,
        selection_id: str,
        identity: str,
        now: Now,
        outcome: Outcome = Outcome.UNKNOWN,
        response_time_s: float | None = None,
    ) -> None:
        """Ends a lease. Without a response time, the age of the lease counts.

        Raises:
            InvalidArgument: BAD_FIELD.
            NotFound: NO_SUCH_LEASE.
            PermissionDenied: NOT_OWNER.
        """
        if response_time_s is not None:
            check_number("response_time", response_time_s, 0, limits.RESPONSE_TIME_S)
        lease = self._own(selection_id, identity)
        self._balancer.end(lease, self._fleet.patience.judged(now.mono), outcome, response_time_s)
        if self._ejections:
            self._settle_ejections(now)

    def drop(self, lease: Lease) -> None:
        """Ends a lease that its caller never came to hold: the answer was too large, or the caller has gone. Nothing
        happens if it has ended, or is another member's.
        """
        if lease in lease.slots.leases:
            self._balancer.end(lease, self._fleet.patience.latest)

    def renew(self, selection_id: str, identity: str, now: Now, ttl_s: float | None = None, stream: str = "") -> Lease:
        """Lets a lease last its ttl, or another one, from now; on this Route stream, if it is renewed on one.

        Raises:
            InvalidArgument: BAD_FIELD.
            NotFound: NO_SUCH_LEASE.
            PermissionDenied: NOT_OWNER.
        """
        self._own(selection_id, identity)
        lease = self._balancer.renew(selection_id, self._fleet.patience.judged(now.mono), ttl_s)
        if stream and lease.stream != stream:
            self._balancer.leases.move_to(lease, stream)
            self._tell_if_dead(lease)
        return lease

    def report(self, service_id: str, outcome: Outcome, response_time_s: float | None, now: Now) -> None:
        """What became of a call that had no lease; without a response time, response times do not change.

        Raises:
            InvalidArgument: BAD_FIELD.
            NotFound: NO_SUCH_SERVICE.
        """
        if response_time_s is not None:
            check_number("response_time", response_time_s, 0, limits.RESPONSE_TIME_S)
        self._fleet.require(service_id)
        self._balancer.outcome(service_id, outcome, response_time_s, self._fleet.patience.judged(now.mono))
        self._settle_ejections(now)

    def stream_ended(self, stream: str, now: Now) -> None:
        """A Route stream is over: its leases end soon, unless they are renewed."""
        self._balancer.stream_ended(stream, self._fleet.patience.judged(now.mono))

    # Other members: see `membership`.

    def reserve(self, service_id: str, request: SelectionRequest, now: Now) -> Lease:
        """A slot on this service and no other, for a caller of another member, which has picked it.

        Raises:
            NotFound: NO_SUCH_SERVICE.
            ResourceExhausted: NO_FREE_SLOT, it may not be selected now, or has none; RATE_LIMITED.
        """
        self._fleet.require(service_id)
        return self._balancer.reserve(service_id, request, self._fleet.patience.judged(now.mono))

    def held_elsewhere(self, service_id: str, member: str, left_s: Sequence[float], now: Now) -> None:
        """A service came here from a member that has granted leases on it, which last for so long at most."""
        self._fleet.require(service_id)
        self._balancer.held_elsewhere(service_id, f"{ELSEWHERE}{member}", left_s, self._fleet.patience.judged(now.mono))

    def still_elsewhere(self, service_id: str, member: str, count: int, now: Now) -> None:
        """So many of those are still held."""
        if self._fleet.catalog.get(service_id) is not None:
            self._balancer.still_elsewhere(
                service_id, f"{ELSEWHERE}{member}", count, self._fleet.patience.judged(now.mono)
            )

    def told_elsewhere(self, service_id: str, in_flight: int, utilization: float, now: Now) -> None:
        """How loaded a service of another member is, as that one says."""
        entry = self._fleet.catalog.get(service_id)
        if entry is not None and entry.owner:
            self._balancer.report(service_id, in_flight, utilization, self._fleet.patience.judged(now.mono))

    def granted_here(self, service_id: str) -> tuple[Lease, ...]:
        """The open leases on a service that this member has granted to callers, whoever owns it now."""
        return granted_to_callers(self.slots_of(service_id))

    def services(self) -> Iterator[tuple[Entry, Slots]]:
        """All services, with what selection knows of them."""
        for entry in self._fleet.catalog:
            yield entry, self._balancer.get(entry.service_id)

    @property
    def shaken(self) -> bool:
        """Whether the daemon stood still so long of late that what it knows may not be so any more."""
        return self._fleet.patience.shaken

    @property
    def latest(self) -> float:
        """The instant seen last, in judged seconds."""
        return self._fleet.patience.latest

    # Operators.

    def set_strategy(self, scope: Scope, name: StrategyName | None) -> StrategyName | None:
        """Sets the strategy of a scope, None clears it; returns what was set there before, None = nothing.

        Raises:
            InvalidArgument: BAD_FIELD.
            ResourceExhausted: TOO_LARGE: as many are set as may be.
        """
        if scope.service_name:
            check_id("service_name", scope.service_name)
        if scope.capability:
            check_labels("capability", (scope.capability,))
        return self._balancer.scopes.set(scope, name)

    def explain(self, pool: Pool, request: SelectionRequest, now: Now, draw: Draw) -> Explanation:
        """What `select` would choose now with these draws, and why; selects nothing."""
        return self._balancer.explain(pool, request, self._fleet.patience.judged(now.mono), draw)

    def open_leases(self, service_id: str = "") -> Iterable[Lease]:
        """Who holds what, the oldest first: on a service, or everywhere.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        return tuple(self.slots_of(service_id).leases) if service_id else self._balancer.leases

    def oldest_lease(self, service_id: str) -> Lease | None:
        """The open lease on a service that was granted first, if its service is registered or gone."""
        return self._balancer.oldest_lease(service_id)

    def leases_on(self, service_id: str) -> int:
        """How many leases are open on a registered service."""
        return len(self._balancer.get(service_id).leases)

    def slots_of(self, service_id: str) -> Slots:
        """What selection knows of a service; to be read only.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        self._fleet.require(service_id)
        return self._balancer.get(service_id)

    def entry_of(self, lease: Lease) -> Entry | None:
        """The service of a lease; None = it is not registered any more."""
        return self._fleet.catalog.get(lease.slots.service_id)

    def left_s(self, lease: Lease) -> float:
        """Seconds until a lease ends by time, from the latest instant."""
        return max(0.0, lease.expires - self._fleet.patience.latest)

    def age_s(self, lease: Lease) -> float:
        """Seconds since a lease was granted."""
        return max(0.0, self._fleet.patience.latest - lease.since)

    @property
    def config(self) -> BalancerConfig:
        """How selection behaves."""
        return self._balancer.config

    @property
    def stats(self) -> BalancerStats:
        """Selection in numbers."""
        balancer = self._balancer
        return BalancerStats(
            leases_open=len(balancer.leases),
            leases_expired=self._expired,
            waiting=balancer.waiting,
            ejected=self._fleet.headcount.having(StatusReasonCode.EJECTED),
            pools=len(balancer.pools),
            strategies=balancer.scopes.stats,
            scopes=balancer.scopes.table(),
        )

    @property
    def leases(self) -> LeaseTally:
        """How leases have ended so far."""
        leases = self._balancer.leases
        released = leases.granted - len(leases) - self._expired
        return LeaseTally(released, self._expired, self._balancer.outcomes)

    # Time.

    def advance(self, now: Now) -> None:
        """Lets time pass; `now` is judged."""
        due = self._balancer.next()
        if due is not None and due <= now.mono:
            self._balancer.tick(now.mono)
            self._settle_ejections(now)

    # What the balancer tells: `selection.balancer.Listener`.

    def settled(self, waiter: Waiter) -> None:
        """See `Listener`."""
        tally, strategy = self.tally, self._balancer.strategy(waiter.pool, waiter.request)
        tally.waits.observe(max(0.0, self._fleet.patience.latest - waiter.since))
        if waiter.error is not None:
            tally.refused[strategy, waiter.error.reason] += 1
        else:
            tally.late[strategy] += 1
        self.holder.settled(waiter)

    def expired(self, lease: Lease) -> None:
        """See `Listener`."""
        self._expired += 1
        self.holder.expired(lease)

    def ejected(self, service_id: str, until: float) -> None:
        """See `Listener`: noted, for the edge may not be made while the balancer works."""
        self._ejections.append((service_id, True))

    def returned(self, service_id: str) -> None:
        """See `Listener`."""
        self._ejections.append((service_id, False))

    def closed(self, pool: Pool) -> None:
        """See `Listener`."""
        self.candidates.closed(pool)

    # Inside.

    def _lost(self, lease: Lease, reason: StatusReasonCode | None) -> None:
        self.holder.lost(lease, reason)

    def _tell_if_dead(self, lease: Lease) -> None:
        """Its service may have died while its holder had no stream to hear of it."""
        entry = self.entry_of(lease)
        if entry is None:
            self._lost(lease, None)
        elif entry.snapshot.status is ServiceStatus.UNHEALTHY:
            self._lost(lease, entry.snapshot.reasons[0].code)

    def _settle_ejections(self, now: Now) -> None:
        """Makes edges of what the balancer has decided: EJECTED is a condition like any other."""
        while self._ejections:
            service_id, out = self._ejections.pop(0)
            entry = self._fleet.require(service_id)
            if out:
                self._fleet.impose(entry, StatusReasonCode.EJECTED, now)
            else:
                self._fleet.lift(entry, StatusReasonCode.EJECTED)

    def _own(self, selection_id: str, identity: str) -> Lease:
        lease = self._balancer.leases.get(selection_id)
        if owner_of(lease) != identity:
            raise PermissionDenied(Reason.NOT_OWNER, f"selection_id: another caller holds {shown(selection_id)}")
        return lease

    def _against(self, pool: Pool, request: SelectionRequest) -> str:
        """What stands against each of a pool's services that the request does not exclude, with counts."""
        counts: Counter[str] = Counter()
        for slots in pool.members:
            if slots.service_id not in request.excluded:
                counts[self._fleet.require(slots.service_id).snapshot.reasons[0].code.name] += 1
        return ", ".join(f"{count:,} {name}" for name, count in counts.most_common())


def granted_to_callers(slots: Slots) -> tuple[Lease, ...]:
    """Of the open leases on a service those that this member has granted, not another one before it."""
    return tuple(lease for lease in slots.leases if not lease.caller.startswith(ELSEWHERE))
