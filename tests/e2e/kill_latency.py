"""How soon a watcher sees a killed agent UNHEALTHY, and that no call goes there: python -m tests.e2e.kill_latency

Five kinds of processes, one monotonic clock (all processes of a Linux machine share CLOCK_MONOTONIC): the daemon; a
crowd of other agents that beat; a caller; for each run two fresh agents, one of which dies; and a killer, which takes
t0 just before it kills. The watcher is this process. Exits with 1 if any run took 100 ms or more, if any call started
more than 100 ms after t0 went to the dead port, or if an answer came from another process than the registry had named.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from examples.demo.caller import Timeline
from examples.demo.processes import Child, Nursery, free_port
from orion_registry.client.client import RegistryClient
from orion_registry.client.fold import WatchEvent
from orion_registry.core.model import ServiceStatus
from orion_registry.core.selector import Selector
from orion_registry.errors import Unavailable
from tests.e2e.kill_roles import CAPABILITY

LIMIT_MS = 100.0
ROLES = "tests.e2e.kill_roles"


@dataclass(kw_only=True)
class Run:
    """One kill. ms: from t0 until the watcher had the event. The rest is the caller's count; see kill_roles."""

    number: int
    ms: float
    rate: float
    calls: int
    calls_after: int
    late: int
    failed: int
    failed_elsewhere: int
    untrue: int
    nobody: int
    errors: int
    answered_by_dead: int

    @property
    def holds(self) -> bool:
        return self.ms < LIMIT_MS and not self.late and not self.untrue and self.calls_after > 0

    def __str__(self) -> str:
        return (
            f"run {self.number:>2}: UNHEALTHY after {self.ms:6.1f} ms; {self.calls} calls at {self.rate:.0f}/s "
            f"({self.answered_by_dead} answered by the victim before), {self.failed} failed at the kill, "
            f"{self.calls_after} started > 100 ms after it, {self.late} of them at the dead port, {self.untrue} untrue"
        )


@dataclass(kw_only=True)
class Outcome:
    """All runs."""

    agents: int
    rate: float
    crowd_healthy: int = 0
    runs: list[Run] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """The caller must really have called: nine tenths of the rate asked for, over all runs."""
        called = statistics.fmean(run.rate for run in self.runs) >= 0.9 * self.rate
        return called and all(run.holds for run in self.runs) and self.crowd_healthy == self.agents

    def summary(self) -> str:
        taken = sorted(run.ms for run in self.runs)
        rate = statistics.fmean(run.rate for run in self.runs)
        return (
            f"{len(taken)} runs, {self.crowd_healthy} of {self.agents} other agents HEALTHY at the end: "
            f"ms to UNHEALTHY min {taken[0]:.1f}, median {statistics.median(taken):.1f}, max {taken[-1]:.1f}; "
            f"{sum(run.calls for run in self.runs)} calls at {rate:.0f}/s, "
            f"{sum(run.calls_after for run in self.runs)} of them started > 100 ms after a kill, "
            f"{sum(run.late for run in self.runs)} at a dead port; "
            f"{sum(run.untrue for run in self.runs)} answered by a wrong process"
        )


class Arena:
    """What all runs share."""

    def __init__(self, nursery: Nursery, timeline: Timeline, registry: str, caller: Child, killer: Child) -> None:
        self._nursery = nursery
        self._timeline = timeline
        self._registry = registry
        self._caller = caller
        self._killer = killer

    async def run(self, number: int) -> Run:
        """Two fresh agents; one dies."""
        names = (f"victim-{number}", f"survivor-{number}")
        victim, survivor = await asyncio.gather(
            *(self._nursery.start_ready(name, "-m", ROLES, "target", name, self._registry) for name in names)
        )
        for name in names:
            await self._timeline.first(lambda event, name=name: _is(event, name, ServiceStatus.HEALTHY))  # type: ignore[misc]
        await self._ask(t0=0.0, port=0)  # what was counted so far belongs to no run
        await asyncio.sleep(0.5 + random.random())  # any phase of the beat
        self._killer.write_json({"pid": victim.pid})
        t0 = float((await self._killer.read_json(5.0))["t0"])
        seen, _ = await self._timeline.first(lambda event: _is(event, names[0], ServiceStatus.UNHEALTHY))
        await asyncio.sleep(max(0.0, t0 + 0.8 - time.monotonic()))
        counted = await self._ask(t0=t0, port=victim.ready["port"])
        await survivor.stop()
        return Run(
            number=number,
            ms=round((seen - t0) * 1000, 2),
            rate=counted["rate"],
            calls=counted["calls"],
            calls_after=counted["after"],
            late=counted["late"],
            failed=counted["failed"],
            failed_elsewhere=counted["failed_elsewhere"],
            untrue=counted["untrue"],
            nobody=counted["nobody"],
            errors=counted["errors"],
            answered_by_dead=counted["answered_by_dead"],
        )

    async def _ask(self, **question: Any) -> dict[str, Any]:
        self._caller.write_json(question)
        return await self._caller.read_json(5.0)


def _is(event: WatchEvent, agent_id: str, status: ServiceStatus) -> bool:
    return event.service is not None and event.service.agent_id == agent_id and event.service.status is status


async def measure(runs: int, agents: int, rate: float, directory: Path, *, quiet: bool = False) -> Outcome:
    """Starts everything, does the runs, takes everything down."""
    registry = f"127.0.0.1:{free_port()}"
    outcome = Outcome(agents=agents, rate=rate)
    async with Nursery(directory) as nursery, RegistryClient(registry) as client:
        await _start_daemon(nursery, client, registry)
        await nursery.start_ready("crowd", "-m", ROLES, "crowd", str(agents), registry, timeout_s=60.0)
        caller = await nursery.start_ready("caller", "-m", ROLES, "caller", str(rate), registry)
        killer = await nursery.start_ready("killer", "-m", ROLES, "killer")
        async with client.watch(Selector(capabilities=(CAPABILITY,), include_not_ready=True)) as watch:
            timeline = Timeline(watch)
            arena = Arena(nursery, timeline, registry, caller, killer)
            for number in range(1, runs + 1):
                outcome.runs.append(await arena.run(number))
                if not quiet:
                    print(outcome.runs[-1], flush=True)
            await timeline.close()
        crowd = await client.discover(Selector(capabilities=("crowd",)))
        outcome.crowd_healthy = len(crowd.services)
    return outcome


async def _start_daemon(nursery: Nursery, client: RegistryClient, registry: str) -> None:
    daemon = await nursery.start_daemon(int(registry.rpartition(":")[2]))
    give_up_at = time.monotonic() + 15.0
    while True:
        try:
            await client.discover(timeout_s=1.0)
            return
        except Unavailable:
            if daemon.exit_code is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"the daemon does not answer\n{daemon.log_tail()}") from None
            await asyncio.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="kills, each of a fresh agent (default: 20)")
    parser.add_argument("--agents", type=int, default=200, help="other agents that beat (default: 200)")
    parser.add_argument("--rate", type=float, default=200.0, help="discover-and-calls a second (default: 200)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orion-kill-") as directory:
        outcome = asyncio.run(
            measure(arguments.runs, arguments.agents, arguments.rate, Path(directory), quiet=arguments.json)
        )
    if arguments.json:
        print(json.dumps({"holds": outcome.holds, **asdict(outcome)}, indent=2))
    else:
        print(outcome.summary())
        print("holds" if outcome.holds else "DOES NOT HOLD")
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
