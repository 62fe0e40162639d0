"""The simulation's own arithmetic: the same every time, nothing lost, and a broken bound is told."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from orion_registry.core.selection.strategy import StrategyName
from tests.simulation.case import WORKLOADS, Case, Trouble, make_calls
from tests.simulation.plot import svg
from tests.simulation.results import DEFAULT, QUEUE, CaseResult, Figures, broken, quantile, run_case
from tests.simulation.run import Run, central_queue


def test_the_same_case_has_the_same_figures() -> None:
    case = Case(agents=6, spread=4, report_s=5.0)
    assert run_case(case, 300, 2).as_dict() == run_case(case, 300, 2).as_dict()


@pytest.mark.parametrize("trouble", list(Trouble))
@pytest.mark.parametrize("queue", [False, True])
def test_every_call_ends_and_no_lease_is_left(trouble: Trouble, queue: bool) -> None:
    """In whatever trouble; with `queue` the agents themselves assert that no slot is overrun."""
    case = Case(agents=10, slots=2, trouble=trouble)
    run = Run(case, make_calls(case, 1_000, 1), StrategyName.WEIGHTED_LEAST_LOAD, queue=queue, seed=1)
    outcomes = run.play()
    assert None not in outcomes.sojourns
    assert (len(run.balancer.leases), run.balancer.waiting) == (0, 0)
    assert (outcomes.attempts_failed > 0) == (trouble in {Trouble.BLACK_HOLE, Trouble.CRASH})


def test_one_server_is_a_plain_queue() -> None:
    """With one agent of one slot every way is first come first served: Lindley's recursion."""
    case = Case(agents=1, slots=1, workload="exponential", callers=1)
    calls = make_calls(case, 500, 3)
    expected, free_at = [], 0.0
    for arrival, size in zip(calls.arrivals, calls.sizes, strict=True):
        free_at = max(free_at, arrival) + size
        expected.append(pytest.approx(free_at - arrival))
    assert central_queue(case, calls) == expected
    for queue in (False, True):
        run = Run(case, calls, StrategyName.WEIGHTED_LEAST_LOAD, queue=queue, seed=1)
        assert run.play().sojourns == expected


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_sizes_have_the_mean_that_the_load_is_made_of(name: str) -> None:
    draw = random.Random(1)
    sizes = [WORKLOADS[name](draw) for _ in range(200_000)]
    assert sum(sizes) / len(sizes) == pytest.approx(1.0, rel=0.05)


def test_the_load_is_what_the_case_says() -> None:
    case = Case(agents=9, slots="mixed", spread=4, load=0.7)
    calls = make_calls(case, 50_000, 1)
    assert sum(calls.sizes) / calls.arrivals[-1] / case.capacity == pytest.approx(0.7, rel=0.05)
    assert set(Counter(calls.callers)) == set(range(10))


def result(case: Case, *, default: float = 1.0, queue: float = 1.0, diverging: str = "") -> CaseResult:
    figures = Figures("", 1.0, 1.0, 1.0, 1.0, 0, 0, False)
    ways = [
        replace(
            figures, way=way, regret={DEFAULT: default, QUEUE: queue}.get(way, 1.0), diverged=way in diverging.split()
        )
        for way in [*StrategyName, QUEUE]
    ]
    return CaseResult(case, 1.0, 1.0, ways)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (result(Case(), default=1.25), 0),
        (result(Case(), default=1.26), 1),
        (result(Case(report_s=1.0), default=9.0), 0),
        (result(Case(agents=6, slots=1), queue=1.1), 0),
        (result(Case(agents=6, slots=1), queue=1.11), 1),
        (result(Case(agents=6, slots=4), queue=9.0), 0),
        (result(Case(), diverging="RANDOM PEAK_EWMA"), 2),
        (result(Case(), diverging="RANDOM ROUND_ROBIN"), 0),
    ],
)
def test_a_broken_bound_is_told(told: CaseResult, expected: int) -> None:
    assert len(broken(told)) == expected


def test_quantiles_and_the_plot() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    drawn = svg([result(Case(), default=7.0)], (DEFAULT, QUEUE))
    assert drawn.count("<rect") == 5
    assert ">7.0<" in drawn
