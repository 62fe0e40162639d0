"""What the attempts of a run say together."""

import itertools

import pytest

from orion_registry.core.checks.attempts import decide, worth_retrying
from orion_registry.core.checks.spec import ProbeKind
from orion_registry.core.checks.verdict import Outcome, Verdict

P, F, U, D = Verdict.PASSED, Verdict.FAILED, Verdict.UNAVAILABLE, Verdict.DENIED


def _attempts(verdicts: tuple[Verdict, ...]) -> list[Outcome]:
    return [
        Outcome(verdict=verdict, kind=ProbeKind.TCP, detail=f"attempt {n}", latency_s=float(n))
        for n, verdict in enumerate(verdicts)
    ]


def test_the_most_telling_verdict_decides_and_the_last_of_its_kind_speaks() -> None:
    """Every mix of up to four attempts, against the plain rule."""
    for length in (1, 2, 3, 4):
        for verdicts in itertools.product(Verdict, repeat=length):
            outcome = decide(_attempts(verdicts))
            best = next(verdict for verdict in (P, F, U, D) if verdict in verdicts)
            last = max(n for n, verdict in enumerate(verdicts) if verdict is best)
            assert (outcome.verdict, outcome.detail, outcome.latency_s) == (best, f"attempt {last}", float(last))
            assert outcome.attempts == length


@pytest.mark.parametrize(("verdict", "again"), [(P, False), (F, True), (U, True), (D, False)])
def test_only_what_may_change_within_a_run_is_retried(verdict: Verdict, again: bool) -> None:
    assert worth_retrying(_attempts((verdict,))[0]) is again
