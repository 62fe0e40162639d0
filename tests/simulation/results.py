"""Figures of runs, and the bounds that they must keep."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from orion_registry.core.selection.strategy import StrategyName
from tests.simulation.case import Calls, Case, Trouble, make_calls
from tests.simulation.run import Outcomes, Run, central_queue

QUEUE = "waiting queue"
DEFAULT = str(StrategyName.WEIGHTED_LEAST_LOAD)
WARM_UP = 0.1
"""Share of the calls that is not counted: the fleet begins empty."""

DEFAULT_MOST = 1.25
QUEUE_MOST = 1.1


@dataclass(slots=True)
class Figures:
    """One way to select in one case; medians over the seeds. Seconds.

    regret is p99 over the p99 of the central queue with the same calls.
    """

    way: str
    mean_s: float
    p50_s: float
    p99_s: float
    regret: float
    failed_attempts: int
    failed_calls: int
    diverged: bool


@dataclass(slots=True)
class CaseResult:
    """A case with the bound's own figures first, then each way's."""

    case: Case
    bound_p99_s: float
    bound_mean_s: float
    ways: list[Figures] = field(default_factory=list)

    def of(self, way: str) -> Figures:
        return next(figures for figures in self.ways if figures.way == way)

    def as_dict(self) -> dict[str, object]:
        return {"name": self.case.name, **asdict(self)}


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[int(q * (len(values) - 1))]


def counted(sojourns: Sequence[float | None]) -> list[float]:
    return [value for value in sojourns[int(len(sojourns) * WARM_UP) :] if value is not None]


def has_diverged(outcomes: Outcomes, case: Case) -> bool:
    """Whether open calls pile up: in the second half by a tenth of its calls, to more than twice all slots.

    What piles up more slowly is not told from the waves of calls whose sizes vary a hundredfold.
    """
    grown = outcomes.open_end - outcomes.open_middle
    return grown > len(outcomes.sojourns) / 20 and outcomes.open_end > 2 * case.all_slots


def run_case(case: Case, calls: int, seeds: int) -> CaseResult:
    """Every strategy that pushes, and the waiting queue, on the same calls."""
    number = max(calls, 12 * case.all_slots)
    played = [make_calls(case, number, seed) for seed in range(seeds)]
    bounds = [counted(central_queue(case, one)) for one in played]
    result = CaseResult(
        case, statistics.median(quantile(b, 0.99) for b in bounds), statistics.median(map(statistics.fmean, bounds))
    )
    for name in StrategyName:
        result.ways.append(_figures(str(name), case, played, bounds, name, queue=False))
    result.ways.append(_figures(QUEUE, case, played, bounds, StrategyName.WEIGHTED_LEAST_LOAD, queue=True))
    return result


def _figures(
    way: str, case: Case, played: list[Calls], bounds: list[list[float]], name: StrategyName, *, queue: bool
) -> Figures:
    outcomes = [Run(case, calls, name, queue=queue, seed=seed).play() for seed, calls in enumerate(played)]
    times = [counted(one.sojourns) for one in outcomes]
    regrets = [quantile(own, 0.99) / quantile(bound, 0.99) for own, bound in zip(times, bounds, strict=True)]
    return Figures(
        way=way,
        mean_s=statistics.median(map(statistics.fmean, times)),
        p50_s=statistics.median(quantile(own, 0.5) for own in times),
        p99_s=statistics.median(quantile(own, 0.99) for own in times),
        regret=statistics.median(regrets),
        failed_attempts=sum(one.attempts_failed for one in outcomes),
        failed_calls=sum(value is None for one in outcomes for value in one.sojourns),
        diverged=sum(has_diverged(one, case) for one in outcomes) * 2 > len(outcomes),
    )


def judged_default(case: Case) -> bool:
    """Where the default's bound is stated: load 0.8, lognormal, fresh reports, several slots, speeds declared."""
    plain = case.load == 0.8 and case.workload == "lognormal" and not case.report_s
    return plain and case.slots != 1 and case.declared and case.trouble is Trouble.NONE and case.agents >= 10


def judged_queue(case: Case) -> bool:
    """Where the waiting queue's is: the same, single slots, whatever the number of agents and callers."""
    plain = case.load == 0.8 and case.workload == "lognormal" and not case.report_s
    return plain and case.slots == 1 and case.spread == 1 and case.trouble is Trouble.NONE


def broken(result: CaseResult) -> list[str]:
    """The stated bounds that a case breaks, for people."""
    case, told = result.case, []
    default, queue = result.of(DEFAULT), result.of(QUEUE)
    if judged_default(case) and default.regret > DEFAULT_MOST:
        told.append(f"{case.name}: {DEFAULT} has {default.regret:.2f} x the bound's p99, {DEFAULT_MOST} is allowed")
    if judged_queue(case) and queue.regret > QUEUE_MOST:
        told.append(f"{case.name}: the queue has {queue.regret:.2f} x the bound's p99, {QUEUE_MOST} is allowed")
    if not result.of(str(StrategyName.ROUND_ROBIN)).diverged:
        late = [way.way for way in result.ways if way.diverged and way.way != QUEUE]
        told += [f"{case.name}: {way} diverges, round robin does not" for way in late]
    return told
