"""The front door of selection: who is there and what happens to them goes in; leases, and who is waiting, come out.

Everything here is synchronous, so it is atomic in the event loop: between the look at a free slot and its reservation
nothing else happens, and a slot that frees is given to one who waits before anybody else can ask. At the end of every
call nobody waits for a slot that is free.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping

from orion_registry.core.selection.candidate import Candidate
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.explain import Explanation, explain
from orion_registry.core.selection.leases import Lease, Leases
from orion_registry.core.selection.listener import Listener
from orion_registry.core.selection.outcomes import Outliers
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.pools import Pools
from orion_registry.core.selection.queue import RETRY_S, Line, Waiter, queue_full
from orion_registry.core.selection.ranking import Ranking
from orion_registry.core.selection.refusals import check_possible, not_free, too_many
from orion_registry.core.selection.request import SelectionRequest, check_ttl
from orion_registry.core.selection.scopes import Scopes
from orion_registry.core.selection.slots import NEVER, Slots
from orion_registry.core.selection.slow_start import SlowStart
from orion_registry.core.selection.strategies import STRATEGIES, MakeStrategy
from orion_registry.core.selection.strategy import Draw, StrategyName
from orion_registry.core.selection.waits import Waits
from orion_registry.errors import NotFound, Reason, ResourceExhausted, shown

UNKNOWN = Outcome.UNKNOWN
AFFINITY = StrategyName.BOUNDED_CONSISTENT_HASH


class Balancer:
    """All services as selection sees them. Instants are monotonic seconds.

    Args:
        config: spans and sizes.
        draw: randomness for picks.
        prefix: begins every selection_id; must differ in every life of the daemon.
        listener: hears what happens without being asked for.
        strategies: how to make each.
    """

    def __init__(
        self,
        config: BalancerConfig,
        draw: Draw,
        prefix: str,
        listener: Listener,
        strategies: Mapping[StrategyName, MakeStrategy] = STRATEGIES,
    ) -> None:
        self.config = config
        self.scopes = Scopes()
        self.leases = Leases(prefix)
        self.pools = Pools(config.pools)
        self.outcomes = dict.fromkeys(Outcome, 0)
        self._draw = draw
        self._listener = listener
        self._strategies = strategies
        self._slots: dict[str, Slots] = {}
        self._outliers = Outliers(config)
        self._slow_start = SlowStart(config.slow_start_s)
        self._waits = Waits(config, self.leases, listener)

    def reconfigure(self, config: BalancerConfig) -> None:
        """Goes by another config where it is looked at when it is needed; see `Registry.reconfigure`."""
        self.config = config
        self._outliers.reconfigure(config)
        self._waits.reconfigure(config)

    @property
    def waiting(self) -> int:
        """Callers that wait for a slot."""
        return self._waits.number

    # Who is there.

    def put(self, candidate: Candidate, now: float) -> Slots:
        """A service is new, or what selection needs to know of it has changed (its service_name never does).

        One that could not be selected at all, and now can, starts slowly: its process is likely to be new.
        """
        slots = self._slots.get(candidate.service_id)
        fresh = slots is None or slots.tier == NEVER
        if slots is None:
            slots = self._slots[candidate.service_id] = Slots(candidate)
            self._outliers.add(slots)
        else:
            if slots.gone:
                self._outliers.add(slots)
            slots.put(candidate)
        if fresh and slots.tier != NEVER:
            self._slow_start.begin(slots, now)
        self._waits.freed(slots, now)
        return slots

    def drop(self, service_id: str) -> None:
        """A service is not registered any more. Leases on it stay until they end: it may come back with its calls."""
        slots = self._slots[service_id]
        for pool in tuple(slots.pools):
            pool.remove(slots)
        self._outliers.remove(slots)
        self._slow_start.forget(slots)
        slots.retire()
        self._forget_if_done(slots)

    def get(self, service_id: str) -> Slots:
        """What selection keeps of a registered service; to be read only.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        slots = self._slots.get(service_id)
        if slots is None or slots.gone:
            raise NotFound(Reason.NO_SUCH_SERVICE, f"service_id: no service {shown(service_id)}")
        return slots

    def oldest_lease(self, service_id: str) -> Lease | None:
        """The open lease on a service that was granted first; its service may be gone."""
        slots = self._slots.get(service_id)
        return None if slots is None else next(iter(slots.leases), None)

    def report(self, service_id: str, in_flight: int, utilization: float, now: float) -> None:
        """A beat said how loaded a service is."""
        slots = self._slots[service_id]
        slots.report(in_flight, utilization)
        self._waits.freed(slots, now)

    def pool(
        self,
        key: Hashable,
        members: Callable[[], Iterable[str]],
        service_name: str = "",
        capabilities: tuple[str, ...] = (),
    ) -> Pool:
        """The pool of a key (the selector), made if need be; those unused for longest make room.

        members gives the ids of all that match, whatever their status; `join` and `leave` follow what changes after.
        service_name and capabilities, those that the selector asks for, decide which strategy applies.
        """
        pool = self.pools.find(key)
        if pool is None:
            slots = (self._slots[service_id] for service_id in members())
            line = Line(self.config.queue, self.config.queue_window)
            pool = Pool(key, service_name, capabilities, slots, line)
            for closed in self.pools.add(pool):
                self._listener.closed(closed)
        self.pools.use(pool)
        return pool

    def join(self, pool: Pool, service_id: str, now: float) -> None:
        """A service matches the pool's selector now."""
        slots = self._slots[service_id]
        pool.add(slots)
        self._waits.freed(slots, now)

    def leave(self, pool: Pool, service_id: str) -> None:
        """A service does not match it any more."""
        slots = self._slots.get(service_id)
        if slots is not None:
            pool.remove(slots)

    # Selections.

    def select(self, pool: Pool, request: SelectionRequest, now: float) -> tuple[Lease, ...] | Waiter:
        """Picks, and reserves a slot on each service picked; or a place in the queue, if the request wants to wait.

        Raises:
            InvalidArgument: REQUEST_ID_REUSED.
            NotFound: NO_MATCH: nothing matches, or the request excludes all that do.
            Unavailable: NO_READY_SERVICE: none that matches may be selected now.
            ResourceExhausted: NO_FREE_SLOT: all slots are taken, and it does not want to wait; QUEUE_FULL;
                RATE_LIMITED: more leases would be open than may be.
        """
        self.pools.use(pool)
        retry: tuple[str, str] | None = None
        if request.request_id:
            retry = (request.caller, request.request_id)
            granted = self.leases.granted_for(retry, request.payload)
            if granted:
                if request.stream:  # else they end with the stream that the answer was lost with
                    for before in granted:
                        self.leases.move_to(before, request.stream)
                return granted
        if len(self.leases) + request.count > self.config.leases:
            raise too_many(self.config.leases)
        ranking = self._ranking(pool, request, self._near(pool, request) if request.zone else "")
        lease = self._select_one(ranking, request, retry, now)
        if lease is None:
            return self._none(pool, request, now)
        leases = [lease]
        while len(leases) < request.count and (lease := self._select_one(ranking, request, retry, now)):
            leases.append(lease)
        return tuple(leases)

    def give_up(self, waiter: Waiter) -> None:
        """Whoever waits does not any more; nobody is told. Nothing happens if the wait is over."""
        self._waits.give_up(waiter)

    def release(
        self,
        selection_id: str,
        now: float,
        outcome: Outcome = UNKNOWN,
        response_time_s: float | None = None,
    ) -> None:
        """Ends a lease. Without a response time, the age of the lease counts.

        Raises:
            NotFound: NO_SUCH_LEASE: released already, expired, or never granted.
        """
        self.end(self.leases.get(selection_id), now, outcome, response_time_s)

    def end(self, lease: Lease, now: float, outcome: Outcome = UNKNOWN, response_time_s: float | None = None) -> None:
        """Ends an open lease; see `release`."""
        self.leases.end(lease)
        slots = lease.slots
        if outcome is not UNKNOWN:  # the rankings look at the slots again anyway: one is free
            self._learn(slots, outcome, now - lease.since if response_time_s is None else response_time_s, now)
        if self._waits.number:
            self._waits.freed(slots, now)
        if slots.gone:
            self._forget_if_done(slots)

    # Slots whose service, or whose lease, is another member's.

    def reserve(self, service_id: str, request: SelectionRequest, now: float) -> Lease:
        """A slot on one service, or none; see `select`.

        Raises:
            NotFound: NO_SUCH_SERVICE.
            InvalidArgument: REQUEST_ID_REUSED.
            ResourceExhausted: NO_FREE_SLOT, RATE_LIMITED.
        """
        slots, retry = self.get(service_id), None
        if request.request_id:
            retry = (request.caller, request.request_id)
            for before in self.leases.granted_for(retry, request.payload):
                if before.slots is slots:
                    if request.stream:
                        self.leases.move_to(before, request.stream)
                    return before
        if len(self.leases) >= self.config.leases:
            raise too_many(self.config.leases)
        if not slots.free or slots.standing > request.last_tier:
            raise ResourceExhausted(Reason.NO_FREE_SLOT, f"{service_id!r} has no free slot", retry_after_s=RETRY_S)
        ttl_s = request.ttl_s or self.config.lease_ttl_s
        return self.leases.grant(slots, request.caller, now, ttl_s, request.stream, retry, request.payload)

    def held_elsewhere(self, service_id: str, holder: str, left_s: Iterable[float], now: float) -> None:
        """Leases that another has granted on a service count here until they end; what it told of load does not."""
        slots = self.get(service_id)
        slots.report(0, slots.utilization)
        for seconds in left_s:
            if slots.free and seconds > 0:
                self.leases.grant(slots, holder, now, seconds)

    def still_elsewhere(self, service_id: str, holder: str, count: int, now: float) -> None:
        """Of those so many are still held: the others end."""
        theirs = [lease for lease in self.get(service_id).leases if lease.caller == holder]
        for lease in theirs[count:]:
            self.end(lease, now)

    def renew(self, selection_id: str, now: float, ttl_s: float | None = None) -> Lease:
        """Lets a lease last its ttl, or another one, from now.

        Raises:
            InvalidArgument: BAD_FIELD.
            NotFound: NO_SUCH_LEASE.
        """
        lease = self.leases.get(selection_id)
        self.leases.renew(lease, now, lease.ttl_s if ttl_s is None else check_ttl(ttl_s))
        return lease

    def outcome(self, service_id: str, outcome: Outcome, response_time_s: float | None, now: float) -> None:
        """What became of a call that had no lease.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        slots = self.get(service_id)
        self._learn(slots, outcome, response_time_s, now)
        slots.touch()

    def stream_ended(self, stream: str, now: float) -> None:
        """A Route stream broke: its leases end soon, unless they are renewed."""
        self.leases.stream_ended(stream, now, self.config.stream_grace_s)

    def explain(self, pool: Pool, request: SelectionRequest, now: float, draw: Draw) -> Explanation:
        """What `select` would choose now with these draws, and why; selects nothing."""
        name, near = self.strategy(pool, request), self._near(pool, request)
        return explain(pool, self._ranking(pool, request, near), name, near, request, now, draw)

    # Time.

    def tick(self, now: float) -> None:
        """Ends what has run out by `now`."""
        self._waits.expire(now)  # first: a slot that is freed below is not for them
        for lease in self.leases.due(now):
            self._listener.expired(lease)
            self._waits.freed(lease.slots, now)
            self._forget_if_done(lease.slots)
        for slots in self._outliers.due(now):
            self._slow_start.begin(slots, now)
            self._listener.returned(slots.service_id)
            self._waits.freed(slots, now)
        self._slow_start.step(now)

    def next(self) -> float | None:
        """When `tick` has something to do; None = never."""
        instants = (self.leases.next(), self._outliers.next(), self._slow_start.next(), self._waits.next())
        return min((instant for instant in instants if instant is not None), default=None)

    # Inside.

    def strategy(self, pool: Pool, request: SelectionRequest) -> StrategyName:
        """The strategy that decides a request."""
        return request.strategy or (AFFINITY if request.key else self.scopes.of(pool))

    def _near(self, pool: Pool, request: SelectionRequest) -> str:
        return pool.near(request.zone, self.config.zone_ready_share) if request.zone else ""

    def _ranking(self, pool: Pool, request: SelectionRequest, near: str) -> Ranking:
        name = request.strategy or (AFFINITY if request.key else self.scopes.of(pool))  # as `strategy`
        return pool.ranking(name, self._strategies, self.scopes.stats[name], near)

    def _select_one(
        self, ranking: Ranking, request: SelectionRequest, retry: tuple[str, str] | None, now: float
    ) -> Lease | None:
        slots = ranking.pick(self._draw, now, request.key, request.excluded, request.last_tier)
        if slots is None:
            return None
        lease = self.leases.grant(
            slots, request.caller, now, request.ttl_s or self.config.lease_ttl_s, request.stream, retry, request.payload
        )
        ranking.took(slots)
        ranking.stats.selections += 1
        return lease

    def _none(self, pool: Pool, request: SelectionRequest, now: float) -> Waiter:
        check_possible(pool, request)
        if not request.wait_s:
            raise not_free(pool)
        if not pool.line and self.pools.crowded:  # all others have a queue: no more of them
            raise queue_full(self._waits.number)
        return self._waits.join(pool, request, now)

    def _learn(self, slots: Slots, outcome: Outcome, seconds: float | None, now: float) -> None:
        self.outcomes[outcome] += 1
        slots.performance.record(outcome, seconds, now)
        if not slots.gone and self._outliers.record(slots, outcome, now):
            self._listener.ejected(slots.service_id, self._outliers.until(slots))

    def _forget_if_done(self, slots: Slots) -> None:
        if slots.gone and not slots.leases:
            self._slots.pop(slots.service_id, None)
