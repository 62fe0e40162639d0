"""What the runs gave, for people and as JSON."""

from collections import Counter
from typing import Any

from tests.simulator.world import Outcome


def percentile(values: list[float], share: float) -> float:
    """The value below which so large a share lies; values are sorted."""
    return values[min(len(values) - 1, int(share * len(values)))]


def detections_of(outcomes: list[Outcome]) -> dict[str, list[float]]:
    """All detection times by kind of fault, sorted."""
    merged: dict[str, list[float]] = {}
    for outcome in outcomes:
        for kind, values in outcome.detections.items():
            merged.setdefault(kind, []).extend(values)
    return {kind: sorted(values) for kind, values in sorted(merged.items())}


def failure(outcome: Outcome) -> str:
    """What broke, where, and what led to it."""
    run = outcome.settings
    head = (
        f"BROKEN {outcome.broken}\n"
        f"  seed {outcome.seed}, {run.agents:,} agents, step {outcome.steps:,}, {outcome.simulated_s:,.1f} s simulated"
    )
    return "\n".join([head, "  the last events:", *(f"  {line}" for line in outcome.told)])


def table(outcomes: list[Outcome]) -> str:
    """The summary."""
    lines = ["agents  interval  seed  agent-hours  sound  false deaths   faults      edges       steps  steps/s   wall"]
    for one in outcomes:
        mark = "  BROKEN" if one.broken else ""
        lines.append(
            f"{one.settings.agents:6,}  {one.interval_s:6.1f} s  {one.seed:4}  {one.agent_hours:11,.1f}  "
            f"{_share(one.sound_hours, one.agent_hours):>5}  {one.false_deaths.total():12,}  {one.faults.total():7,}  "
            f"{one.edges:9,}  {one.steps:10,}  {one.steps / max(one.wall_s, 1e-9):7,.0f}  {one.wall_s:5.1f} s{mark}"
        )
    lines += ["", "detected after (s)   times      p50      p99      max"]
    for kind, values in detections_of(outcomes).items():
        lines.append(
            f"{kind:18}  {len(values):6,}  {percentile(values, 0.5):7.3f}  {percentile(values, 0.99):7.3f}  "
            f"{values[-1]:7.3f}"
        )
    faults: Counter[str] = sum((one.faults for one in outcomes), Counter())
    seen: Counter[str] = sum((one.seen for one in outcomes), Counter())
    lines += ["", "faults: " + (", ".join(f"{count:,} {kind}" for kind, count in sorted(faults.items())) or "none")]
    lines += ["seen: " + (", ".join(f"{count:,} {kind}" for kind, count in sorted(seen.items())) or "nothing odd")]
    return "\n".join([*lines, verdict(outcomes)])


def verdict(outcomes: list[Outcome]) -> str:
    """One line: how many false deaths in how many hours, and what that bounds."""
    hours = sum(one.sound_hours for one in outcomes)
    deaths: Counter[str] = sum((one.false_deaths for one in outcomes), Counter())
    told = ", ".join(f"{count} by {how}" for how, count in sorted(deaths.items())) or "none"
    bound = _upper_bound(deaths.total()) / hours if hours else 0.0
    broken = sum(one.broken is not None for one in outcomes)
    checks = sum(one.checks for one in outcomes)
    return (
        f"false deaths: {told}, in {hours:,.0f} sound agent-hours (below {bound:.2g} an agent-hour, 95 %); "
        f"{broken or 'no'} invariant broken; {checks:,} checks of everything"
    )


def _upper_bound(count: int) -> float:
    """The mean that a count of rare events stays below in 95 of 100 cases (Poisson, close enough for a report)."""
    return 3.0 if count == 0 else count + 1.65 * count**0.5 + 1.4


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def as_json(outcomes: list[Outcome]) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        "runs": [
            {
                "agents": one.settings.agents,
                "interval_s": one.interval_s,
                "loss": one.settings.loss,
                "seed": one.seed,
                "agent_hours": one.agent_hours,
                "sound_agent_hours": one.sound_hours,
                "false_deaths": dict(one.false_deaths),
                "faults": dict(one.faults),
                "seen": dict(one.seen),
                "steps": one.steps,
                "edges": one.edges,
                "checks": one.checks,
                "simulated_s": one.simulated_s,
                "wall_s": one.wall_s,
                "event_sum": one.event_sum,
                "broken": str(one.broken) if one.broken else None,
            }
            for one in outcomes
        ],
        "detections_s": {
            kind: {
                "times": len(values),
                "p50": percentile(values, 0.5),
                "p99": percentile(values, 0.99),
                "max": values[-1],
            }
            for kind, values in detections_of(outcomes).items()
        },
    }
