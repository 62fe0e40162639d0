"""Outcomes: what they tell, whom they keep out, for how long, and how many at most."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.performance import Performance
from orion_registry.core.selection.response_times import ACCURACY, ResponseTimes
from orion_registry.core.selection.slow_start import STEPS, warmth_at
from orion_registry.errors import InvalidArgument, Unavailable
from tests.core.selecting import Bench, Member, Outcome, Tier, members


def test_failures_in_a_row_eject_and_one_success_between_does_not() -> None:
    bench = Bench(*members(4))
    bench.fail("s0", 4)
    bench.balancer.outcome("s0", Outcome.SUCCEEDED, 1.0, bench.now)
    bench.fail("s0", 4)
    assert bench.heard.ejections == []
    bench.fail("s0")
    assert bench.heard.ejections == [("s0", bench.now + 30)]
    assert {bench.call() for _ in range(100)} == {"s1", "s2", "s3"}


def test_a_share_of_failures_ejects_once_there_are_enough_calls() -> None:
    bench = Bench(*members(4))
    for _ in range(9):
        bench.balancer.outcome("s0", Outcome.SUCCEEDED, 1.0, bench.now)
        bench.balancer.outcome("s0", Outcome.TIMED_OUT, 1.0, bench.now)
    bench.balancer.outcome("s0", Outcome.SUCCEEDED, 1.0, bench.now)
    assert bench.heard.ejections == []
    bench.fail("s0", 2)  # 11 of 20, since the success before the first failure is not counted
    assert [name for name, _ in bench.heard.ejections] == ["s0"]


def test_failures_of_long_ago_do_not_count_in_the_share() -> None:
    bench = Bench(*members(4))
    for _ in range(19):
        bench.fail("s0")
        bench.balancer.outcome("s0", Outcome.SUCCEEDED, 1.0, bench.now)
        bench.now += 3  # 7 a window
    assert bench.heard.ejections == []
    bench.now += 20  # both windows are over
    for _ in range(10):
        bench.balancer.outcome("s0", Outcome.SUCCEEDED, 1.0, bench.now)
        bench.balancer.outcome("s0", Outcome.SUCCEEDED, 1.0, bench.now)
        bench.fail("s0")
    assert bench.heard.ejections == []


def test_silence_and_cancelling_say_nothing() -> None:
    bench = Bench(*members(2))
    for outcome in (Outcome.UNKNOWN, Outcome.CANCELLED):
        for _ in range(50):
            bench.balancer.outcome("s0", outcome, 1.0, bench.now)
    seen = bench.balancer.get("s0").performance
    assert (seen.succeeded, seen.failed, seen.samples, seen.success_rate) == (0, 0, 0, 1.0)
    assert bench.heard.ejections == []


@pytest.mark.parametrize(("number", "most"), [(1, 0), (2, 1), (3, 1), (10, 3), (20, 6)])
def test_never_more_than_their_share_are_out(number: int, most: int) -> None:
    bench = Bench(*members(number))
    for place in range(number):
        bench.fail(f"s{place}", 50)
    assert len(bench.heard.ejections) == most


def test_the_share_counts_replicas_of_the_same_name() -> None:
    bench = Bench(Member("a1", service_name="a"), Member("b1", service_name="b"), Member("b2", service_name="b"))
    bench.fail("a1", 50)
    assert bench.heard.ejections == []  # the only one of its name
    bench.fail("b1", 50)
    assert [name for name, _ in bench.heard.ejections] == ["b1"]


def test_it_returns_by_itself_on_trial_and_stays_out_longer_each_time() -> None:
    bench = Bench(*members(4))
    lengths = []
    bench.fail("s0", 5)
    for _ in range(12):
        out_until = bench.heard.ejections[-1][1]
        lengths.append(out_until - bench.now)
        assert bench.balancer.next() == out_until
        bench.advance(out_until - bench.now - 0.001)
        assert bench.balancer.get("s0").ejected
        bench.advance(0.001)
        assert bench.heard.returns[-1] == "s0"
        assert not bench.balancer.get("s0").ejected
        bench.fail("s0")  # one is enough now
    assert lengths == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


def test_good_time_makes_the_next_ejection_short_again() -> None:
    bench = Bench(*members(4))
    bench.fail("s0", 5)
    for _ in range(2):
        bench.advance(bench.heard.ejections[-1][1] - bench.now)
        bench.fail("s0")
    assert bench.heard.ejections[-1][1] - bench.now == 90
    bench.advance(90)
    bench.balancer.outcome("s0", Outcome.SUCCEEDED, 1.0, bench.now)  # the trial is passed
    bench.fail("s0", 4)
    assert not bench.balancer.get("s0").ejected
    bench.now += 60  # two spans without
    bench.fail("s0")
    assert bench.heard.ejections[-1][1] - bench.now == 60


def test_the_ejected_serve_those_who_allow_it_when_nothing_better_is_free() -> None:
    bench = Bench(Member("good", max_concurrency=1), Member("bad"))
    bench.fail("bad", 5)
    assert bench.select(allow_degraded=True).service_id == "good"
    assert bench.select(allow_degraded=True).service_id == "bad"


def test_an_ejected_service_that_goes_makes_room_and_comes_back_clean() -> None:
    bench = Bench(*members(2))
    bench.fail("s0", 5)
    bench.balancer.drop("s0")
    bench.put(Member("s2"))
    bench.fail("s1", 5)
    assert [name for name, _ in bench.heard.ejections] == ["s0", "s1"]
    bench.put(Member("s0"))
    assert not bench.balancer.get("s0").ejected
    bench.advance(100)
    assert bench.heard.returns == ["s1"]


@given(st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_quantiles_are_within_their_accuracy(times: list[float], q: float) -> None:
    sketch = ResponseTimes()
    for seconds in times:
        sketch.add(seconds)
    true = sorted(times)[int(q * (len(times) - 1))]
    assert abs(sketch.quantile(q) - true) <= ACCURACY * true * 1.000001
    assert (sketch.count, sketch.min_s, sketch.max_s) == (len(times), min(times), max(times))
    assert sketch.average_s == pytest.approx(sum(times) / len(times))


def test_response_times_take_bounded_memory() -> None:
    sketch, draw = ResponseTimes(), random.Random(1)
    assert (sketch.average_s, sketch.quantile(0.5)) == (0.0, 0.0)
    for _ in range(20_000):
        sketch.add(10 ** draw.uniform(-9, 9))
    assert len(sketch._buckets) <= 253


def test_estimates_follow_and_failures_are_penalised() -> None:
    seen = Performance()
    for number in range(16):
        seen.record(Outcome.SUCCEEDED, 2.0, float(number))
    assert seen.mean_s == pytest.approx(2.0)
    seen.record(Outcome.FAILED, 0.001, 16.0)
    assert seen.mean_s == pytest.approx(2.0 + (6.0 - 2.0) / 16)  # three times the estimate, a sixteenth
    assert seen.peak_s(16.0) == 6.0
    assert seen.peak_s(26.0) == pytest.approx(6.0 * 0.3679, rel=1e-3)
    assert seen.success_rate == 16 / 17
    assert seen.success == pytest.approx(15 / 16)
    seen.record(Outcome.SUCCEEDED, 8.0, 16.0 + 600.0)  # after ten minutes the past is worth little
    assert seen.mean_s == pytest.approx(8.0, rel=1e-3)
    assert seen.success == pytest.approx(1.0, abs=1e-4)


def test_slow_start_grows_to_the_full_weight() -> None:
    bench = Bench(Member("old"), slow_start_s=20.0)
    bench.advance(30)
    assert bench.balancer.next() is None
    new = bench.put(Member("new"))
    seen = []
    while (at := bench.balancer.next()) is not None:
        bench.advance(at - bench.now)
        seen.append(new.warmth)
    assert seen == sorted(seen)
    assert (new.warmth, len(seen)) == (1.0, STEPS)
    assert seen[0] == 0.1
    assert warmth_at(10.0, 20.0) == 0.5


def test_slow_start_holds_load_back() -> None:
    bench = Bench(Member("old"), slow_start_s=20.0)
    bench.advance(30)
    bench.put(Member("new"))
    assert [bench.select().service_id for _ in range(9)] == ["old"] * 9
    bench.balancer.drop("new")
    assert bench.balancer.next() == bench.now + 60  # leases alone: nobody is warming up
    bench.balancer.tick(bench.now + 1)


def test_who_returns_starts_slowly_too() -> None:
    bench = Bench(*members(4), slow_start_s=20.0)
    bench.advance(20)
    bench.fail("s0", 5)
    bench.advance(30)
    assert bench.balancer.get("s0").warmth == 0.1


def test_configuration_is_checked() -> None:
    with pytest.raises(InvalidArgument, match="eject_most: must be 0 to 1, got 2"):
        BalancerConfig(eject_most=2)


def test_all_ejected_or_weightless_is_none_ready() -> None:
    bench = Bench(Member("a", weight=0.0), Member("b", weight=float("nan")))
    with pytest.raises(Unavailable, match="of 2 matching services none is ready"):
        bench.select()


def test_who_cannot_serve_does_not_count_for_how_many_may_be_out() -> None:
    """Of two replicas one drains: the other is the last, and stays however much it fails."""
    bench = Bench(Member("drains", Tier.NEVER), Member("last"))
    bench.fail("last", 50)
    assert bench.heard.ejections == []
    bench.put(Member("drains"))
    bench.fail("last", 50)
    assert [service_id for service_id, _ in bench.heard.ejections] == ["last"]
