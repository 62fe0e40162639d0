"""python -m tests.simulation.speed: select + release a second of CPU, at 10 and at 10,000 candidates."""

import argparse
import random
import sys
import time

from orion_registry.core.selection.balancer import Balancer
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.strategy import StrategyName
from tests.simulation.fakes import Heard, Member

BUDGETS = {10: 200_000, 10_000: 100_000}
BUDGETED = (
    StrategyName.WEIGHTED_LEAST_LOAD,
    StrategyName.ROUND_ROBIN,
    StrategyName.RANDOM,
    StrategyName.POWER_OF_TWO_CHOICES,
)
OPEN_SHARE = 0.5
"""Slots taken while measuring, as a share of all: an empty fleet would be too easy."""
SLOTS = 4


def fleet(candidates: int, seed: int = 1) -> tuple[Balancer, Pool]:
    """A balancer with so many candidates of 4 slots in one pool."""
    balancer = Balancer(BalancerConfig(), random.Random(seed).random, "s", Heard())
    names = [f"service-{number}" for number in range(candidates)]
    for name in names:
        balancer.put(Member(name, max_concurrency=SLOTS), 0.0)
    return balancer, balancer.pool("all", lambda: names)


def rate(name: StrategyName, candidates: int, seconds: float, *, outcomes: bool = False) -> float:
    """Select + release a second, the open leases released in the order of their grant."""
    balancer, pool = fleet(candidates)
    request = SelectionRequest(strategy=name)
    outcome = Outcome.SUCCEEDED if outcomes else Outcome.UNKNOWN
    select, release, now = balancer.select, balancer.release, 0.0
    held = []
    for _ in range(int(candidates * SLOTS * OPEN_SHARE)):
        got = select(pool, request, now)
        assert isinstance(got, tuple)
        held.append(got[0].selection_id)
    done, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        for place in range(len(held)):
            now += 1e-5
            release(held[place], now, outcome)
            got = select(pool, request, now)
            held[place] = got[0].selection_id  # type: ignore[index] # a slot has just been freed
        done += len(held)
    return done / (time.process_time() - begin)


def main() -> int:
    """Prints a table; 1 if a budget is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.speed", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each figure, and round")
    parser.add_argument("--rounds", type=int, default=3, help="the best one counts")
    options = parser.parse_args()
    missed = False
    print(f"{'strategy':26}{'at 10':>10}{'at 10,000':>12}{'ratio':>8}{'with outcomes, at 10':>22}")
    for name in StrategyName:
        rates = {n: max(rate(name, n, options.seconds) for _ in range(options.rounds)) for n in BUDGETS}
        told = rate(name, 10, options.seconds, outcomes=True)
        late = [n for n, budget in BUDGETS.items() if name in BUDGETED and rates[n] < budget]
        missed |= bool(late)
        mark = "  MISSED" if late else ""
        print(
            f"{name:26}{rates[10]:>10,.0f}{rates[10_000]:>12,.0f}{rates[10_000] / rates[10]:>8.2f}{told:>22,.0f}{mark}"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
