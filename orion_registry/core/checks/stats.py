"""How checks fare: counts of runs, and their latencies in bounded memory."""

from collections import deque
from dataclasses import dataclass

from orion_registry.core.checks.spec import ProbeKind
from orion_registry.core.checks.threshold import DECISIVE
from orion_registry.core.checks.verdict import Outcome, Verdict

OF_LATE = 1_000
"""Latest latencies that quantiles are of: half a minute of 1,000 checks, and 8 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats:
    """Figures of runs since the registry started; kind None = of all kinds.

    success_rate is passed / (passed + failed), 1 if there is neither. Latencies are those of passed and failed runs, in
    seconds, None if there are none; the quantiles are of the last `OF_LATE`.
    """

    kind: ProbeKind | None
    runs: int
    passed: int
    failed: int
    unavailable: int
    denied: int
    success_rate: float
    average_s: float | None
    min_s: float | None
    max_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthStats:
    """Figures of all checks.

    Attributes:
        checks: configured.
        awaiting, passing, failing: of these, by where they stand.
        stale: of these.
        running: runs under way.
        waiting: checks that are due and wait for their turn.
        total: all runs since the registry started.
        kinds: the same by kind of the probe that decided; only kinds that ran.
    """

    checks: int
    awaiting: int
    passing: int
    failing: int
    stale: int
    running: int
    waiting: int
    total: RunStats
    kinds: tuple[RunStats, ...]


class Tally:
    """Counts the runs of one kind."""

    __slots__ = ("_counts", "_latest", "_max_s", "_min_s", "_sum_s")

    def __init__(self) -> None:
        self._counts = dict.fromkeys(Verdict, 0)
        self._latest: deque[float] = deque(maxlen=OF_LATE)
        self._sum_s = self._max_s = 0.0
        self._min_s: float | None = None

    def add(self, outcome: Outcome) -> None:
        """Counts one."""
        self._counts[outcome.verdict] += 1
        if outcome.verdict in DECISIVE:
            latency_s = outcome.latency_s
            self._latest.append(latency_s)
            self._sum_s += latency_s
            self._max_s = max(self._max_s, latency_s)
            self._min_s = latency_s if self._min_s is None else min(self._min_s, latency_s)

    def stats(self, kind: ProbeKind | None) -> RunStats:
        """The figures as of now."""
        passed, failed = self._counts[Verdict.PASSED], self._counts[Verdict.FAILED]
        decided = passed + failed
        ranked = sorted(self._latest)
        return RunStats(
            kind=kind,
            runs=sum(self._counts.values()),
            passed=passed,
            failed=failed,
            unavailable=self._counts[Verdict.UNAVAILABLE],
            denied=self._counts[Verdict.DENIED],
            success_rate=passed / decided if decided else 1.0,
            average_s=self._sum_s / decided if decided else None,
            min_s=self._min_s,
            max_s=self._max_s if decided else None,
            p50_s=_quantile(ranked, 0.5),
            p95_s=_quantile(ranked, 0.95),
            p99_s=_quantile(ranked, 0.99),
        )


def _quantile(ranked: list[float], q: float) -> float | None:
    """What the share `q` does not exceed, by the nearest rank; None if there is nothing."""
    return ranked[min(int(q * len(ranked)), len(ranked) - 1)] if ranked else None


class Tallies:
    """Counts all runs, and those of each kind."""

    __slots__ = ("_kinds", "_total")

    def __init__(self) -> None:
        self._total = Tally()
        self._kinds: dict[ProbeKind, Tally] = {}

    def add(self, outcome: Outcome) -> None:
        """Counts one."""
        self._total.add(outcome)
        if outcome.kind not in self._kinds:
            self._kinds[outcome.kind] = Tally()
        self._kinds[outcome.kind].add(outcome)

    @property
    def total(self) -> RunStats:
        """Of all kinds."""
        return self._total.stats(None)

    @property
    def kinds(self) -> tuple[RunStats, ...]:
        """Of each kind that ran."""
        return tuple(self._kinds[kind].stats(kind) for kind in sorted(self._kinds))
