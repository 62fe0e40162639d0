"""core/checks/threshold, stats: rows of verdicts, and figures of runs."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.checks.spec import ProbeKind
from orion_registry.core.checks.stats import OF_LATE, RunStats, Tallies
from orion_registry.core.checks.threshold import CheckState, Standing, standing_after
from orion_registry.core.checks.verdict import Verdict
from tests.core.checking import DENIED, FAILED, PASSED, UNAVAILABLE, make_check, make_outcome

AWAITING, PASSING, FAILING = CheckState
VERDICTS = {"P": PASSED, "F": FAILED, "U": UNAVAILABLE, "D": DENIED}


def after(row: str, fall: int, rise: int) -> Standing:
    standing = Standing()
    for letter in row:
        standing = standing_after(standing, VERDICTS[letter], make_check(fall=fall, rise=rise))
    return standing


@pytest.mark.parametrize(
    ("row", "state"),
    [
        ("", AWAITING),
        ("FF", AWAITING),
        ("P", PASSING),
        ("FFP", PASSING),
        ("FFF", FAILING),
        ("FFUDF", FAILING),
        ("UDUDUD", AWAITING),
        ("PFF", PASSING),
        ("PFFPFF", PASSING),
        ("PFFF", FAILING),
        ("PFFFP", FAILING),
        ("PFFFPFP", FAILING),
        ("PFFFPP", PASSING),
        ("PFFFPUP", PASSING),
        ("PFFFPPFF", PASSING),
        ("FFFPPFFF", FAILING),
    ],
)
def test_rows_of_verdicts_with_fall_3_and_rise_2(row: str, state: CheckState) -> None:
    assert after(row, 3, 2).state is state


def obvious(row: Sequence[Verdict], fall: int, rise: int) -> Standing:
    """By looking at the whole row anew each time."""
    decisive = [verdict for verdict in row if verdict in {PASSED, FAILED}]
    state = AWAITING
    for end in range(1, len(decisive) + 1):
        seen = decisive[:end]
        if seen[-1] is PASSED and (state is AWAITING or seen[-rise:] == [PASSED] * rise):
            state = PASSING
        elif seen[-fall:] == [FAILED] * fall:
            state = FAILING
    passes = failures = 0
    for verdict in decisive:
        passes, failures = (passes + 1, 0) if verdict is PASSED else (0, failures + 1)
    return Standing(state=state, passes=passes, failures=failures)


@given(st.lists(st.sampled_from(Verdict), max_size=30), st.integers(1, 4), st.integers(1, 4))
def test_any_row(row: list[Verdict], fall: int, rise: int) -> None:
    standing = Standing()
    for verdict in row:
        standing = standing_after(standing, verdict, make_check(fall=fall, rise=rise))
    assert standing == obvious(row, fall, rise)


# Figures.


def test_figures_of_no_run() -> None:
    tallies = Tallies()
    total = tallies.total
    assert (total.kind, total.runs, total.success_rate) == (None, 0, 1.0)
    assert {total.average_s, total.min_s, total.max_s, total.p50_s, total.p95_s, total.p99_s} == {None}
    assert tallies.kinds == ()


def test_figures_by_kind() -> None:
    tallies = Tallies()
    for verdict, latency_s in ((PASSED, 0.5), (PASSED, 0.25), (FAILED, 3.0), (UNAVAILABLE, 90.0), (DENIED, 90.0)):
        tallies.add(make_outcome(verdict, ProbeKind.TCP, latency_s=latency_s))
    tallies.add(make_outcome(UNAVAILABLE, ProbeKind.HTTP))
    http, tcp = tallies.kinds
    assert tcp == RunStats(
        kind=ProbeKind.TCP,
        runs=5,
        passed=2,
        failed=1,
        unavailable=1,
        denied=1,
        success_rate=2 / 3,
        average_s=1.25,
        min_s=0.25,
        max_s=3.0,
        p50_s=0.5,
        p95_s=3.0,
        p99_s=3.0,
    )
    assert (http.kind, http.runs, http.success_rate, http.average_s) == (ProbeKind.HTTP, 1, 1.0, None)
    assert (tallies.total.runs, tallies.total.unavailable) == (6, 2)


def test_quantiles_are_of_late_and_bounded() -> None:
    tallies = Tallies()
    for _ in range(OF_LATE):
        tallies.add(make_outcome(latency_s=9.0))
    for number in range(OF_LATE):
        tallies.add(make_outcome(latency_s=number / OF_LATE))
    total = tallies.total
    assert (total.p50_s, total.p95_s, total.p99_s) == (0.5, 0.95, 0.99)
    assert (total.max_s, total.runs) == (9.0, 2 * OF_LATE)
