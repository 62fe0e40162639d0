"""What the attempts of one run say together."""

from collections.abc import Sequence
from dataclasses import replace

from orion_registry.core.checks.verdict import Outcome, Verdict

_RANK = (Verdict.PASSED, Verdict.FAILED, Verdict.UNAVAILABLE, Verdict.DENIED)


def decide(attempts: Sequence[Outcome]) -> Outcome:
    """The end of a run, out of its attempts in their order; there is at least one.

    One that passed decides; else one that failed, since it was looked at; else one that could not look; else the
    policy's refusal. Among equals the last decides.
    """
    decisive = min(_RANK.index(attempt.verdict) for attempt in attempts)
    last = [attempt for attempt in attempts if attempt.verdict is _RANK[decisive]][-1]
    return replace(last, attempts=len(attempts))


def worth_retrying(attempt: Outcome) -> bool:
    """Whether the same probe may say something else at once. The policy does not change its mind within a run."""
    return attempt.verdict in (Verdict.FAILED, Verdict.UNAVAILABLE)
