"""python -m tests.simulation.embedded_speed: latencies of the embedded manager beside what was asked."""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from unittest.mock import patch

from orion_registry import LoadBalancingStrategy, ServiceDiscoveryManager, ServiceInfo
from orion_registry.manager import shell
from orion_registry.testing.clock import VirtualClock

SERVICES = 10_000
DEAD = 2_000
GROUPS = 100
"""Capabilities among the services: one has a hundredth of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. wanted: milliseconds at most, or a rate at least; None: nothing was asked for."""

    what: str
    got: float
    worst: float | None = None
    unit: str = "ms"
    wanted: float | None = None

    @property
    def held(self) -> bool:
        """Whether it is what was wanted."""
        return self.wanted is None or (self.got <= self.wanted if self.unit == "ms" else self.got >= self.wanted)

    def __str__(self) -> str:
        worst = "" if self.worst is None else f"{self.worst:,.3f}"
        sign = "" if self.wanted is None else f"{'<' if self.unit == 'ms' else '>='} {self.wanted:,g}"
        got = f"{self.got:,.3f}" if self.unit == "ms" else f"{self.got:,.0f}"
        return f"{self.what:58}{got:>12}{worst:>12}  {self.unit:4}{sign:>10}{'' if self.held else '  MISSED'}"


def each(what: str, calls: Iterable[Callable[[], object]], wanted: float | None) -> Row:
    """The median and the 99th percentile of single calls."""
    took = []
    for call in calls:
        begin = time.perf_counter()
        call()
        took.append((time.perf_counter() - begin) * 1e3)
    took.sort()
    return Row(what=what, got=statistics.median(took), worst=took[int(len(took) * 0.99)], wanted=wanted)


def service(number: int) -> ServiceInfo:
    """One of many."""
    return ServiceInfo(
        service_id=f"service-{number}",
        agent_id=f"agent-{number}",
        service_name="work",
        capabilities=["work", f"of-{number % GROUPS}"],
        metadata={"model": "m", "size": number},
        tags=["blue"],
    )


def pairs_a_second(manager: ServiceDiscoveryManager, seconds: float) -> float:
    """Selections with their releases, a second of CPU."""
    done, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        for _ in range(1_000):
            selected = manager.select_agent("work")
            assert selected is not None
            manager.release_agent(selected.service_id)
        done += 1_000
    return done / (time.process_time() - begin)


def measure(seconds: float) -> list[Row]:
    """All figures."""
    few = ServiceDiscoveryManager()
    for number in range(10):
        few.registry.register_service(service(number))
    manager = ServiceDiscoveryManager()
    registry = manager.registry
    infos = [service(number) for number in range(SERVICES)]
    rows = [
        each("registration", [lambda info=info: registry.register_service(info) for info in infos], 1.0),  # type: ignore[misc]
        each("discovery of 100 of 10,000, one capability", [lambda: manager.discover_agents("of-7")] * 200, 5.0),
        each("discovery of all 10,000", [lambda: manager.discover_agents("work")] * 50, None),
        each(
            "the same, and a look at each", [lambda: [one.tags for one in manager.discover_agents("work")]] * 20, None
        ),
        each("heartbeat, the first", [lambda info=info: registry.heartbeat(info.service_id) for info in infos], 1.0),  # type: ignore[misc]
        each("heartbeat", [lambda info=info: registry.heartbeat(info.service_id) for info in infos], 1.0),  # type: ignore[misc]
    ]
    manager.select_agent("work")
    rows.append(each("selection of one of 10,000", [lambda: manager.select_agent("work")] * 5_000, 1.0))
    for balancer, number in ((few, 10), (manager, SERVICES)):
        what = f"select and release, one of {number:,}"
        rows.append(Row(what=what, got=pairs_a_second(balancer, seconds), unit="/s", wanted=10_000.0))
    change = manager.change_load_balancing_strategy
    rows.append(
        each("strategy switch", [lambda to=to: change(to) for to in [*LoadBalancingStrategy] * 20], 1.0)  # type: ignore[misc]
    )
    firsts = [_first(manager, strategy) for strategy in LoadBalancingStrategy]
    rows.append(each("first selection of one of 10,000 after it", firsts, None))
    rows.append(cleaned_up())
    return rows


def _looked_at(manager: ServiceDiscoveryManager) -> None:
    for one in manager.discover_agents("work"):
        assert one.tags


def _first(manager: ServiceDiscoveryManager, strategy: LoadBalancingStrategy) -> Callable[[], object]:
    """The first selection by a strategy: it puts all candidates in order."""

    def select() -> None:
        manager.change_load_balancing_strategy(strategy)
        manager.select_agent(tags=["blue"])

    return select


def cleaned_up() -> Row:
    """A clean-up of many dead."""
    clock = VirtualClock()
    with patch.object(shell, "SystemClock", lambda: clock):
        manager = ServiceDiscoveryManager()
    for number in range(DEAD):
        manager.registry.register_service(service(number))
        manager.registry.heartbeat(f"service-{number}")
    for _ in range(2):
        clock.advance(61.0)
        manager.registry.get_service("nobody")
    begin = time.perf_counter()
    removed = manager.registry.cleanup()
    took_ms = (time.perf_counter() - begin) * 1e3
    assert removed == DEAD
    return Row(what=f"clean-up of {DEAD:,} dead", got=took_ms)


def main() -> int:
    """Prints a table; 1 if a figure is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.embedded_speed", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each rate")
    options = parser.parse_args()
    gc.collect()
    gc.freeze()
    rows = measure(options.seconds)
    print(f"{'':58}{'median':>12}{'p99':>12}  {'':4}{'asked for':>10}")
    print("\n".join(map(str, rows)))
    return int(not all(row.held for row in rows))


if __name__ == "__main__":
    sys.exit(main())
