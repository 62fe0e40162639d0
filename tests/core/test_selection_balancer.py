"""Leases, waiting, scopes and the three kinds of none, through the front door."""

import random
from collections import Counter
from typing import Any

import pytest

from orion_registry.core.selection import waits
from orion_registry.core.selection.expiry import Expiries
from orion_registry.core.selection.explain import Verdict
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.pool import RANKINGS
from orion_registry.core.selection.random import Random
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.round_robin import RoundRobin
from orion_registry.core.selection.scopes import Scope
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategies import STRATEGIES
from orion_registry.core.selection.strategy import Draw, StrategyStats
from orion_registry.errors import InvalidArgument, NotFound, Reason, ResourceExhausted, Unavailable
from tests.core.selecting import Bench, Member, N, Outcome, Tier, members


def full(**fields: Any) -> Bench:
    """One agent with one slot, taken."""
    bench = Bench(Member("a", max_concurrency=1, **fields))
    bench.select(caller="holder")
    return bench


# Leases.


def test_a_lease_reserves_its_slot_until_it_is_released() -> None:
    bench = Bench(Member("a", max_concurrency=1))
    lease = bench.select(caller="me")
    assert (lease.service_id, lease.caller, lease.expires) == ("a", "me", bench.now + 60)
    with pytest.raises(ResourceExhausted) as caught:
        bench.select()
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.NO_FREE_SLOT, 1.0)
    bench.release(lease)
    assert bench.select().selection_id != lease.selection_id


def test_a_second_release_is_told_that_there_is_no_such_lease() -> None:
    bench = Bench(Member("a"))
    lease = bench.select()
    bench.release(lease)
    with pytest.raises(NotFound, match="selection_id: no open lease 'life-1'") as caught:
        bench.release(lease)
    assert caught.value.reason is Reason.NO_SUCH_LEASE
    assert bench.balancer.get("a").in_flight == 0


def test_a_lease_ends_by_its_ttl_and_is_told() -> None:
    bench = Bench(Member("a", max_concurrency=2))
    short, long = bench.select(ttl_s=5.0), bench.select()
    assert bench.balancer.next() == bench.now + 5
    bench.advance(4.999)
    assert bench.heard.expired_leases == []
    bench.advance(0.001)
    assert bench.heard.expired_leases == [short]
    assert list(bench.balancer.leases) == [long]
    bench.advance(55)
    assert (len(bench.balancer.leases), bench.balancer.get("a").in_flight) == (0, 0)
    assert bench.balancer.next() is None


def test_a_renewed_lease_lasts_from_then() -> None:
    bench = Bench(Member("a"))
    lease = bench.select(ttl_s=5.0)
    bench.advance(4)
    assert bench.balancer.renew(lease.selection_id, bench.now).expires == bench.now + 5
    assert bench.balancer.renew(lease.selection_id, bench.now, 3600.0).expires == bench.now + 3600
    bench.advance(3599)
    assert len(bench.balancer.leases) == 1
    with pytest.raises(InvalidArgument, match="lease_ttl: must be above 0 and at most 3,600 s, got 3,601"):
        bench.balancer.renew(lease.selection_id, bench.now, 3601)


def test_leases_of_a_broken_stream_last_ten_seconds_unless_renewed() -> None:
    bench = Bench(Member("a"))
    ended, kept, dying, elsewhere = (
        bench.select(stream="s"),
        bench.select(stream="s"),
        bench.select(stream="s", ttl_s=3.0),
        bench.select(stream="t"),
    )
    released = bench.select(stream="s")
    bench.release(released)
    bench.balancer.stream_ended("s", bench.now)
    bench.balancer.stream_ended("s", bench.now)
    bench.advance(3)
    assert bench.heard.expired_leases == [dying]
    bench.balancer.renew(kept.selection_id, bench.now)
    bench.advance(7)
    assert bench.heard.expired_leases == [dying, ended]
    assert list(bench.balancer.leases) == [kept, elsewhere]


def test_the_same_request_is_given_the_same_leases_while_they_are_open() -> None:
    bench = Bench(Member("a"))
    first = bench.ask(caller="me", request_id="r", count=2, payload="p")
    assert bench.ask(caller="me", request_id="r", count=2, payload="p") == first
    assert bench.ask(caller="you", request_id="r", count=2, payload="p") != first
    assert bench.balancer.get("a").in_flight == 4
    with pytest.raises(InvalidArgument) as caught:
        bench.ask(caller="me", request_id="r", payload="other")
    assert caught.value.reason is Reason.REQUEST_ID_REUSED
    assert isinstance(first, tuple)
    bench.release(first[0])
    assert bench.ask(caller="me", request_id="r", count=2, payload="p") == first[1:]
    bench.release(first[1])
    assert bench.select(caller="me", request_id="r", payload="other") not in first


def test_several_at_once_are_as_many_as_there_are_slots() -> None:
    bench = Bench(*members(2, max_concurrency=2))
    got = bench.ask(count=3)
    assert isinstance(got, tuple)
    assert sorted(Counter(lease.service_id for lease in got).values()) == [1, 2]
    assert len(bench.ask(count=3)) == 1  # type: ignore[arg-type] # a tuple: one slot was left
    with pytest.raises(ResourceExhausted):
        bench.ask(count=3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 0}, "count: must be 1 to 100, got 0"),
        ({"count": 101}, "count: must be 1 to 100, got 101"),
        ({"wait_s": -1.0}, "wait_timeout: must be 0 to 3,600 s, got -1.0"),
        ({"wait_s": float("nan")}, "wait_timeout: must be 0 to 3,600 s, got nan"),
        ({"ttl_s": 0.0}, "lease_ttl: must be above 0 and at most 3,600 s, got 0.0"),
        (
            {"excluded": frozenset(map(str, range(1001)))},
            "exclude_service_ids: must be at most 1,000 entries, got 1,001",
        ),
    ],
)
def test_requests_are_checked(fields: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        SelectionRequest(**fields)


# Slots.


def test_reports_raise_in_flight_and_never_lower_it() -> None:
    bench = Bench(Member("a", max_concurrency=4))
    slots = bench.balancer.get("a")
    lease = bench.select()
    bench.balancer.report("a", 0, 0.0, bench.now)  # lying low gains nothing
    assert slots.in_flight == 1
    bench.balancer.report("a", 3, 0.0, bench.now)  # two that we know nothing of
    assert (slots.in_flight, slots.beyond) == (3, 2)
    other = bench.select()
    assert not slots.free
    bench.release(lease)
    bench.release(other)
    assert slots.in_flight == 2  # as of the last report
    bench.balancer.report("a", 0, 0.0, bench.now)
    assert slots.in_flight == 0


def test_a_lowered_limit_holds_for_the_next() -> None:
    bench = Bench(Member("a", max_concurrency=3))
    leases = [bench.select() for _ in range(3)]
    bench.put(Member("a", max_concurrency=1))
    for lease in leases[:2]:
        bench.release(lease)
        with pytest.raises(ResourceExhausted):
            bench.select()
    bench.release(leases[2])
    bench.select()


def test_leases_outlive_their_service_and_count_when_it_comes_back() -> None:
    bench = Bench(Member("a", max_concurrency=2))
    kept, ended = bench.select(), bench.select()
    bench.balancer.drop("a")
    with pytest.raises(NotFound, match="no service matches"):
        bench.select()
    with pytest.raises(NotFound) as caught:
        bench.balancer.get("a")
    assert caught.value.reason is Reason.NO_SUCH_SERVICE
    bench.release(ended, Outcome.FAILED)
    bench.put(Member("a", max_concurrency=1))
    with pytest.raises(ResourceExhausted):
        bench.select()
    assert list(bench.balancer.get("a").leases) == [kept]
    bench.release(kept)
    bench.select()


def test_what_is_gone_is_forgotten_with_its_last_lease() -> None:
    bench = Bench(Member("a"), Member("b"), Member("c"))
    released, expired = bench.select(excluded=frozenset("bc")), bench.select(excluded=frozenset("ac"))
    for name in "abc":
        bench.balancer.drop(name)
    assert set(bench.balancer._slots) == {"a", "b"}
    bench.release(released)
    bench.advance(60)
    assert bench.heard.expired_leases == [expired]
    assert bench.balancer._slots == {}
    bench.balancer.leave(bench.pool, "a")


def test_a_pick_without_a_free_slot_is_a_defect_that_shows() -> None:
    slots = Slots(Member("a", max_concurrency=1))
    slots.take(Lease("1", 1, slots, "", "", 0.0, 1.0, None))
    with pytest.raises(AssertionError, match="a has no free slot"):
        slots.take(Lease("2", 2, slots, "", "", 0.0, 1.0, None))


# Tiers and none.


def test_a_tier_serves_only_when_all_before_it_are_full() -> None:
    tiers = [Tier.FIRST, Tier.SECOND, Tier.DEGRADED, Tier.DEGRADED_LAST, Tier.NEVER]
    bench = Bench(*(Member(tier.name, tier=tier, max_concurrency=1) for tier in reversed(tiers)))
    assert [bench.select().service_id for _ in range(2)] == ["FIRST", "SECOND"]
    with pytest.raises(ResourceExhausted):
        bench.select()
    got = [bench.select(allow_degraded=True).service_id for _ in range(2)]
    assert got == ["DEGRADED", "DEGRADED_LAST"]
    with pytest.raises(ResourceExhausted):
        bench.select(allow_degraded=True)


def test_three_kinds_of_none() -> None:
    bench = Bench()
    with pytest.raises(NotFound, match=r"selector: no service matches$") as none:
        bench.select()
    assert none.value.reason is Reason.NO_MATCH
    bench.put(Member("a", tier=Tier.DEGRADED, max_concurrency=1))
    with pytest.raises(Unavailable, match="of 1 matching services none is ready") as unready:
        bench.select(wait_s=5.0)
    assert (unready.value.reason, unready.value.retry_after_s) == (Reason.NO_READY_SERVICE, 1.0)
    with pytest.raises(NotFound, match="no service matches but 1 that the request excludes"):
        bench.select(excluded=frozenset("a"))
    bench.put(Member("a", max_concurrency=1))
    bench.select()
    with pytest.raises(ResourceExhausted, match="all slots of 1 matching services are taken, 0 callers wait"):
        bench.select()


def test_who_dies_is_out_of_every_pool_at_once() -> None:
    bench = Bench(*members(2))
    other = bench.pool_of("other", "s0", "s1")
    for pool in (bench.pool, other):
        bench.select(pool)
    bench.put(Member("s0", tier=Tier.NEVER))
    for pool in (bench.pool, other):
        for name in N:
            assert {bench.select(pool, strategy=name).service_id for _ in range(20)} == {"s1"}


# Waiting.


def test_a_freed_slot_wakes_exactly_one() -> None:
    bench = Bench(Member("a", max_concurrency=1))
    lease = bench.select()
    first, second = bench.wait(caller="x"), bench.wait(caller="y")
    bench.release(lease)
    assert bench.heard.settled_waiters == [first]
    assert first.lease is not None
    assert (first.lease.service_id, first.lease.caller, second.waiting) == ("a", "x", True)
    with pytest.raises(ResourceExhausted):  # nobody can overtake
        bench.select()
    bench.release(first.lease)
    assert bench.heard.settled_waiters == [first, second]


def test_waiting_strictly_in_turn_goes_round_the_callers_and_says_who_is_before() -> None:
    bench = Bench(Member("a", max_concurrency=1), queue_window=1)
    bench.select()
    a1, a2, a3 = (bench.wait(caller="a") for _ in range(3))
    b1, b2 = (bench.wait(caller="b") for _ in range(2))
    c1 = bench.wait(caller="c")
    order = [a1, b1, c1, a2, b2, a3]
    assert [waiter.position for waiter in order] == [0, 1, 2, 3, 4, 5]
    for _ in order:
        (lease,) = bench.balancer.leases
        bench.release(lease)
    assert bench.heard.settled_waiters == order
    assert bench.balancer.waiting == 0


def test_equal_callers_are_served_as_they_come_and_nobody_waits_for_a_greedy_one() -> None:
    """A window of 8: of 50 waiters of one caller 8 are before a newcomer; equal callers go by arrival."""
    bench = full()
    greedy = [bench.wait(caller="greedy") for _ in range(50)]
    others = [bench.wait(caller=caller) for caller in "abab"]
    assert [waiter.position for waiter in others] == [8, 9, 10, 11]
    assert [waiter.position for waiter in greedy] == [*range(8), *range(12, 54)]
    order = bench.pool.line.all()
    bench.balancer.give_up(greedy[30])  # from behind the line
    bench.balancer.give_up(greedy[2])  # from within: its follower joins at the end
    order = [waiter for waiter in bench.pool.line.all() if waiter.waiting]
    assert len(order) == 52
    for _ in order:
        (lease,) = bench.balancer.leases
        bench.release(lease)
    assert bench.heard.settled_waiters == order


def test_a_slot_that_the_line_does_not_want_goes_to_those_behind_it() -> None:
    bench = Bench(Member("a", max_concurrency=1), Member("b", max_concurrency=1), queue_window=1)
    on_a, _ = bench.select(excluded=frozenset("b")), bench.select(excluded=frozenset("a"))
    picky, easy = bench.wait(excluded=frozenset("a")), bench.wait()
    bench.release(on_a)
    assert bench.heard.settled_waiters == [easy]
    assert picky.waiting


def test_a_full_queue_refuses_the_greedy_and_makes_room_for_the_modest() -> None:
    bench = Bench(Member("a", max_concurrency=1), queue=3)
    bench.select()
    greedy = [bench.wait(caller="greedy") for _ in range(3)]
    with pytest.raises(ResourceExhausted) as caught:
        bench.wait(caller="greedy")
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.QUEUE_FULL, 1.0)
    modest = bench.wait(caller="modest")
    assert bench.heard.settled_waiters == [greedy[2]]
    assert greedy[2].error is not None
    assert greedy[2].error.reason is Reason.QUEUE_FULL
    assert modest.position == 2
    with pytest.raises(ResourceExhausted):  # two against one: taking turns would change nothing
        bench.wait(caller="modest")
    assert bench.balancer.waiting == 3


def test_a_wait_ends_at_its_deadline() -> None:
    bench = full()
    waiter = bench.wait(wait_s=5.0)
    assert bench.balancer.next() == bench.now + 5
    bench.advance(5)
    assert bench.heard.settled_waiters == [waiter]
    assert waiter.error is not None
    assert (waiter.error.reason, waiter.waiting) == (Reason.NO_FREE_SLOT, False)
    assert bench.balancer.waiting == len(bench.pool.line) == 0


def test_who_gives_up_takes_no_slot() -> None:
    bench = full()
    waiter, other = bench.wait(), bench.wait()
    bench.balancer.give_up(waiter)
    bench.balancer.give_up(waiter)
    (lease,) = bench.balancer.leases
    bench.release(lease)
    assert bench.heard.settled_waiters == [other]


def test_whatever_frees_a_slot_wakes() -> None:
    def after(change: Any, **fields: Any) -> bool:
        bench = full(**fields)
        waiter = bench.wait()
        change(bench)
        return waiter.lease is not None

    assert not after(lambda bench: bench.advance(60))  # the wait was over before the lease was
    assert after(lambda bench: bench.put(Member("a", max_concurrency=2)))
    assert after(lambda bench: bench.put(Member("b", max_concurrency=1)))
    assert not after(lambda bench: bench.put(Member("b", tier=Tier.DEGRADED)))
    bench = Bench(Member("a", max_concurrency=1))
    bench.balancer.report("a", 1, 0.0, bench.now)
    waiter = bench.wait()
    bench.balancer.report("a", 0, 0.0, bench.now)
    assert waiter.lease is not None
    bench = Bench(Member("a", max_concurrency=1), Member("b", max_concurrency=1))
    bench.select(ttl_s=2.0, excluded=frozenset("b"))
    bench.fail("b", 5)
    waiter = bench.wait(wait_s=100.0)
    later = bench.wait(wait_s=100.0, caller="later")
    bench.advance(2)
    assert waiter.lease is not None  # a lease expired
    bench.advance(28)
    assert later.lease is not None  # an ejected one returned


def test_a_slot_goes_to_the_first_who_wants_it() -> None:
    bench = Bench(Member("a", max_concurrency=1), Member("b", max_concurrency=1))
    on_a, _ = bench.select(excluded=frozenset("b")), bench.select(excluded=frozenset("a"))
    picky, easy = bench.wait(caller="picky", excluded=frozenset("a")), bench.wait(caller="easy")
    bench.release(on_a)
    assert bench.heard.settled_waiters == [easy]
    assert picky.waiting


def test_over_several_pools_the_longest_wait_is_served_first() -> None:
    bench = Bench(Member("a", max_concurrency=1))
    other = bench.pool_of("other", "a")
    lease = bench.select()
    first, second = bench.wait(other), bench.wait()
    bench.release(lease)
    assert bench.heard.settled_waiters == [first]
    assert second.waiting


def test_a_waiter_with_a_request_id_can_ask_again_for_its_lease() -> None:
    bench = full()
    waiter = bench.wait(caller="me", request_id="r", payload="p")
    (lease,) = bench.balancer.leases
    bench.release(lease)
    assert bench.ask(caller="me", request_id="r", payload="p", wait_s=10.0) == (waiter.lease,)


# Pools, scopes and strategies.


def test_pools_unused_for_longest_make_room_unless_somebody_waits() -> None:
    bench = Bench(Member("a", max_concurrency=1), pools=2)
    waiter_lease = bench.select()
    bench.wait()
    second = bench.pool_of("second", "a")
    assert second is bench.pool_of("second")
    bench.wait(second)
    third = bench.pool_of("third", "a")  # all others have waiters
    third_ranking = third.ranking(N.RANDOM, STRATEGIES, bench.balancer.scopes.stats[N.RANDOM])
    fourth = bench.pool_of("fourth", "a")
    assert len(bench.balancer.pools) == 3
    assert (len(third.members), len(fourth.members)) == (0, 1)
    bench.release(waiter_lease)
    watchers = bench.balancer.get("a").watchers
    assert len(watchers) == 2  # the rankings of the two pools that were asked
    assert all(watcher is not third_ranking.changed for watcher in watchers)


def test_services_enter_and_leave_pools() -> None:
    bench = Bench(*members(2))
    bench.select()
    bench.balancer.leave(bench.pool, "s0")
    bench.balancer.leave(bench.pool, "s0")
    assert {bench.select().service_id for _ in range(9)} == {"s1"}
    bench.balancer.join(bench.pool, "s0", bench.now)
    bench.balancer.join(bench.pool, "s0", bench.now)
    assert {bench.select().service_id for _ in range(9)} >= {"s0"}


def test_the_narrowest_scope_decides_and_changes_at_once() -> None:
    bench = Bench(*members(3))
    scopes = bench.balancer.scopes
    pool = bench.pool_of("p", "s0", "s1", "s2", service_name="calc", capabilities=("add", "multiply"))

    def name() -> N:
        return bench.balancer.explain(pool, SelectionRequest(), bench.now, lambda: 0.0).strategy

    assert name() is N.WEIGHTED_LEAST_LOAD
    scopes.set(Scope(), N.RANDOM)
    assert name() is N.RANDOM
    scopes.set(Scope(capability="multiply"), N.PEAK_EWMA)
    assert name() is N.PEAK_EWMA
    scopes.set(Scope(capability="add"), N.LEAST_CONNECTIONS)
    assert name() is N.LEAST_CONNECTIONS
    scopes.set(Scope(service_name="calc"), N.ROUND_ROBIN)
    assert name() is N.ROUND_ROBIN
    assert [bench.select(pool).service_id for _ in range(3)] == ["s0", "s1", "s2"]
    scopes.set(Scope(service_name="calc"), None)
    scopes.set(Scope(capability="add"), None)
    scopes.set(Scope(capability="multiply"), None)
    scopes.set(Scope(), None)
    assert name() is N.WEIGHTED_LEAST_LOAD
    assert scopes.table() == {Scope(): N.WEIGHTED_LEAST_LOAD}
    assert (scopes.stats[N.ROUND_ROBIN].switches, scopes.stats[N.ROUND_ROBIN].selections) == (1, 3)
    assert len(bench.balancer.get("s0").watchers) == 1  # those switched away from are not kept up to date
    with pytest.raises(InvalidArgument, match="scope: must be a service_name or a capability, not both"):
        Scope(service_name="calc", capability="add")


def test_a_selector_without_a_name_has_no_scope_of_its_own() -> None:
    """The scope with neither is the default: it must not be taken for that of a selector without a service_name."""
    bench = Bench(*members(2))
    bench.balancer.scopes.set(Scope(), N.RANDOM)
    bench.balancer.scopes.set(Scope(capability="add"), N.ROUND_ROBIN)
    assert bench.balancer.scopes.resolve("", ("add",)) is N.ROUND_ROBIN


class Broken(Random):
    """Raises where it is told to."""

    where = ""

    def pick(self, draw: Draw, now: float, key: str, excluded: Any) -> Any:
        if self.where == "pick":
            raise ZeroDivisionError("pick")
        return super().pick(draw, now, key, excluded)

    def took(self, slots: Slots) -> None:
        if self.where == "took":
            raise ZeroDivisionError("took")

    def leave(self, slots: Slots) -> None:
        if self.where == "leave":
            raise ZeroDivisionError("leave")
        super().leave(slots)


@pytest.mark.parametrize("where", ["pick", "took", "leave"])
def test_a_strategy_that_raises_costs_no_selection_and_round_robin_stands_in(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(*members(3, max_concurrency=50), strategies={**STRATEGIES, N.RANDOM: Broken})
    for _ in range(3):
        bench.call(strategy=N.RANDOM)
    monkeypatch.setattr(Broken, "where", where)
    if where == "leave":
        bench.put(Member("s0", tier=Tier.NEVER))
    picks = Counter(bench.select(strategy=N.RANDOM).service_id for _ in range(61))
    assert sum(picks.values()) == 61
    assert max(picks.values()) - min(picks.values()) <= 2
    stats = bench.balancer.scopes.stats[N.RANDOM]
    assert (stats.failures, stats.selections) == (1, 64)
    explained = bench.balancer.explain(bench.pool, SelectionRequest(strategy=N.RANDOM), bench.now, lambda: 0.0)
    assert f"(round robin stands in: ZeroDivisionError: {where})" in explained.reason


def test_one_that_raised_is_tried_again_once_a_strategy_is_set_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(*members(3), strategies={**STRATEGIES, N.RANDOM: Broken})
    bench.balancer.scopes.set(Scope(), N.RANDOM)
    monkeypatch.setattr(Broken, "where", "pick")
    bench.call()
    monkeypatch.setattr(Broken, "where", "")
    bench.call()
    request = SelectionRequest()
    assert "stands in" in bench.balancer.explain(bench.pool, request, bench.now, lambda: 0.0).reason
    bench.balancer.scopes.set(Scope(), N.RANDOM)
    assert "stands in" not in bench.balancer.explain(bench.pool, request, bench.now, lambda: 0.0).reason


# Explaining.


def test_an_explanation_tells_why_each_lost() -> None:
    bench = Bench(
        Member("busy", max_concurrency=4),
        Member("full", max_concurrency=1),
        Member("idle", max_concurrency=2),
        Member("late", tier=Tier.SECOND),
        Member("out", max_concurrency=8),
        Member("unwanted", max_concurrency=8),
    )
    bench.balancer.report("busy", 3, 0.0, bench.now)
    bench.balancer.report("full", 1, 0.0, bench.now)
    bench.fail("out", 5)
    request = SelectionRequest(excluded=frozenset({"unwanted"}))
    explained = bench.balancer.explain(bench.pool, request, bench.now, lambda: 0.0)
    assert explained.chosen == "idle"
    assert {one.service_id: one.verdict for one in explained.candidates} == {
        "busy": Verdict.OUTRANKED,
        "full": Verdict.FULL,
        "idle": Verdict.CHOSEN,
        "late": Verdict.LATER_TIER,
        "out": Verdict.NOT_READY,
        "unwanted": Verdict.EXCLUDED,
    }
    by_id = {one.service_id: one for one in explained.candidates}
    assert (by_id["busy"].cost, by_id["idle"].cost, by_id["full"].cost) == (1.0, 0.5, None)
    assert (by_id["out"].ejected, by_id["out"].success_rate, by_id["out"].tier) == (True, 0.0, Tier.DEGRADED)
    assert explained.reason == (
        "WEIGHTED_LEAST_LOAD: idle at 0.5; 1 NOT_READY, 1 EXCLUDED, 1 FULL, 1 LATER_TIER, 1 OUTRANKED"
    )


def test_an_explanation_of_nothing_says_so() -> None:
    bench = Bench()
    empty = bench.balancer.explain(bench.pool, SelectionRequest(), bench.now, lambda: 0.0)
    assert (empty.chosen, empty.reason) == (None, "none of 0")
    bench.put(Member("a", tier=Tier.NEVER))
    unready = bench.balancer.explain(bench.pool, SelectionRequest(), bench.now, lambda: 0.0)
    assert (unready.chosen, unready.reason) == (None, "none of 1: 1 NOT_READY")
    bench.put(Member("a"))
    alone = bench.balancer.explain(bench.pool, SelectionRequest(), bench.now, lambda: 0.0)
    assert alone.reason == "WEIGHTED_LEAST_LOAD: a at 0.0625"


@pytest.mark.parametrize("name", list(N))
def test_explaining_tells_the_next_pick_and_does_not_change_it(name: N) -> None:
    """Replayable: with the draws that the selection will use, it names the same one, as often as it is asked."""
    bench = Bench(*members(6, max_concurrency=7))
    for number in range(40):
        draws = [((number * 7 + place * 5) % 32) / 32 for place in range(8)]
        request = SelectionRequest(strategy=name, key=f"key {number}")
        told = {str(bench.balancer.explain(bench.pool, request, bench.now, iter(draws).__next__)) for _ in range(3)}
        assert len(told) == 1
        explained = bench.balancer.explain(bench.pool, request, bench.now, iter(draws).__next__)
        bench.balancer._draw = iter(draws).__next__
        lease = bench.select(strategy=name, key=f"key {number}")
        assert lease.service_id == explained.chosen
        if number % 3 == 0:
            bench.now += 1
            bench.release(lease, Outcome.SUCCEEDED)


# Expiries.


def test_expiries_end_in_order_and_forget_empty_seconds() -> None:
    class Item:
        def __init__(self, expires: float) -> None:
            self.expires = expires

    expiries: Expiries[Item] = Expiries()
    assert (expiries.next(), list(expiries.due(1e9))) == (None, [])
    items = [Item(expires) for expires in (7.5, 3.25, 3.75, 3.5, 1e6)]
    for item in items:
        expiries.add(item)
    assert expiries.next() == 3.25
    assert [item.expires for item in expiries.due(3.6)] == [3.25, 3.5]
    expiries.remove(items[2])
    assert expiries.next() == 7.5
    for second in range(10_000):
        item = Item(second + 1000.0)
        expiries.add(item)
        expiries.remove(item)
    assert len(expiries._heap) < 600
    assert [item.expires for item in expiries.due(1e7)] == [7.5, 1e6]


def test_the_end_of_one_may_end_another() -> None:
    class Item:
        expires = 1.0

    expiries: Expiries[Item] = Expiries()
    first, second = Item(), Item()
    expiries.add(first)
    expiries.add(second)
    due = expiries.due(2.0)
    assert next(due) is first
    expiries.remove(second)
    assert list(due) == []


def test_those_who_come_and_go_leave_nothing_in_a_pool_that_nobody_asks() -> None:
    bench = Bench(Member("a"))
    bench.call()
    for number in range(100):
        bench.put(Member(f"x{number}"))
        bench.balancer.drop(f"x{number}")
    ranking = bench.pool.ranking(N.WEIGHTED_LEAST_LOAD, STRATEGIES, StrategyStats())
    assert len(ranking.changed) <= 1


def test_a_retry_on_another_stream_takes_its_leases_along() -> None:
    bench = Bench(Member("a"))
    lease = bench.select(caller="me", request_id="r", payload="p", stream="old")
    assert bench.select(caller="me", request_id="r", payload="p", stream="new") is lease
    bench.balancer.stream_ended("old", bench.now)
    bench.advance(30)
    assert list(bench.balancer.leases) == [lease]


def test_a_request_that_is_asked_again_while_it_waits_gets_one_slot() -> None:
    bench = Bench(Member("a", max_concurrency=2))
    leases = [bench.select(), bench.select()]
    first = bench.wait(caller="me", request_id="r", payload="p")
    again = bench.wait(caller="me", request_id="r", payload="p")
    with pytest.raises(InvalidArgument) as caught:
        bench.wait(caller="me", request_id="r", payload="other")
    assert caught.value.reason is Reason.REQUEST_ID_REUSED
    for lease in leases:
        bench.release(lease)
    assert first.lease is None
    assert list(bench.balancer.leases) == [again.lease]
    assert bench.balancer.waiting == len(bench.pool.line) == 0


def test_a_pool_keeps_few_rankings_whatever_is_asked() -> None:
    bench = Bench(*[Member(f"s{place}", zone=f"z{place}") for place in range(9)])
    for zone in range(9):
        for name in N:
            bench.call(strategy=name, zone=f"z{zone}")
    assert bench.pool.rankings == RANKINGS
    assert bench.pool.size == RANKINGS * 9
    assert {len(bench.balancer.get(f"s{place}").watchers) for place in range(9)} == {RANKINGS}


def test_few_wait_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "WAITING", 3)
    bench = Bench(Member("s0", max_concurrency=1))
    other = bench.pool_of("other", "s0")
    bench.select()
    for pool in (None, other, None):
        bench.wait(pool)
    with pytest.raises(ResourceExhausted, match="3 callers wait already"):
        bench.wait(other)


def test_a_cost_that_raises_is_no_fault_of_who_asks_for_reasons() -> None:
    class Broken(RoundRobin):
        def cost(self, _slots: Slots, _now: float) -> float:
            raise ZeroDivisionError

    bench = Bench(*members(2), strategies={**STRATEGIES, N.RANDOM: Broken})
    told = bench.balancer.explain(bench.pool, SelectionRequest(strategy=N.RANDOM), bench.now, random.Random(1).random)
    assert told.chosen is not None
    assert bench.balancer.scopes.stats[N.RANDOM].failures == 1
