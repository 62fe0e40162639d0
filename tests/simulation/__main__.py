"""Simulates fleets under every strategy, on the real strategy objects, and judges the bounds that are stated."""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.simulation.case import WORKLOADS, Case, Trouble
from tests.simulation.plot import svg
from tests.simulation.results import DEFAULT, QUEUE, CaseResult, broken, run_case

QUICK = (
    Case(),
    Case(spread=4),
    Case(spread=4, declared=False),
    Case(slots="mixed"),
    Case(agents=6, slots=1),
    Case(agents=3, slots=1, callers=1),
    Case(spread=4, report_s=30.0),
    *(Case(trouble=trouble) for trouble in Trouble if trouble is not Trouble.NONE),
)

FULL = (
    *QUICK,
    Case(load=0.5),
    Case(load=0.95),
    Case(spread=4, load=0.95),
    *(Case(spread=4, workload=workload) for workload in WORKLOADS if workload != "lognormal"),
    Case(agents=3),
    Case(agents=10, spread=4),
    Case(agents=100, spread=4),
    Case(agents=1000, slots=1),
    Case(agents=6, slots=1, callers=100),
    Case(agents=30, slots=1),
    Case(agents=6, slots=1, load=0.95),
    Case(spread=4, report_s=1.0),
    Case(spread=4, report_s=5.0),
    Case(report_s=5.0),
    Case(report_s=30.0),
    Case(callers=1),
    Case(callers=100),
)


def table(result: CaseResult) -> str:
    """One case for people."""
    lines = [f"\n{result.case.name}: bound p99 {result.bound_p99_s:.1f} s, mean {result.bound_mean_s:.1f} s"]
    lines.append(f"  {'':26}{'mean s':>9}{'p50 s':>9}{'p99 s':>9}{'regret':>8}{'failures':>10}{'lost':>6}")
    for way in result.ways:
        mark = "  diverges" if way.diverged else ""
        lines.append(
            f"  {way.way:26}{way.mean_s:>9.1f}{way.p50_s:>9.1f}{way.p99_s:>9.1f}{way.regret:>8.2f}"
            f"{way.failed_attempts:>10}{way.failed_calls:>6}{mark}"
        )
    return "\n".join(lines)


def markdown(results: list[CaseResult]) -> str:
    """The regrets of all cases, as in docs/balancing.md."""
    ways = [way.way for way in results[0].ways]
    short = ["".join(word[0] for word in way.split("_")) if way.isupper() else "queue" for way in ways]
    lines = [f"| case | {' | '.join(short)} |", "|---|" + "---|" * len(ways)]
    for result in results:
        cells = (f"{way.regret:.2f}" + ("†" if way.diverged else "") for way in result.ways)
        lines.append(f"| {result.case.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Runs the command line; returns the exit code: 0 every bound held, 1 one was broken."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cases and calls: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the regrets there")
    parser.add_argument(
        "--markdown", action="store_true", help="print the regrets as a table for docs/balancing.md too"
    )
    parser.add_argument("--calls", type=int, help="of each run (default: 8000, quick: 4000)")
    parser.add_argument("--seeds", type=int, help="runs of each kind (default: 5, quick: 3)")
    options = parser.parse_args()
    calls, seeds = options.calls or (4_000 if options.quick else 8_000), options.seeds or (3 if options.quick else 5)
    begin, results = time.monotonic(), []
    for case in QUICK if options.quick else FULL:
        results.append(run_case(case, calls, seeds))
        print(table(results[-1]), flush=True)
    faults = [fault for result in results for fault in broken(result)]
    if options.json:
        told = {"cases": [result.as_dict() for result in results], "broken": faults}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    if options.svg:
        options.svg.write_text(svg(results, (DEFAULT, "POWER_OF_TWO_CHOICES", "ROUND_ROBIN", QUEUE)))
    if options.markdown:
        print("\n" + markdown(results))
    print(f"\n{len(results)} cases, {time.monotonic() - begin:.0f} s; {len(faults)} bounds broken")
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
