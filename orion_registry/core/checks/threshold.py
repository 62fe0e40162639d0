"""Where a check stands by its thresholds: states and the one table of transitions (drawn in docs/design.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.checks.verdict import Verdict


class CheckState(IntEnum):
    """Where a check stands. Numbers are those of the wire."""

    AWAITING = 1
    """No verdict yet, or too few failures to tell."""
    PASSING = 2
    FAILING = 3


NEXT: Mapping[tuple[CheckState, Verdict], CheckState] = {
    (CheckState.AWAITING, Verdict.PASSED): CheckState.PASSING,
    (CheckState.AWAITING, Verdict.FAILED): CheckState.FAILING,
    (CheckState.PASSING, Verdict.FAILED): CheckState.FAILING,
    (CheckState.FAILING, Verdict.PASSED): CheckState.PASSING,
}
"""The state after a verdict that came often enough in a row (`needed`). What is not here changes no state."""

DECISIVE = frozenset({Verdict.PASSED, Verdict.FAILED})
"""Verdicts that say something of the service. The others change nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A state, and how often in a row the latest decisive verdict came; of the two counts one is 0."""

    state: CheckState = CheckState.AWAITING
    passes: int = 0
    failures: int = 0


def needed(state: CheckState, verdict: Verdict, check: CheckSpec) -> int:
    """How often in a row a decisive verdict must come to move a check out of a state."""
    if verdict is Verdict.FAILED:
        return check.fall
    return 1 if state is CheckState.AWAITING else check.rise


def standing_after(standing: Standing, verdict: Verdict, check: CheckSpec) -> Standing:
    """Where a check stands after a run with this verdict."""
    if verdict not in DECISIVE:
        return standing
    passed = verdict is Verdict.PASSED
    counted = replace(
        standing, passes=standing.passes + 1 if passed else 0, failures=0 if passed else standing.failures + 1
    )
    state = NEXT.get((standing.state, verdict))
    if state is None or max(counted.passes, counted.failures) < needed(standing.state, verdict, check):
        return counted
    return replace(counted, state=state)
