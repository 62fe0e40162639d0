"""Selection under anything in any order, beside a slow and obvious twin: no overrun, no leak, nobody overlooked."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.queue import Waiter
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.errors import NotFound, ResourceExhausted, Unavailable
from tests.core.selecting import Bench, Member, N, Outcome, Tier

NAMES = ("s0", "s1", "s2", "s3", "s4")
POOLS = {"all": NAMES, "even": ("s0", "s2", "s4"), "low": ("s0", "s1")}
names, pools = st.sampled_from(NAMES), st.sampled_from(sorted(POOLS))
pick = st.integers(0, 1_000)
zones = st.sampled_from(["", "z1", "z1", "z2"])
LAST = {False: Tier.SECOND, True: Tier.DEGRADED_LAST}


class Twin:
    """Everything by full scans."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.beyond: dict[str, int] = {}
        self.ejected: set[str] = set()
        self.leases: dict[str, tuple[str, float, str]] = {}
        self.waiters: list[tuple[Waiter, str]] = []

    def in_flight(self, name: str) -> int:
        return sum(service == name for service, _, _ in self.leases.values()) + self.beyond.get(name, 0)

    def tier(self, name: str) -> Tier:
        member = self.members.get(name)
        if member is None or member.weight == 0:
            return Tier.NEVER
        return max(member.tier, Tier.DEGRADED) if name in self.ejected else member.tier

    def free(self, name: str) -> bool:
        limit = self.members[name].max_concurrency
        return limit == 0 or self.in_flight(name) < limit

    def takes(self, name: str, request: SelectionRequest) -> bool:
        return name not in request.excluded and self.tier(name) <= LAST[request.allow_degraded]

    def best(self, pool: str, request: SelectionRequest) -> list[str]:
        """Those of the best tier with a free slot."""
        could = [name for name in POOLS[pool] if name in self.members and self.takes(name, request) and self.free(name)]
        return [name for name in could if self.tier(name) == min(map(self.tier, could))]

    def chosen(self, pool: str, request: SelectionRequest) -> set[str]:
        """Whom the strategy may pick."""
        best = self.near(pool, request.zone, self.best(pool, request))
        if request.strategy is N.LEAST_CONNECTIONS:
            return {name for name in best if self.in_flight(name) == min(map(self.in_flight, best))}
        if request.strategy in {None, N.WEIGHTED_LEAST_LOAD}:
            return {name for name in best if self.load(name) == min(map(self.load, best))}
        return set(best)

    def near(self, pool: str, zone: str, best: list[str]) -> list[str]:
        """Those of the caller's zone, if it goes first and one of them is among the best."""
        there = [name for name in POOLS[pool] if name in self.members]
        local = [name for name in there if zone and self.members[name].zone == zone]
        ready = [name for name in local if self.tier(name) <= Tier.SECOND]
        if not 0 < len(local) < len(there) or len(ready) < 0.7 * len(local):
            return best
        return [name for name in best if name in local] or best

    def load(self, name: str) -> float:
        member = self.members[name]
        return (self.in_flight(name) + 1) / (member.weight * (member.max_concurrency or 16))


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(queue=6)
        self.balancer = self.bench.balancer
        self.twin = Twin()
        self.pools = {key: self.bench.pool_of(f"pool {key}") for key in POOLS}
        self.seen = 0
        self.ended: list[str] = []

    def hear(self) -> None:
        """What the balancer did by itself; a wake must be for a slot that is free in the twin's eyes."""
        heard = self.bench.heard
        for lease in heard.expired_leases:
            assert self.twin.leases.pop(lease.selection_id)[1] <= self.bench.now
            self.ended.append(lease.selection_id)
        heard.expired_leases.clear()
        self.twin.ejected |= {name for name, _ in heard.ejections}
        self.twin.ejected -= set(heard.returns)
        heard.ejections.clear()
        heard.returns.clear()
        for waiter in heard.settled_waiters:
            if waiter.lease is not None:
                self.granted(waiter.lease, waiter.request)
        heard.settled_waiters.clear()
        self.twin.waiters = [pair for pair in self.twin.waiters if pair[0].waiting]

    def granted(self, lease: Lease, request: SelectionRequest) -> None:
        assert self.twin.free(lease.service_id)
        assert self.twin.takes(lease.service_id, request)
        self.twin.leases[lease.selection_id] = (lease.service_id, lease.expires, lease.stream)

    @rule(
        name=names,
        tier=st.sampled_from([Tier.FIRST, Tier.FIRST, Tier.FIRST, *Tier]),
        weight=st.sampled_from([1.0, 1.0, 2.0, 0.5, 0.0]),
        limit=st.sampled_from([1, 1, 2, 3, 0]),
        zone=zones,
    )
    def put(self, name: str, tier: Tier, weight: float, limit: int, zone: str) -> None:
        member = Member(name, tier=tier, weight=weight, max_concurrency=limit, zone=zone)
        self.twin.members[name] = member
        self.balancer.put(member, self.bench.now)
        for key, of in POOLS.items():
            if name in of:
                self.balancer.join(self.pools[key], name, self.bench.now)
        self.hear()

    @rule(name=names)
    def drop(self, name: str) -> None:
        if self.twin.members.pop(name, None) is not None:
            self.balancer.drop(name)
            self.twin.ejected.discard(name)
            self.twin.beyond.pop(name, None)  # reported by a life of the agent that is over
            self.hear()

    @rule(name=names, in_flight=st.integers(0, 4))
    def report(self, name: str, in_flight: int) -> None:
        if name in self.twin.members:
            held = self.twin.in_flight(name) - self.twin.beyond.get(name, 0)
            self.twin.beyond[name] = max(0, in_flight - held)
            self.balancer.report(name, in_flight, 0.0, self.bench.now)
            self.hear()

    @rule(
        pool=pools,
        strategy=st.sampled_from([None, None, *N]),
        excluded=st.frozensets(names, max_size=2),
        caller=st.sampled_from("xyz"),
        wait=st.sampled_from([0.0, 0.0, 5.0, 50.0]),
        ttl=st.sampled_from([None, 3.0, 30.0]),
        degraded=st.booleans(),
        stream=st.sampled_from(["", "", "t"]),
        zone=zones,
    )
    def select(
        self,
        pool: str,
        strategy: N | None,
        excluded: frozenset[str],
        caller: str,
        wait: float,
        ttl: float | None,
        degraded: bool,
        stream: str,
        zone: str,
    ) -> None:
        request = SelectionRequest(
            strategy=strategy,
            excluded=excluded,
            caller=caller,
            wait_s=wait,
            ttl_s=ttl,
            allow_degraded=degraded,
            stream=stream,
            zone=zone,
        )
        chosen = self.twin.chosen(pool, request)
        matching = [name for name in POOLS[pool] if name in self.twin.members and name not in excluded]
        usable = [name for name in matching if self.twin.takes(name, request)]
        try:
            got = self.balancer.select(self.pools[pool], request, self.bench.now)
        except NotFound:
            assert not matching
        except Unavailable:
            assert matching
            assert not usable
        except ResourceExhausted:
            assert usable
            assert not chosen
            assert not wait or len([1 for _, of in self.twin.waiters if of == pool]) == 6
        else:
            if isinstance(got, Waiter):
                assert usable
                assert not chosen
                self.twin.waiters.append((got, pool))
            else:
                assert got[0].service_id in chosen
                self.granted(got[0], request)
        self.hear()

    @precondition(lambda self: self.twin.leases)
    @rule(number=pick, outcome=st.sampled_from(Outcome))
    def release(self, number: int, outcome: Outcome) -> None:
        selection_id = sorted(self.twin.leases)[number % len(self.twin.leases)]
        name = self.twin.leases.pop(selection_id)[0]
        self.balancer.release(selection_id, self.bench.now, outcome)
        self.ended.append(selection_id)
        self.hear()
        self.forget(name)

    @precondition(lambda self: self.ended)
    @rule(number=pick)
    def release_again(self, number: int) -> None:
        try:
            self.balancer.release(self.ended[number % len(self.ended)], self.bench.now)
        except NotFound:
            return
        raise AssertionError("released twice")

    @precondition(lambda self: self.twin.leases)
    @rule(number=pick, ttl=st.sampled_from([1.0, 100.0]))
    def renew(self, number: int, ttl: float) -> None:
        selection_id = sorted(self.twin.leases)[number % len(self.twin.leases)]
        name, _, stream = self.twin.leases[selection_id]
        self.balancer.renew(selection_id, self.bench.now, ttl)
        self.twin.leases[selection_id] = (name, self.bench.now + ttl, stream)

    @rule()
    def break_stream(self) -> None:
        self.balancer.stream_ended("t", self.bench.now)
        for selection_id, (name, expires, stream) in self.twin.leases.items():
            if stream == "t":
                self.twin.leases[selection_id] = (name, min(expires, self.bench.now + 10), "")

    @precondition(lambda self: self.twin.waiters)
    @rule(number=pick)
    def give_up(self, number: int) -> None:
        waiter, _ = self.twin.waiters.pop(number % len(self.twin.waiters))
        self.balancer.give_up(waiter)

    @rule(name=names)
    def fail(self, name: str) -> None:
        if name in self.twin.members:
            self.bench.fail(name, 5)
            self.hear()

    @rule(seconds=st.sampled_from([0.25, 1.0, 2.5, 20.0]))
    def advance(self, seconds: float) -> None:
        services = {name for name, _, _ in self.twin.leases.values()}
        self.bench.advance(seconds)
        self.hear()
        for name in services:
            self.forget(name)

    def forget(self, name: str) -> None:
        """What is not registered is forgotten with its last lease, and with it what it once reported."""
        if name not in self.twin.members and not any(of == name for of, _, _ in self.twin.leases.values()):
            self.twin.beyond.pop(name, None)

    @invariant()
    def both_count_alike(self) -> None:
        assert {lease.selection_id for lease in self.balancer.leases} == set(self.twin.leases)
        for name in self.twin.members:
            slots = self.balancer.get(name)
            assert slots.in_flight == self.twin.in_flight(name)
            assert slots.standing == self.twin.tier(name)
        assert self.balancer.waiting == len(self.twin.waiters)
        assert all(expires > self.bench.now for _, expires, _ in self.twin.leases.values())

    @invariant()
    def nobody_waits_for_a_free_slot(self) -> None:
        for waiter, pool in self.twin.waiters:
            assert waiter.expires > self.bench.now
            assert not self.twin.best(pool, waiter.request)

    @invariant()
    def places_in_the_queue_are_all_different(self) -> None:
        for pool in self.pools.values():
            assert sorted(waiter.position for waiter in pool.line.all()) == list(range(len(pool.line)))

    def teardown(self) -> None:
        """Whatever has happened, time ends it all."""
        self.bench.advance(4_000)
        self.hear()
        self.bench.advance(4_000)
        self.hear()
        assert len(self.balancer.leases) == self.balancer.waiting == 0
        assert self.balancer.next() is None
        for name in self.twin.members:
            assert self.balancer.get(name).in_flight == self.twin.beyond.get(name, 0)


TestSelectionMachine: Any = Machine.TestCase
TestSelectionMachine.settings = settings(stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
