"""core/balancing and core/candidates: selection follows the registry, and the registry follows its verdicts."""

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from orion_registry.core.candidates import candidate_of
from orion_registry.core.entry import Entry
from orion_registry.core.frames import ServiceBeat
from orion_registry.core.history import Edge
from orion_registry.core.holder import NobodyHolds, caller_of, name_of, owner_of
from orion_registry.core.model import Load, ServiceStatus
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.selection.candidate import Tier
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.explain import Verdict
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pools import MEMBERS
from orion_registry.core.selection.queue import Waiter
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.scopes import Scope
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument, NotFound, PermissionDenied, Reason, RegistryError
from tests.building import STATIC, TTL, World, ask, ref_of, state_of

CALC = Selector(service_name="calc")
LOCAL_CALLER = caller_of("", "ann")


class Heard(NobodyHolds):
    """A `Holder` that remembers."""

    def __init__(self) -> None:
        self.settled_waiters: list[Waiter] = []
        self.expired_leases: list[Lease] = []
        self.lost_leases: list[tuple[str, Code | None]] = []

    def settled(self, waiter: Waiter) -> None:
        super().settled(waiter)
        self.settled_waiters.append(waiter)

    def expired(self, lease: Lease) -> None:
        super().expired(lease)
        self.expired_leases.append(lease)

    def lost(self, lease: Lease, reason: Code | None) -> None:
        super().lost(lease, reason)
        self.lost_leases.append((lease.selection_id, reason))


class Bench(World):
    """A registry, and the shortest way to selections."""

    def __init__(self, balancer: dict[str, Any] | None = None, **config: Any) -> None:
        super().__init__(balancer=BalancerConfig(**(balancer or {})), **config)
        self.heard = Heard()
        self.registry.balancing.holder = self.heard

    def ask(self, selector: Selector = CALC, caller: str = LOCAL_CALLER, **request: Any) -> tuple[Lease, ...] | Waiter:
        balancing = self.registry.balancing
        return balancing.select(balancing.pool(selector), SelectionRequest(caller=caller, **request), self.now)

    def select(self, selector: Selector = CALC, **request: Any) -> Lease:
        got = self.ask(selector, **request)
        assert isinstance(got, tuple)
        return got[0]

    def release(self, lease: Lease, outcome: Outcome = Outcome.UNKNOWN, seconds: float | None = None) -> None:
        self.registry.balancing.release(lease.selection_id, "", self.now, outcome, seconds)

    def fail(self, entry: Entry, times: int = 5) -> None:
        for _ in range(times):
            self.registry.balancing.report(entry.service_id, Outcome.FAILED, 0.01, self.now)

    def in_flight(self, entry: Entry) -> int:
        return self.registry.balancing.slots_of(entry.service_id).in_flight

    def statics(self, number: int, **fields: Any) -> list[Entry]:
        return [self.add(f"agent{place}", liveness=STATIC, **fields) for place in range(number)]


def refused(reason: Reason, call: Any, *args: Any, **kwargs: Any) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        call(*args, **kwargs)
    assert caught.value.reason is reason
    return caught.value


def chosen(bench: Bench, times: int, selector: Selector = CALC, **request: Any) -> set[str]:
    found = set()
    for _ in range(times):
        lease = bench.select(selector, **request)
        found.add(lease.service_id)
        bench.release(lease)
    return found


def ids(entries: Iterable[Entry]) -> set[str]:
    return {entry.service_id for entry in entries}


# Who is there.


def test_a_service_is_selected_from_its_first_sign_of_life_until_its_stream_ends() -> None:
    bench = Bench()
    refused(Reason.NO_MATCH, bench.ask)
    entry = bench.add()
    error = refused(Reason.NO_READY_SERVICE, bench.ask)
    assert error.retry_after_s == 1.0
    assert "1 AWAITING_BEAT" in error.message
    session = bench.live(entry)
    assert bench.select().service_id == entry.service_id
    bench.close(session)
    assert "none is ready: 1 DISCONNECTED" in refused(Reason.NO_READY_SERVICE, bench.ask).message
    bench.remove(entry.service_id)
    refused(Reason.NO_MATCH, bench.ask)


def test_who_asks_while_a_death_is_told_is_not_given_the_dead() -> None:
    bench = Bench()
    dead, alive = bench.statics(2)
    given: list[str] = []

    def asks_at_once(edge: Edge) -> None:
        if edge.service_id == dead.service_id:
            given.extend(bench.select(strategy=StrategyName.ROUND_ROBIN).service_id for _ in range(4))

    bench.registry._publish = asks_at_once
    bench.registry.report_status(ref_of(dead), ServiceStatus.UNHEALTHY, bench.now)
    assert given == [alive.service_id] * 4


def test_reasons_of_none_ready_are_counted_without_the_excluded() -> None:
    bench = Bench()
    waiting, other = bench.add("a"), bench.add("b")
    bench.close(bench.live(bench.add("c")))
    got = refused(Reason.NO_READY_SERVICE, bench.ask, excluded=frozenset({other.service_id}))
    assert got.message.endswith("of 2 matching services none is ready: 1 AWAITING_BEAT, 1 DISCONNECTED")
    assert state_of(waiting)[1] == "AWAITING_BEAT"


@pytest.mark.parametrize(
    ("reason", "tier"),
    [
        (Code.STUCK, Tier.SECOND),
        (Code.PROBATION, Tier.DEGRADED),
        (Code.RECONNECT_GRACE, Tier.DEGRADED_LAST),
        (Code.DRAINING, Tier.NEVER),
        (Code.MAINTENANCE, Tier.NEVER),
        (Code.QUARANTINED, Tier.NEVER),
    ],
)
def test_each_reason_has_its_tier(reason: Code, tier: Tier) -> None:
    bench = Bench()
    entry = bench.statics(1, weight=2.5, max_concurrency=3)[0]
    assert candidate_of(entry).tier is Tier.FIRST
    bench.registry._fleet.impose(entry, reason, bench.now)
    got = candidate_of(entry)
    assert (got.tier, got.weight, got.max_concurrency, got.service_name) == (tier, 2.5, 3, "default/calc")
    slots = bench.registry.balancing.slots_of(entry.service_id)
    assert (slots.tier, slots.weight, slots.limit) == (tier, 2.5, 3)
    bench.registry._fleet.lift(entry, reason)
    assert slots.tier == Tier.FIRST


def test_a_self_report_keeps_a_service_out() -> None:
    bench = Bench()
    entry = bench.add(liveness=TTL)
    ref = ref_of(entry)
    bench.registry.beat(ref, None, ServiceStatus.UNKNOWN, bench.now)
    refused(Reason.NO_READY_SERVICE, bench.ask)
    assert bench.select(allow_degraded=True).service_id == entry.service_id
    bench.registry.report_status(ref, ServiceStatus.STOPPING, bench.now)
    refused(Reason.NO_READY_SERVICE, bench.ask, allow_degraded=True)
    bench.registry.report_status(ref, ServiceStatus.HEALTHY, bench.now)
    assert bench.select().service_id == entry.service_id


def test_pools_follow_what_agents_write() -> None:
    bench = Bench()
    first, second = bench.statics(2, capabilities=("add",), tags=("blue",))
    blue, green = Selector(capabilities=("add",), tags=("blue",)), Selector(tags=("green",))
    assert chosen(bench, 8, blue) == ids((first, second))
    refused(Reason.NO_MATCH, bench.ask, green)
    bench.update(ref_of(first), ("tags",), agent_id="agent0", tags=("green",))
    assert chosen(bench, 4, blue) == {second.service_id}
    assert chosen(bench, 4, green) == {first.service_id}
    third = bench.add("late", liveness=STATIC, tags=("green",))
    assert chosen(bench, 8, green) == ids((first, third))
    bench.update(ref_of(first), ("weight",), agent_id="agent0", weight=1e-3)
    assert chosen(bench, 8, green) == {third.service_id}
    bench.remove(third.service_id)
    assert chosen(bench, 4, green) == {first.service_id}


def test_pools_of_many_selectors_make_room_and_leave_nothing_behind() -> None:
    bench = Bench({"pools": 4})
    entry = bench.statics(1, tags=tuple(f"t{number}" for number in range(20)))[0]
    candidates = bench.registry.balancing.candidates
    first = bench.registry.balancing.pool(Selector(tags=("t0",)))
    for number in range(20):
        assert bench.select(Selector(tags=(f"t{number}",))).service_id == entry.service_id
    assert bench.registry.balancing.stats.pools == 4
    assert sum(len(pools) for pools in candidates._anchored.values()) == 4
    assert len(candidates._anchored) == 4
    assert first.closed
    assert not first.members
    two = [Selector(tags=("t1",), tags_none=("x",)), Selector(tags=("t1",), tags_none=("y",))]
    for selector in two:
        bench.select(selector)
    assert sorted(map(len, candidates._anchored.values())) == [1, 1, 2]


def test_members_of_all_pools_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MEMBERS == 200_000
    monkeypatch.setattr("orion_registry.core.selection.pools.MEMBERS", 10)
    bench = Bench()
    bench.statics(4)
    for number in range(5):
        bench.select(Selector(tags_none=(f"x{number}",)))
    assert bench.registry.balancing.stats.pools == 2


def test_a_queue_in_every_pool_leaves_no_room_for_another() -> None:
    bench = Bench({"pools": 2})
    lease = bench.select(Selector(service_name=bench.statics(1, max_concurrency=1)[0].spec.service_name))
    for number in range(2):
        assert isinstance(bench.ask(Selector(tags_none=(f"x{number}",)), wait_s=5), Waiter)
    refused(Reason.QUEUE_FULL, bench.ask, Selector(tags_none=("x2",)), wait_s=5)
    assert isinstance(bench.ask(Selector(tags_none=("x0",)), wait_s=5), Waiter)
    bench.release(lease)
    assert bench.registry.balancing.stats.waiting == 2


@pytest.mark.parametrize("fields", [{"statuses": frozenset({ServiceStatus.HEALTHY})}, {"include_not_ready": True}])
def test_a_selection_does_not_say_which_statuses_it_takes(fields: dict[str, Any]) -> None:
    bench = Bench()
    bench.statics(1)
    with pytest.raises(InvalidArgument, match="allow_degraded"):
        bench.ask(Selector(**fields))
    with pytest.raises(InvalidArgument, match="namespace"):
        bench.ask(Selector(namespace=""))


# Load.


def test_slots_taken_are_what_leases_and_beats_say() -> None:
    bench = Bench()
    entry = bench.add(max_concurrency=4)
    session = bench.live(entry)
    bench.beat(session, ServiceBeat(service_id=entry.service_id, load=Load(in_flight=2)))
    assert bench.in_flight(entry) == 2
    bench.ask(count=2)
    assert bench.in_flight(entry) == 4
    refused(Reason.NO_FREE_SLOT, bench.ask)
    bench.beat(session, ServiceBeat(service_id=entry.service_id, load=Load(in_flight=2)))
    assert bench.in_flight(entry) == 2, "the two are those of the leases"


def test_a_restarted_registry_starts_from_what_hellos_say() -> None:
    bench = Bench()
    entry = bench.add(max_concurrency=2)
    bench.live(entry)
    after = bench.restart()
    again = after.registry.get(entry.service_id)
    after.stream("agent", replace(ask(again), load=Load(in_flight=2)))
    balancing = after.registry.balancing
    error = refused(Reason.NO_FREE_SLOT, balancing.select, balancing.pool(CALC), SelectionRequest(), after.now)
    assert "all slots" in error.message


def test_a_unary_beat_tells_load_and_a_takeover_forgets_it() -> None:
    bench = Bench()
    entry = bench.add(liveness=TTL, max_concurrency=2)
    bench.registry.beat(ref_of(entry), Load(in_flight=2), ServiceStatus.UNSPECIFIED, bench.now)
    refused(Reason.NO_FREE_SLOT, bench.ask)
    bench.registry.beat(ref_of(entry), None, ServiceStatus.UNSPECIFIED, bench.now)
    assert bench.in_flight(entry) == 2, "a beat without load says nothing of it"
    bench.register(secret="another life of the agent, 32 bytes", takeover=True, liveness=TTL, max_concurrency=2)
    assert bench.in_flight(entry) == 0


# Leases.


def test_a_lease_belongs_to_its_identity() -> None:
    bench = Bench()
    bench.statics(1)
    lease = bench.select(caller=caller_of("spiffe://x/ann", "cron"))
    assert (owner_of(lease), name_of(lease)) == ("spiffe://x/ann", "cron")
    balancing = bench.registry.balancing
    for call in (balancing.release, balancing.renew):
        with pytest.raises(PermissionDenied, match="another caller") as caught:
            call(lease.selection_id, "spiffe://x/bob", bench.now)
        assert caught.value.reason is Reason.NOT_OWNER
    balancing.release(lease.selection_id, "spiffe://x/ann", bench.now)
    refused(Reason.NO_SUCH_LEASE, balancing.release, lease.selection_id, "spiffe://x/ann", bench.now)


def test_a_lease_that_nobody_came_to_hold_is_dropped_and_says_nothing_of_its_service() -> None:
    bench = Bench(balancer={"queue": 7})
    entry = bench.statics(1, max_concurrency=1)[0]
    lease = bench.select()
    bench.registry.balancing.drop(lease)
    bench.registry.balancing.drop(lease)  # once more is no fault
    assert bench.in_flight(entry) == 0
    assert bench.registry.balancing.slots_of(entry.service_id).performance.success_rate == 1.0
    refused(Reason.NO_SUCH_LEASE, bench.release, lease)
    assert bench.registry.balancing.config.queue == 7


def test_a_lease_ends_by_time_unless_renewed() -> None:
    bench = Bench()
    entry = bench.statics(1, max_concurrency=2)[0]
    balancing = bench.registry.balancing
    kept, forgotten = bench.select(ttl_s=2), bench.select(ttl_s=2)
    bench.pass_time(1)
    assert balancing.left_s(kept) == pytest.approx(1, abs=0.2)
    assert balancing.age_s(kept) == pytest.approx(1, abs=0.2)
    assert balancing.renew(kept.selection_id, "", bench.now, 10) is kept
    bench.pass_time(1.2)
    assert bench.heard.expired_leases == [forgotten]
    assert [*balancing.open_leases()] == [*balancing.open_leases(entry.service_id)] == [kept]
    assert (balancing.stats.leases_open, balancing.stats.leases_expired) == (1, 1)
    refused(Reason.NO_SUCH_SERVICE, balancing.open_leases, "nobody")


def test_a_stall_of_the_registry_ends_no_lease() -> None:
    bench = Bench()
    bench.statics(1)
    lease = bench.select(ttl_s=5)
    bench.pass_time(1)
    bench.clock.advance(60)
    bench.registry.advance(bench.now)
    assert bench.heard.expired_leases == []
    assert bench.registry.balancing.left_s(lease) == pytest.approx(4, abs=0.3)
    later = bench.select(ttl_s=5)
    assert bench.registry.balancing.left_s(later) == pytest.approx(5, abs=0.3), "it is not longer for the stall, either"


def test_leases_outlive_their_stream_by_ten_seconds_and_a_renewal_moves_them() -> None:
    bench = Bench()
    bench.statics(1)
    balancing = bench.registry.balancing
    moved, left, single = bench.select(stream="r1"), bench.select(stream="r1"), bench.select()
    balancing.renew(moved.selection_id, "", bench.now, stream="r2")
    balancing.renew(single.selection_id, "", bench.now, stream="r2")
    balancing.renew(single.selection_id, "", bench.now, stream="r2")
    balancing.stream_ended("r1", bench.now)
    bench.pass_time(10.2)
    assert bench.heard.expired_leases == [left]
    assert {lease.stream for lease in balancing.open_leases()} == {"r2"}
    balancing.stream_ended("r2", bench.now)
    bench.pass_time(10.2)
    assert [*balancing.open_leases()] == []


def test_who_dies_is_told_to_those_who_hold_it_once() -> None:
    bench = Bench()
    entry = bench.add(max_concurrency=4)
    session = bench.live(entry)
    leases = [bench.select(), bench.select()]
    bench.close(session)
    told = [(lease.selection_id, Code.DISCONNECTED) for lease in leases]
    assert bench.heard.lost_leases == told
    bench.remove(entry.service_id)
    assert bench.heard.lost_leases == told
    assert bench.registry.balancing.entry_of(leases[0]) is None
    bench.release(leases[0], Outcome.FAILED)
    removed = bench.add("other", liveness=STATIC)
    lease = bench.select()
    assert bench.registry.balancing.entry_of(lease) is removed
    bench.remove(removed.service_id)
    assert bench.heard.lost_leases[2:] == [(lease.selection_id, None)]


def test_a_freed_slot_and_a_newcomer_each_settle_one_who_waits() -> None:
    bench = Bench()
    bench.statics(1, max_concurrency=1)
    lease = bench.select()
    first, second, third = (bench.ask(wait_s=5) for _ in range(3))
    assert isinstance(third, Waiter)
    bench.registry.balancing.give_up(third)
    bench.release(lease)
    assert bench.heard.settled_waiters == [first]
    newcomer = bench.add("new", liveness=STATIC, max_concurrency=1)
    assert bench.heard.settled_waiters == [first, second]
    assert isinstance(second, Waiter)
    assert second.lease is not None
    assert second.lease.service_id == newcomer.service_id


def test_a_wait_ends() -> None:
    bench = Bench()
    bench.statics(1, max_concurrency=1)
    bench.select()
    waiter = bench.ask(wait_s=1)
    assert isinstance(waiter, Waiter)
    bench.pass_time(1.2)
    assert waiter.error is not None
    assert waiter.error.reason is Reason.NO_FREE_SLOT


def test_open_leases_are_bounded() -> None:
    bench = Bench({"leases": 3})
    bench.statics(1)
    bench.ask(count=2)
    error = refused(Reason.RATE_LIMITED, bench.ask, count=2)
    assert error.retry_after_s == 1.0
    bench.select()
    refused(Reason.RATE_LIMITED, bench.ask)


# Outcomes.


def test_who_fails_is_ejected_for_all_to_see_and_returns() -> None:
    bench = Bench()
    bad, good = bench.statics(2)
    bench.fail(bad)
    assert state_of(bad) == ("HEALTHY", "EJECTED")
    assert not bad.snapshot.ready
    assert bench.registry.balancing.stats.ejected == 1
    assert chosen(bench, 8) == {good.service_id}
    lease = bench.select(allow_degraded=True, excluded=frozenset({good.service_id}))
    assert lease.service_id == bad.service_id
    bench.release(lease)
    bench.pass_time(30.2)
    assert state_of(bad) == ("HEALTHY", "STATIC")
    assert bad.service_id in chosen(bench, 20)


def test_outcomes_of_leases_count_with_the_age_of_the_lease() -> None:
    bench = Bench()
    bad = bench.statics(2)[0]
    others = ids(bench.registry._fleet.catalog) - {bad.service_id}
    lease = bench.select(excluded=frozenset(others))
    bench.pass_time(2)
    bench.release(lease, Outcome.SUCCEEDED)
    performance = bench.registry.balancing.slots_of(bad.service_id).performance
    assert performance.times.max_s == pytest.approx(2, abs=0.2)
    for _ in range(5):
        bench.release(bench.select(excluded=frozenset(others)), Outcome.TIMED_OUT, 0.5)
    assert state_of(bad)[1] == "EJECTED"
    bench.remove(bad.service_id)
    bench.pass_time(31)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), 86_401.0])
def test_response_times_have_limits(seconds: float) -> None:
    bench = Bench()
    entry = bench.statics(1)[0]
    balancing = bench.registry.balancing
    lease = bench.select()
    with pytest.raises(InvalidArgument, match="response_time"):
        bench.release(lease, Outcome.SUCCEEDED, seconds)
    with pytest.raises(InvalidArgument, match="response_time"):
        balancing.report(entry.service_id, Outcome.SUCCEEDED, seconds, bench.now)
    with pytest.raises(NotFound):
        balancing.report("nobody", Outcome.SUCCEEDED, 1.0, bench.now)


def test_a_new_process_starts_slowly() -> None:
    bench = Bench({"slow_start_s": 10.0})
    entry = bench.add()
    session = bench.live(entry)
    slots = bench.registry.balancing.slots_of(entry.service_id)
    assert slots.warmth == 0.1
    bench.beats(session, 5)
    assert slots.warmth == pytest.approx(0.5, abs=0.1)
    bench.beats(session, 6)
    assert slots.warmth == 1.0
    bench.close(session)
    bench.live(entry)
    assert slots.warmth == 0.1


# Operators.


def test_a_strategy_is_set_where_it_applies() -> None:
    bench = Bench()
    bench.statics(2, capabilities=("add",))
    balancing = bench.registry.balancing
    assert balancing.set_strategy(Scope(capability="add"), StrategyName.ROUND_ROBIN) is None
    assert balancing.set_strategy(Scope(capability="add"), StrategyName.RANDOM) is StrategyName.ROUND_ROBIN
    assert balancing.set_strategy(Scope(service_name="calc"), None) is None
    bench.select(Selector(capabilities=("add",)))
    stats: BalancerStats = balancing.stats
    assert stats.strategies[StrategyName.RANDOM].selections == 1
    assert stats.scopes[Scope(capability="add")] is StrategyName.RANDOM
    for scope in (Scope(service_name="no name"), Scope(capability=" ")):
        with pytest.raises(InvalidArgument):
            balancing.set_strategy(scope, StrategyName.RANDOM)


def test_scopes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orion_registry.core.selection.scopes.SCOPES", 2)
    bench = Bench()
    one, other = Scope(capability="add"), Scope(service_name="calc")
    balancing = bench.registry.balancing
    balancing.set_strategy(one, StrategyName.RANDOM)
    refused(Reason.TOO_LARGE, balancing.set_strategy, other, StrategyName.RANDOM)
    assert balancing.set_strategy(one, StrategyName.ROUND_ROBIN) is StrategyName.RANDOM
    balancing.set_strategy(one, None)
    assert balancing.set_strategy(other, StrategyName.RANDOM) is None


def test_an_explanation_tells_what_would_be_chosen_and_chooses_nothing() -> None:
    bench = Bench()
    bench.statics(3)
    balancing = bench.registry.balancing
    pool, request = balancing.pool(CALC), SelectionRequest(strategy=StrategyName.RANDOM)
    told = [balancing.explain(pool, request, bench.now, random.Random(7).random) for _ in range(2)]
    assert told[0] == told[1]
    assert sum(one.verdict is Verdict.CHOSEN for one in told[0].candidates) == 1
    assert balancing.stats.leases_open == 0


def test_a_service_that_came_back_has_its_leases_still() -> None:
    bench = Bench()
    entry = bench.add(max_concurrency=1, liveness=STATIC)
    lease = bench.select()
    bench.remove(entry.service_id)
    bench.add(max_concurrency=1, liveness=STATIC)
    refused(Reason.NO_FREE_SLOT, bench.ask)
    bench.release(lease)
    assert bench.select().service_id == entry.service_id


def test_who_waits_is_not_given_a_service_that_has_just_left_its_pool() -> None:
    bench = Bench()
    entry = bench.add("agent", liveness=STATIC, max_concurrency=1, capabilities=("x",))
    bench.select(Selector(capabilities=("x",)))
    waiter = bench.ask(Selector(capabilities=("x",)), wait_s=10.0)
    assert isinstance(waiter, Waiter)
    paths = ("capabilities", "max_concurrency")
    bench.update(ref_of(entry), paths, agent_id="agent", liveness=STATIC, max_concurrency=2, capabilities=("y",))
    assert waiter.waiting
    assert bench.select(Selector(capabilities=("y",))).service_id == entry.service_id


def test_what_a_life_reported_that_is_over_takes_no_slot_of_the_next() -> None:
    bench = Bench()
    entry = bench.add(liveness=TTL, max_concurrency=4)
    beat = bench.registry.beat
    beat(ref_of(entry), Load(in_flight=0), ServiceStatus.UNSPECIFIED, bench.now)
    lease = bench.select()
    beat(ref_of(entry), Load(in_flight=4), ServiceStatus.UNSPECIFIED, bench.now)
    bench.remove(entry.service_id)
    entry = bench.add(liveness=TTL, max_concurrency=4)
    beat(ref_of(entry), None, ServiceStatus.UNSPECIFIED, bench.now)
    assert bench.in_flight(entry) == 1
    bench.release(lease)
    assert bench.in_flight(entry) == 0


def test_an_outcome_without_a_response_time_makes_nobody_fast() -> None:
    bench = Bench()
    (entry,) = bench.statics(1)
    bench.registry.balancing.report(entry.service_id, Outcome.SUCCEEDED, 2.0, bench.now)
    bench.registry.balancing.report(entry.service_id, Outcome.SUCCEEDED, None, bench.now)
    seen = bench.registry.balancing.slots_of(entry.service_id).performance
    assert (seen.succeeded, seen.times.min_s, seen.mean_s) == (2, 2.0, 2.0)


def test_a_wait_for_those_who_are_gone_says_so() -> None:
    bench = Bench()
    entry = bench.add(max_concurrency=1)
    session = bench.live(entry)
    bench.select()
    first, second = bench.ask(wait_s=2.0), bench.ask(wait_s=4.0)
    assert isinstance(first, Waiter)
    assert isinstance(second, Waiter)
    bench.close(session)
    bench.pass_time(3)
    assert first.error is not None
    assert first.error.reason is Reason.NO_READY_SERVICE
    bench.remove(entry.service_id)
    bench.pass_time(2)
    assert second.error is not None
    assert second.error.reason is Reason.NO_MATCH


def test_who_comes_back_on_another_stream_is_told_who_died_meanwhile() -> None:
    bench = Bench()
    entry = bench.add("agent0")
    session = bench.live(entry)
    dead, gone = bench.select(stream="r1"), bench.select(stream="r1")
    balancing = bench.registry.balancing
    balancing.stream_ended("r1", bench.now)
    bench.close(session)
    bench.heard.lost_leases.clear()
    balancing.renew(dead.selection_id, "", bench.now, stream="r2")
    balancing.renew(dead.selection_id, "", bench.now, stream="r2")
    assert bench.heard.lost_leases == [(dead.selection_id, Code.DISCONNECTED)]
    bench.remove(entry.service_id)
    bench.heard.lost_leases.clear()
    balancing.renew(gone.selection_id, "", bench.now, stream="r2")
    assert bench.heard.lost_leases == [(gone.selection_id, None)]


def test_the_oldest_lease_is_that_of_the_first_grant_though_its_service_is_gone() -> None:
    bench = Bench()
    (entry,) = bench.statics(1)
    oldest = bench.registry.balancing.oldest_lease
    assert oldest(entry.service_id) is None
    first, second = bench.select(), bench.select()
    assert oldest(entry.service_id) is first
    bench.remove(entry.service_id)
    assert oldest(entry.service_id) is first
    bench.release(first)
    assert oldest(entry.service_id) is second
    assert oldest("nobody") is None
