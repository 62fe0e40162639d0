"""core/tally and what it counts: values fall into their ranges, and every end of a selection is counted once."""

import math

from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.frames import Beat
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.core.tally import Histogram
from orion_registry.errors import Reason
from tests.building import STATIC, TTL, World, ref_of
from tests.core.test_balancing import Bench, refused

BOUNDS = (0.1, 0.5, 1.0)
DEFAULT = StrategyName.WEIGHTED_LEAST_LOAD


@given(st.lists(st.floats(0, 10)))
def test_a_histogram_counts_what_does_not_exceed_each_bound(values: list[float]) -> None:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    told = histogram.cumulative()
    assert told == [(bound, sum(value <= bound for value in values)) for bound in (*BOUNDS, math.inf)]
    assert histogram.count == len(values)
    assert math.isclose(histogram.total, sum(values))


def test_leases_and_outcomes_are_counted_however_they_end() -> None:
    bench = Bench()
    (entry,) = bench.statics(1, max_concurrency=4)
    released, expired, held = bench.select(), bench.select(ttl_s=1.0), bench.select()
    bench.release(released, Outcome.SUCCEEDED, 0.1)
    bench.fail(entry, times=2)
    bench.pass_time(2.0)
    tally = bench.registry.balancing.leases
    assert (tally.released, tally.expired) == (1, 1)
    assert (tally.outcomes[Outcome.SUCCEEDED], tally.outcomes[Outcome.FAILED]) == (1, 2)
    bench.registry.balancing.drop(held)
    assert bench.registry.balancing.leases.released == 2
    assert expired.selection_id != held.selection_id


def test_who_gets_nothing_is_counted_by_strategy_and_reason() -> None:
    bench = Bench()
    refused(Reason.NO_MATCH, bench.ask)
    (entry,) = bench.statics(1, max_concurrency=1)
    bench.add("awaited", service_name="awaited")
    refused(Reason.NO_READY_SERVICE, bench.ask, Selector(service_name="awaited"))
    bench.select()
    refused(Reason.NO_FREE_SLOT, bench.ask, strategy=StrategyName.RANDOM)
    tally = bench.registry.balancing.tally
    assert tally.refused == {
        (DEFAULT, Reason.NO_MATCH): 1,
        (DEFAULT, Reason.NO_READY_SERVICE): 1,
        (StrategyName.RANDOM, Reason.NO_FREE_SLOT): 1,
    }
    assert entry.service_id


def test_waits_are_measured_whether_they_end_well_or_not() -> None:
    bench = Bench()
    bench.statics(1, max_concurrency=1)
    lease = bench.select()
    bench.ask(wait_s=10.0)
    bench.ask(wait_s=1.0)
    bench.pass_time(0.2)
    bench.release(lease)
    bench.pass_time(1.0)
    tally = bench.registry.balancing.tally
    assert tally.late == {DEFAULT: 1}
    assert tally.refused == {(DEFAULT, Reason.NO_FREE_SLOT): 1}
    assert tally.waits.count == 2
    assert 1.2 <= tally.waits.total < 1.6


def test_beats_are_counted_beyond_the_end_of_their_stream() -> None:
    world = World()
    session = world.live(world.add("streaming"))
    before = session.beats
    for seq in range(3):
        session.receive(Beat(seq=seq), world.now)
    ttl = world.add("ttl", liveness=TTL)
    world.registry.beat(ref_of(ttl), None, ttl.self_report, world.now)
    assert world.registry.beats((session,)) == (before + 3, 1)
    world.registry.close_stream(session, world.now)
    assert world.registry.beats(()) == (before + 3, 1)


def test_all_services_are_told_of_in_every_namespace() -> None:
    world = World()
    added = [world.add("a", liveness=STATIC), world.add("b", namespace="other", liveness=STATIC)]
    assert list(world.registry.services()) == added
    assert world.registry.latest == world.registry.judged(world.now)


def test_a_watch_that_cannot_go_on_is_counted() -> None:
    world = World()
    world.registry.watch(Selector())
    assert world.registry.resyncs == 0
    world.registry.watch(Selector(), 7, "another life")
    assert world.registry.resyncs == 1
