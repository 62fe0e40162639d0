"""The bench's own arithmetic, without a bench."""

import pytest

from tests.bench.figures import BUDGETS, Budget, Figure, table


def figure(name: str, ours: list[float], reference: list[float], *, inverse: bool = False) -> Figure:
    made = Figure(name=name, what=name, unit="us", inverse=inverse)
    for pair in zip(ours, reference, strict=True):
        made.add(*pair)
    return made


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """One disturbed round changes nothing."""
    assert figure("beat", [100.0, 120.0, 900.0], [100.0, 100.0, 100.0]).ratio == pytest.approx(1.2)
    assert figure("get", [100.0, 125.0, 900.0], [100.0, 100.0, 100.0], inverse=True).ratio == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("budget", "ratio", "held", "held_quick"),
    [
        (Budget(limit=0.7, at_least=True), 0.70, True, True),
        (Budget(limit=0.7, at_least=True), 0.69, False, True),
        (Budget(limit=0.7, at_least=True), 0.34, False, False),
        (Budget(limit=1.3, at_least=False), 1.30, True, True),
        (Budget(limit=1.3, at_least=False), 1.31, False, True),
        (Budget(limit=1.3, at_least=False), 2.61, False, False),
    ],
)
def test_a_quick_run_guards_only_against_ratios_that_halve(
    budget: Budget, ratio: float, held: bool, held_quick: bool
) -> None:
    assert (budget.allows(ratio), budget.allows(ratio, quick=True)) == (held, held_quick)


def test_the_table_names_what_was_missed() -> None:
    slow, told = figure("beat", [2.0], [1.0]), figure("discover-speed", [1.0], [2.0])
    lines = table([slow, told], quick=False).splitlines()
    assert lines[1].endswith("MISSED")
    assert lines[2].endswith("-"), "a figure without a budget is told, not judged"
    assert "beat" in BUDGETS
