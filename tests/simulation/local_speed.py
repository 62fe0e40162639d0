"""python -m tests.simulation.local_speed: select + release of a local view a second of CPU, at 10 and at 10,000."""

import argparse
import sys
import time

from orion_registry.client.channel import Connection
from orion_registry.client.environment import REAL
from orion_registry.client.fold import WatchEvent, WatchKind
from orion_registry.client.local_view import LocalView
from orion_registry.client.profile import PROFILES
from orion_registry.core.model import ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.wire.service import Service
from tests.simulation.speed import BUDGETED, BUDGETS, OPEN_SHARE, SLOTS

BEATING = (StatusReason(code=StatusReasonCode.BEATING, since_wall=0.0),)


def filled_view(candidates: int, strategy: StrategyName | None = None) -> LocalView:
    """A view of so many ready services of 4 slots, as if a watch had told of them."""
    view = LocalView(Connection(("127.0.0.1:1",), PROFILES["lan"]), Selector(), REAL, strategy=strategy)
    for number in range(candidates):
        service = Service(
            service_id=f"service-{number}",
            agent_id=f"agent-{number}",
            service_name="work",
            max_concurrency=SLOTS,
            status=ServiceStatus.HEALTHY,
            reasons=BEATING,
            ready=True,
        )
        view._watch._tell(WatchEvent(kind=WatchKind.ADDED, service=service))
    return view


def rate(strategy: StrategyName, candidates: int, seconds: float, *, outcomes: bool = False) -> float:
    """Select + release a second, half of all slots taken, released in the order of their selection."""
    view = filled_view(candidates, strategy)
    outcome = Outcome.SUCCEEDED if outcomes else Outcome.UNKNOWN
    select, release = view.select, view.release
    held = [select() for _ in range(int(candidates * SLOTS * OPEN_SHARE))]
    done, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        for place in range(len(held)):
            release(held[place], outcome)
            held[place] = select()
        done += len(held)
    return done / (time.process_time() - begin)


def main() -> int:
    """Prints a table; 1 if a budget is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.local_speed", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each figure, and round")
    parser.add_argument("--rounds", type=int, default=3, help="the best one counts")
    options = parser.parse_args()
    missed = False
    print(f"{'strategy':26}{'at 10':>10}{'at 10,000':>12}{'with outcomes, at 10':>22}")
    for name in StrategyName:
        rates = {n: max(rate(name, n, options.seconds) for _ in range(options.rounds)) for n in BUDGETS}
        told = max(rate(name, 10, options.seconds, outcomes=True) for _ in range(options.rounds))
        late = [n for n, budget in BUDGETS.items() if name in BUDGETED and rates[n] < budget]
        missed |= bool(late)
        mark = "  MISSED" if late else ""
        print(f"{name:26}{rates[10]:>10,.0f}{rates[10_000]:>12,.0f}{told:>22,.0f}{mark}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
