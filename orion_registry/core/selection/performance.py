"""What the calls to one service have shown: totals, response times, and the estimates that strategies go by."""

from enum import IntEnum
from math import exp

from orion_registry.core.selection.response_times import ResponseTimes


class Outcome(IntEnum):
    """What a caller says at the end of a call."""

    UNKNOWN = 0
    """The lease ended without a word: neither good nor bad."""
    SUCCEEDED = 1
    FAILED = 2
    TIMED_OUT = 3
    CANCELLED = 4
    """The caller gave up for reasons of its own: neither good nor bad."""


SUCCEEDED = Outcome.SUCCEEDED
FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT})

DECAY_S = 60.0
"""Calls take seconds here, so an estimate must span several: with Finagle's 10 s it would be the last call's time."""
PEAK_DECAY_S = 10.0
"""Of the peak-sensitive estimate, as in Finagle."""
SAMPLES = 16
"""The newest sample counts at least 1/16; the first ones are plainly averaged."""

PENALTY_FACTOR = 3.0
PENALTY_LEAST_S = 1.0
PENALTY_MOST_S = 60.0
"""A failure counts as three times the estimate, within these: a fast one must not look fast (linkerd2-proxy#4537)."""


class Performance:
    """Totals and estimates. Instants are monotonic seconds.

    Attributes:
        times: of the calls that succeeded.
        succeeded, failed: calls.
        mean_s: decayed average response time, failures penalised; 0 = nothing known.
        samples: what `mean_s` rests on, up to `SAMPLES`.
        success: decayed share of calls that did not fail.
    """

    __slots__ = ("_last", "_peak_s", "failed", "mean_s", "samples", "succeeded", "success", "times")

    def __init__(self) -> None:
        self.times = ResponseTimes()
        self.succeeded = 0
        self.failed = 0
        self.mean_s = 0.0
        self.samples = 0
        self.success = 1.0
        self._peak_s = 0.0
        self._last = 0.0

    @property
    def success_rate(self) -> float:
        """Share of all calls that succeeded; 1 while there is none."""
        calls = self.succeeded + self.failed
        return self.succeeded / calls if calls else 1.0

    def peak_s(self, now: float) -> float:
        """The estimate that jumps to every peak at once and forgets it in tens of seconds."""
        return self._peak_s * exp((self._last - now) / PEAK_DECAY_S)

    def record(self, outcome: Outcome, seconds: float | None, now: float) -> None:
        """Takes in the end of one call; `UNKNOWN` and `CANCELLED` say nothing. None: nobody knows how long it took."""
        if outcome is SUCCEEDED:
            self.succeeded += 1
            if seconds is None:
                self.success += (1.0 - self.success) / SAMPLES
                return
            self.times.add(seconds)
            good = 1.0
        elif outcome in FAILURES:
            self.failed += 1
            seconds = max(seconds or 0.0, min(max(PENALTY_FACTOR * self.mean_s, PENALTY_LEAST_S), PENALTY_MOST_S))
            good = 0.0
        else:
            return
        if self.samples < SAMPLES:
            self.samples += 1
        share, kept = 1.0 / self.samples, 1.0
        if now > self._last:  # else as many a call of a batch: nothing has decayed
            share = max(share, 1.0 - exp((self._last - now) / DECAY_S))
            kept = exp((self._last - now) / PEAK_DECAY_S)
            self._last = now
        self.mean_s += share * (seconds - self.mean_s)
        if self.success != good:
            self.success += max(1.0 / SAMPLES, share if self.samples == SAMPLES else 0.0) * (good - self.success)
        self._peak_s = seconds if seconds > self._peak_s else self._peak_s * kept + seconds * (1.0 - kept)
