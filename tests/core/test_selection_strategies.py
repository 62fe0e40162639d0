"""What each strategy promises, counted over many picks: exactly where it goes by turns, else by chi-squared."""

import random
from collections import Counter
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.selection.bounded_hash import FACTOR
from orion_registry.core.selection.buckets import Buckets
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.round_robin import RoundRobin
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategies import STRATEGIES
from tests.core.selecting import Bench, Member, N, Outcome, members


def chi_squared(counts: Counter[str], expected: dict[str, float]) -> float:
    assert set(counts) <= set(expected)
    return sum((counts[name] - mean) ** 2 / mean for name, mean in expected.items())


CHI_9 = 27.88
"""99.9 % quantile of chi-squared with 9 degrees of freedom."""


def test_round_robin_gives_everybody_exactly_one_turn_a_round() -> None:
    bench = Bench(*members(7))
    for _ in range(5):
        assert [bench.call(strategy=N.ROUND_ROBIN) for _ in range(7)] == [f"s{place}" for place in range(7)]


def test_round_robin_goes_on_where_it_was_when_somebody_comes_or_goes() -> None:
    bench = Bench(*members(4))
    assert [bench.call(strategy=N.ROUND_ROBIN) for _ in range(2)] == ["s0", "s1"]
    bench.balancer.drop("s2")
    bench.put(Member("new"))
    assert [bench.call(strategy=N.ROUND_ROBIN) for _ in range(4)] == ["s3", "s0", "s1", "new"]


def test_round_robin_keeps_the_turn_of_whom_a_caller_excludes() -> None:
    bench = Bench(*members(3))
    assert bench.call(strategy=N.ROUND_ROBIN, excluded=frozenset({"s0"})) == "s1"
    assert [bench.call(strategy=N.ROUND_ROBIN) for _ in range(3)] == ["s0", "s2", "s1"]


def test_an_empty_ring_begins_anew() -> None:
    ring, one = RoundRobin(), Slots(Member("one"))
    assert ring.pick(random.random, 0.0, "", ()) is None
    ring.enter(one)
    ring.leave(one)
    assert ring.pick(random.random, 0.0, "", ()) is None
    ring.enter(one)
    assert ring.pick(random.random, 0.0, "", ()) is one
    assert ring.pick(random.random, 0.0, "", {"one"}) is None


@given(st.lists(st.integers(1, 49), min_size=1, max_size=6))
def test_weighted_turns_are_exact_in_every_period(weights: list[int]) -> None:
    """With whole capacities each gets exactly its own in each period; rounding does not show."""
    bench = Bench(*(Member(f"s{place}", weight=weight / 16) for place, weight in enumerate(weights)))
    for _ in range(3):
        counts = Counter(bench.call(strategy=N.WEIGHTED_ROUND_ROBIN) for _ in range(sum(weights)))
        assert [counts[f"s{place}"] for place in range(len(weights))] == weights


def test_weighted_turns_are_spread_evenly() -> None:
    """Between two turns of the heaviest nobody else has as many: 4 of 7 never come in a row of more than two."""
    bench = Bench(Member("a", weight=4), Member("b", weight=2), Member("c", weight=1))
    turns = "".join(bench.call(strategy=N.WEIGHTED_ROUND_ROBIN) for _ in range(70))
    assert "aaa" not in turns
    assert "bb" not in turns


def test_weighted_turns_follow_a_new_weight_from_now() -> None:
    bench = Bench(Member("a"), Member("b"))
    for _ in range(100):
        bench.call(strategy=N.WEIGHTED_ROUND_ROBIN)
    bench.put(Member("b", weight=3))
    counts = Counter(bench.call(strategy=N.WEIGHTED_ROUND_ROBIN) for _ in range(40))
    assert counts == {"a": 10, "b": 30}


def test_who_was_full_has_no_turns_to_catch_up() -> None:
    bench = Bench(Member("a", max_concurrency=16), Member("b", max_concurrency=16))
    bench.balancer.report("b", 16, 0.0, bench.now)
    assert {bench.call(strategy=N.WEIGHTED_ROUND_ROBIN) for _ in range(500)} == {"a"}
    bench.balancer.report("b", 0, 0.0, bench.now)
    counts = Counter(bench.call(strategy=N.WEIGHTED_ROUND_ROBIN) for _ in range(20))
    assert counts == {"a": 10, "b": 10}


def test_weighted_turns_pass_over_the_excluded_without_losing_them() -> None:
    bench = Bench(Member("a", weight=2), Member("b"))
    picks = [bench.call(strategy=N.WEIGHTED_ROUND_ROBIN, excluded=frozenset({"a"})) for _ in range(3)]
    assert picks == ["b"] * 3
    assert bench.call(strategy=N.WEIGHTED_ROUND_ROBIN) == "a"


def test_weighted_turns_of_those_that_come_and_go_leave_nothing_behind() -> None:
    """Filling and freeing an agent a thousand times leaves as many turns as there are agents, and a few."""
    bench = Bench(Member("a", max_concurrency=1), Member("b", max_concurrency=1))
    strategy = STRATEGIES[N.WEIGHTED_ROUND_ROBIN]()
    slots = bench.balancer.get("a")
    for _ in range(1000):
        strategy.enter(slots)
        strategy.leave(slots)
    assert len(strategy._heap) < 100  # type: ignore[attr-defined] # memory is what this is about
    assert strategy.pick(random.random, 0.0, "", ()) is None
    assert strategy.cost(slots, 0.0) == 0.0


@pytest.mark.parametrize("excluding", [False, True])
def test_random_is_uniform(excluding: bool) -> None:
    bench = Bench(*members(11 if excluding else 10))
    excluded = frozenset({"s10"} if excluding else ())
    counts = Counter(bench.call(strategy=N.RANDOM, excluded=excluded) for _ in range(20_000))
    assert chi_squared(counts, {f"s{place}": 2_000.0 for place in range(10)}) < CHI_9


def test_two_choices_take_the_better_of_two_random_ones() -> None:
    """With loads 0 < 1 < … < 9 the k-th best wins when it is drawn with one of the 9 - k worse: (9 - k) / 45."""
    bench = Bench(*members(10))
    for place in range(10):
        bench.balancer.report(f"s{place}", place, 0.0, bench.now)
    counts = Counter(bench.call(strategy=N.POWER_OF_TWO_CHOICES) for _ in range(20_000))
    expected = {f"s{place}": 20_000 * (9 - place) / 45 for place in range(9)}
    assert chi_squared(counts, expected) < 26.12  # 8 degrees of freedom


def test_two_choices_draw_equal_ones_equally() -> None:
    bench = Bench(*members(10))
    counts = Counter(bench.call(strategy=N.POWER_OF_TWO_CHOICES) for _ in range(20_000))
    assert chi_squared(counts, {f"s{place}": 2_000.0 for place in range(10)}) < CHI_9


@pytest.mark.parametrize("name", [N.LEAST_CONNECTIONS, N.WEIGHTED_LEAST_LOAD])
def test_equal_ones_are_picked_at_random(name: N) -> None:
    bench = Bench(*members(10))
    counts = Counter(bench.call(strategy=name) for _ in range(20_000))
    assert chi_squared(counts, {f"s{place}": 2_000.0 for place in range(10)}) < CHI_9


def test_least_load_weighs_and_least_connections_does_not() -> None:
    bench = Bench(Member("large", max_concurrency=8), Member("small", max_concurrency=2))
    bench.balancer.report("large", 2, 0.0, bench.now)
    assert bench.call(strategy=N.WEIGHTED_LEAST_LOAD) == "large"  # 3/8 against 1/2
    assert bench.call(strategy=N.LEAST_CONNECTIONS) == "small"  # 2 against 0


def test_no_limit_counts_as_sixteen() -> None:
    bench = Bench(Member("open"), Member("large", max_concurrency=32))
    assert Counter(bench.select().service_id for _ in range(24)) == {"open": 8, "large": 16}


def learnt(speeds: dict[str, float], calls: int, name: N, failing: frozenset[str] = frozenset()) -> Counter[str]:
    """Who is picked after some calls, when a call takes as long as its agent is slow and 4 are always in flight."""
    bench = Bench(*(Member(agent) for agent in speeds))
    counts: Counter[str] = Counter()
    held = [bench.select(strategy=name) for _ in range(4)]
    for number in range(calls):
        bench.now += 0.5
        lease = held.pop(0)
        outcome = Outcome.FAILED if lease.service_id in failing else Outcome.SUCCEEDED
        bench.release(lease, outcome, speeds[lease.service_id])
        held.append(bench.select(strategy=name))
        counts[held[-1].service_id] += number >= calls // 2
    return counts


@pytest.mark.parametrize("name", [N.RESPONSE_TIME, N.PEAK_EWMA])
def test_slow_agents_get_fewer_calls_and_are_not_forgotten(name: N) -> None:
    counts = learnt({"fast": 1.0, "slow": 8.0, "fine": 1.0}, 2_000, name)
    assert 0 < counts["slow"] < counts["fast"] / 2
    assert counts["fine"] > counts["slow"] * 2


def test_a_slow_agent_that_becomes_fast_is_found_out_by_exploring() -> None:
    bench = Bench(Member("a"), Member("b"))
    speeds = {"a": 1.0, "b": 20.0}
    for _ in range(300):
        bench.now += 1
        lease = bench.select(strategy=N.RESPONSE_TIME)
        bench.release(lease, Outcome.SUCCEEDED, speeds[lease.service_id])
    speeds = {"a": 20.0, "b": 1.0}
    counts: Counter[str] = Counter()
    for number in range(1_000):
        bench.now += 1
        lease = bench.select(strategy=N.RESPONSE_TIME)
        bench.release(lease, Outcome.SUCCEEDED, speeds[lease.service_id])
        counts[lease.service_id] += number >= 500
    assert counts["b"] > 450


def test_a_new_agent_is_taken_for_an_average_one() -> None:
    bench = Bench(Member("a"))
    for _ in range(20):
        bench.call(Outcome.SUCCEEDED, 2.0, strategy=N.RESPONSE_TIME)
    bench.put(Member("new"))
    counts = Counter(bench.select(strategy=N.RESPONSE_TIME).service_id for _ in range(40))
    assert 15 <= counts["new"] <= 25


def test_fast_failures_do_not_look_fast() -> None:
    """Of a black hole among three: each failure raises what its response time is taken for."""
    bench = Bench(*members(3), eject_consecutive=1_000_000, eject_volume=1_000_000)
    counts: Counter[str] = Counter()
    for _ in range(300):
        bench.now += 0.1
        lease = bench.select(strategy=N.PEAK_EWMA)
        counts[lease.service_id] += 1
        hole = lease.service_id == "s0"
        bench.release(lease, Outcome.FAILED if hole else Outcome.SUCCEEDED, 0.001 if hole else 0.5)
    assert counts["s0"] < 60


def test_health_shifts_load_away_from_those_that_fail_or_are_busy() -> None:
    bench = Bench(*members(3), eject_consecutive=1_000_000, eject_volume=1_000_000)
    for _ in range(40):
        bench.balancer.outcome("s0", Outcome.FAILED, 0.1, bench.now)
    bench.balancer.report("s1", 0, 1.0, bench.now)
    counts = Counter(bench.select(strategy=N.HEALTH_BASED).service_id for _ in range(500))
    assert 0 < counts["s0"] < 25  # a 400th by health, and a third of the 3 % that explore
    assert 2.5 < counts["s2"] / counts["s1"] < 5  # (1 / 0.5)^2 = 4, less what explores


def keys_to(bench: Bench, number: int = 1_000) -> dict[str, str]:
    return {
        key: bench.call(strategy=N.BOUNDED_CONSISTENT_HASH, key=key)
        for key in (f"conversation-{place}" for place in range(number))
    }


def moved(before: dict[str, str], after: dict[str, str]) -> int:
    return sum(before[key] != after[key] for key in before)


def test_a_key_stays_and_churn_moves_no_more_than_it_must() -> None:
    """Of n + 1 agents one comes or goes: the keys that move are its own; on average 1 / (n + 1) of all."""
    bench = Bench(*members(20))
    before = keys_to(bench)
    assert moved(before, keys_to(bench)) == 0
    bench.put(Member("new"))
    joined = keys_to(bench)
    assert {joined[key] for key in before if joined[key] != before[key]} == {"new"}
    moves = moved(before, joined)
    for gone in [f"s{place}" for place in range(20)]:
        bench.balancer.drop(gone)
        left = keys_to(bench)
        own = sum(home == gone for home in joined.values())
        assert moved(joined, left) == own  # only those that had to
        moves += own
        bench.put(Member(gone))
        assert keys_to(bench) == joined  # and they come home
    assert moves <= len(before) * 1.1  # 21 times 1/21, and a tenth


def test_homes_are_spread_evenly() -> None:
    """21 probes: nobody is home to much more than its share (the paper: 5 % above the mean, with endless keys)."""
    counts = Counter(keys_to(Bench(*members(50)), 10_000).values())
    assert max(counts.values()) < 200 * 1.35
    assert len(counts) == 50  # small shares occur: a point has little room between near neighbours


def test_a_hot_key_never_fills_one_agent_beyond_its_bound() -> None:
    bench = Bench(*members(10))
    home = bench.select(key="hot").service_id  # a key without a strategy means affinity
    for number in range(1, 200):
        bench.select(key="hot")
        most = max(bench.balancer.get(f"s{place}").in_flight for place in range(10))
        assert most <= ceil(FACTOR * (number + 1) / 10)
    assert bench.balancer.get(home).in_flight == ceil(FACTOR * 200 / 10)


def test_affinity_respects_capacity_exclusion_and_a_missing_key() -> None:
    bench = Bench(*members(3))
    home = bench.call(key="k")
    second = bench.call(key="k", excluded=frozenset({home}))
    assert second != home
    assert bench.call(key="k", excluded=frozenset({home})) == second
    picks = Counter(bench.call(strategy=N.BOUNDED_CONSISTENT_HASH) for _ in range(300))
    assert min(picks.values()) > 60  # without a key: any
    others = frozenset({"s0", "s1", "s2"} - {home})
    for _ in range(5):  # all others excluded: the bound gives way
        assert bench.select(key="k", excluded=others).service_id == home
    tiny = Bench(Member("small", weight=0.01, max_concurrency=100), Member("large", max_concurrency=100))
    counts = Counter(tiny.select(key=f"key {number}").service_id for number in range(100))
    assert counts["small"] <= 3


def test_two_agents_at_one_place_of_the_circle_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orion_registry.core.selection.bounded_hash.place_of", lambda _text, _purpose: 7)
    bench = Bench(*members(2, max_concurrency=1))
    assert {bench.select(key="k").service_id for _ in range(2)} == {"s0", "s1"}
    bench.balancer.drop("s0")
    bench.put(Member("s2"))
    assert bench.select(key="k").service_id == "s2"


@pytest.mark.parametrize("name", list(N))
@pytest.mark.parametrize("number", [1, 2, 12])
def test_the_excluded_are_never_picked(name: N, number: int) -> None:
    bench = Bench(*members(number + 1))
    excluded = frozenset(f"s{place}" for place in range(number))
    for _ in range(50):
        assert bench.select(strategy=name, excluded=excluded, key="k").service_id == f"s{number}"


@pytest.mark.parametrize("name", list(N))
def test_every_strategy_fills_every_slot_and_not_one_more(name: N) -> None:
    bench = Bench(*members(5, max_concurrency=3))
    counts = Counter(bench.select(strategy=name, key="k").service_id for _ in range(15))
    assert set(counts.values()) == {3}
    assert bench.wait(strategy=name, key="k").waiting


@pytest.mark.parametrize("name", list(N))
def test_the_same_seed_makes_the_same_picks(name: N) -> None:
    def picks(seed: int) -> list[str]:
        bench = Bench(*members(6), seed=seed)
        return [bench.select(strategy=name).service_id for _ in range(60)]

    assert picks(3) == picks(3)


class Twin:
    """Buckets in the obvious way."""

    def __init__(self) -> None:
        self.values: dict[Slots, float] = {}

    def least(self, excluded: Any) -> set[Slots]:
        rest = {slots: value for slots, value in self.values.items() if slots.service_id not in excluded}
        return {slots for slots, value in rest.items() if value == min(rest.values())}


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from([None, 0.0, 1.0, 1.5, 2.0, 3.25])), max_size=60))
def test_buckets_agree_with_their_twin(steps: list[tuple[int, float | None]]) -> None:
    everybody = [Slots(member) for member in members(8)]
    buckets, twin, draw = Buckets(), Twin(), random.Random(5).random
    for place, value in steps:
        slots = everybody[place]
        if value is not None:
            buckets.put(slots, value)
            twin.values[slots] = value
        elif slots in twin.values:
            buckets.discard(slots)
            del twin.values[slots]
        for excluded in (frozenset[str](), {"s0"}, {"s1", "s2", "s3"}):
            found = buckets.least(draw, excluded)
            assert found in twin.least(excluded) if found else not twin.least(excluded)


def test_numbers_that_are_past_are_forgotten() -> None:
    buckets, slots = Buckets(), Slots(Member("one"))
    anchor = Slots(Member("anchor"))
    buckets.put(anchor, -1.0)
    for number in range(10_000):
        buckets.put(slots, float(number))
    assert len(buckets._heap) < 100
    assert buckets.least(random.random, {"anchor"}) is slots


@pytest.mark.parametrize("name", list(N))
def test_weights_as_far_apart_as_numbers_can_be_break_no_strategy(name: N) -> None:
    """The heavy ones leave, so that what rounding left of their share is all that the light ones have."""
    light, heavy = [5e-324, 1e-300, 1e-9], [0.1, 1_000.0]
    bench = Bench(*[Member(f"s{weight}", weight=weight, max_concurrency=2**31 - 1) for weight in (*light, *heavy)])
    for weight in (*heavy, *light):
        leases = [bench.select(strategy=name) for _ in range(20)]
        told = bench.balancer.explain(bench.pool, SelectionRequest(strategy=name), bench.now, random.Random(1).random)
        assert told.chosen is not None
        for lease in leases:
            bench.release(lease, Outcome.SUCCEEDED, 0.01)
        bench.balancer.drop(f"s{weight}")
    assert bench.balancer.scopes.stats[name].failures == 0
