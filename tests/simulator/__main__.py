"""Simulates agent-hours in virtual time and judges every step of the real core.

    python -m tests.simulator [--hours AGENT_HOURS] [--agents N] [--loss P] [--seed S | --seeds A..B]
                              [--faults all|none|KIND,KIND] [--quick] [--json FILE] [--break RULE|all]

Without --agents the hours are shared out over three fleets: 50 agents (beats every 1 s), 3,000 (1.5 s), 10,000 (5 s).
Exit code 1 if an invariant breaks, or a broken rule is not caught; 2 for a command line that makes no sense.
"""

import argparse
import gc
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.simulator.breaks import BREAKS, hunt_all, named
from tests.simulator.faults import RATES
from tests.simulator.report import as_json, failure, table
from tests.simulator.settings import Settings, plan_of
from tests.simulator.world import Outcome, World

QUICK = (
    Settings(agents=50, hours=1.0, faults=3.0),
    Settings(agents=400, hours=0.1, faults=3.0, beat_budget=200.0),
)
"""A few seconds: two fleets of different pace, with three times the usual faults."""


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--hours", type=float, default=200.0, help="agent-hours in all (200)")
    parser.add_argument("--agents", type=int, default=0, help="one fleet of this size, instead of three")
    parser.add_argument("--loss", type=float, default=0.01, help="share of segments that the network loses (0.01)")
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, default=1, help="names the run (1)")
    seeds.add_argument("--seeds", metavar="A..B", help="several runs, which share the hours")
    parser.add_argument("--faults", default="all", help=f"all, none, or some of: {', '.join(RATES)}")
    parser.add_argument("--quick", action="store_true", help="a few seconds, whatever --hours says")
    parser.add_argument("--json", metavar="FILE", type=Path, help="writes the outcome there")
    parser.add_argument("--break", metavar="RULE", dest="rule", help="breaks rules whose name contains this, or all")
    options = parser.parse_args(given)
    options.kinds = () if options.faults in {"all", "none"} else tuple(options.faults.split(","))
    if unknown := [kind for kind in options.kinds if kind not in RATES]:
        parser.error(f"--faults: no such kind {unknown[0]!r}; there are {', '.join(RATES)}")
    if not 0.0 <= options.loss < 0.5:
        parser.error(f"--loss: must be 0 to 0.5, got {options.loss}")
    if options.rule and not named(options.rule):
        parser.error(f"--break: no such rule; there are: {'; '.join(one.name for one in BREAKS)}")
    first, _, last = (options.seeds or str(options.seed)).partition("..")
    if not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
        parser.error(f"--seeds: must be A..B, got {options.seeds!r}")
    options.range = range(int(first), int(last or first) + 1)
    return options


def runs_of(options: argparse.Namespace) -> list[tuple[Settings, int]]:
    """Every run that the options ask for."""
    faults = 0.0 if options.faults == "none" else 1.0
    share = options.hours / len(options.range)
    plan = list(QUICK) if options.quick else plan_of(share, options.agents, options.loss, faults)
    if options.quick:
        plan = [replace(one, loss=options.loss, faults=one.faults * faults) for one in plan]
    return [(replace(one, kinds=options.kinds), seed) for seed in options.range for one in plan]


def simulate(settings: Settings, seed: int) -> Outcome:
    """One run, with its progress on a terminal."""
    shown = sys.stderr.isatty()
    last = time.monotonic()

    def progress(share: float, deaths: int) -> None:
        nonlocal last
        if shown and time.monotonic() - last > 0.5:
            last = time.monotonic()
            text = f"{settings.agents:,} agents, seed {seed}: {100 * share:3.0f} %, {deaths} false deaths"
            print(f"\r{text} ", end="", file=sys.stderr, flush=True)

    world = World(settings, seed)
    gc.collect()
    gc.freeze()  # the fleet lives as long as the run
    outcome = world.run(progress)
    gc.unfreeze()
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return outcome


def main(given: list[str] | None = None) -> int:
    options = arguments(given)
    if options.rule:
        seeds = options.range if options.seeds or options.seed != 1 else range(1, 11)
        return 0 if hunt_all(named(options.rule), seeds) else 1
    outcomes = []
    for settings, seed in runs_of(options):
        outcomes.append(simulate(settings, seed))
        if outcomes[-1].broken is not None:
            print(failure(outcomes[-1]), end="\n\n")
    print(table(outcomes))
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(outcomes), indent=1) + "\n")
    return 1 if any(one.broken is not None for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
