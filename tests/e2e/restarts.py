"""For the people who use it, must-show 1: the daemon is killed and started again 20 times under traffic.

    python -m tests.e2e.restarts

Some agents with the SDK's session, each on a connection of its own, serve calls. One caller selects from a local view
and calls, 200 times a second, from the first to the last restart. Each time the daemon is killed with SIGKILL; while
it is away another caller starts anew with nothing but the cache on the disk, selects and calls. Every fourth time the
daemon comes back without its data, so that it knows nobody. The agents come back as late as their jitter lets them, the
callers early: in the other order a caller would not notice that the registry has forgotten something.

Each time: all agents are ready again by themselves, under the same service_ids, none is listed twice, and no selection
of either caller failed, nor any call. The table's spans are seconds: `served`, from the kill to the first answer;
`back`, from there until every agent is ready.
"""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from examples.demo.processes import Nursery
from orion_registry.client.client import RegistryClient
from orion_registry.client.environment import Environment
from orion_registry.client.local_view import LocalView
from orion_registry.core.model import ServiceSpec
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError
from orion_registry.wire.service import Service
from tests.e2e.fleet import daemon_address
from tests.e2e.restart import Host, busy

WORK = Selector(service_name="work")
ALL = Selector(service_name="work", include_not_ready=True)
PACE_S = 0.005
AWAY_S = 0.5
"""How long the daemon stays away at least: more than it takes to find out."""
BACK_S = 10.0
SETTLE_S = 1.0
"""Between two restarts: longer than the cache lags behind."""
EARLY, LATE = Environment(draw=lambda: 0.05), Environment(draw=lambda: 0.95)
LOSES_ITS_DATA = 4
"""Every n-th restart."""


# The agents' process.


async def agents(address: str, count: int) -> None:
    """So many agents that serve until the process ends: whoever connects is told the agent's id."""
    async with AsyncExitStack() as stack:
        for number in range(count):
            agent_id = f"agent-{number}"

            async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, me: str = agent_id) -> None:
                writer.write(me.encode())
                writer.close()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            spec = ServiceSpec(agent_id=agent_id, service_name="work", port=server.sockets[0].getsockname()[1])
            client = await stack.enter_async_context(RegistryClient(address, environment=LATE))
            await client.session(agent_id, [spec]).start()
        print(json.dumps({"ready": count}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


# The callers.


@dataclass(slots=True)
class Tally:
    """What a caller met with."""

    selections: int = 0
    failed: int = 0
    calls_failed: int = 0
    said: set[str] = field(default_factory=set)


async def call_once(view: LocalView, tally: Tally) -> None:
    """Selects and calls; the agent must be the one that was selected."""
    tally.selections += 1
    try:
        selection = view.select()
    except RegistryError as error:
        tally.failed += 1
        tally.said.add(error.message)
        return
    try:
        with selection:
            reader, writer = await asyncio.open_connection(selection.service.host, selection.service.port)
            try:
                told = (await reader.read(100)).decode()
            finally:
                writer.close()
            if told != selection.service.agent_id:
                raise ConnectionError(f"{selection.service.agent_id} was meant, {told!r} answered")
    except OSError as error:
        tally.calls_failed += 1
        tally.said.add(str(error))


class Caller:
    """Calls at a steady pace until it is stopped."""

    def __init__(self, view: LocalView) -> None:
        self.tally = Tally()
        self._view = view
        self._task = asyncio.create_task(self._run())

    def take(self) -> Tally:
        """What it met with since the last time."""
        tally, self.tally = self.tally, Tally()
        return tally

    async def stop(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        loop, due = asyncio.get_running_loop(), 0.0
        while True:
            due = max(due + PACE_S, loop.time() - 0.1)
            await call_once(self._view, self.tally)
            await asyncio.sleep(due - loop.time())


async def start_from_cache(address: str, cache: Path) -> Tally:
    """A caller that starts while the registry is away."""
    tally = Tally()
    try:
        async with RegistryClient(address) as client, client.local_view(WORK, cache=cache) as view:
            if not view.is_cached:
                tally.said.add("the registry answered")
            for _ in range(20):
                await call_once(view, tally)
    except RegistryError as error:
        tally.failed += 1
        tally.said.add(f"from the cache: {error.message}")
    return tally


# The restarts.


@dataclass(slots=True)
class Round:
    """One restart."""

    number: int
    kept_data: bool
    served_s: float = 0.0
    back_s: float = 0.0
    running: Tally = field(default_factory=Tally)
    started: Tally = field(default_factory=Tally)
    listed: int = 0
    twice: int = 0
    faults: list[str] = field(default_factory=list)

    def row(self) -> str:
        memory = "kept" if self.kept_data else "lost"
        return (
            f"{self.number:>4}  {memory:5}{self.served_s:>8.2f}{self.back_s:>7.2f}{self.listed:>9}{self.twice:>7}"
            f"{self.running.selections:>9}{self.running.failed:>8}{self.running.calls_failed:>8}"
            f"{self.started.selections:>9}{self.started.failed:>8}{self.started.calls_failed:>8}"
        )


HEADER = f"""{"":35}|  local view, running     |  started from the cache
{"no.":>4}  {"data":5}{"served":>8}{"back":>7}{"services":>9}{"twice":>7}{"selected":>9}{"failed":>8}{"calls":>8}\
{"selected":>9}{"failed":>8}{"calls":>8}"""


async def restart(host: Host, data: Path, number: int, caller: Caller, before: list[Service], cache: Path) -> Round:
    """Kills the daemon, starts it again, and waits for every agent."""
    one = Round(number=number, kept_data=number % LOSES_ITS_DATA != 0)
    caller.take()
    killed_at = time.monotonic()
    await host.end(signal.SIGKILL)
    if not one.kept_data:
        shutil.rmtree(data)
    one.started = await start_from_cache(host.address, cache)
    await asyncio.sleep(max(0.0, killed_at + AWAY_S - time.monotonic()))
    await host.start()
    await daemon_address(host.daemon)
    async with RegistryClient(host.address) as client:
        found = await everybody(client, len(before), one, killed_at)
    await asyncio.sleep(SETTLE_S)
    one.running = caller.take()
    judge(one, before, found)
    return one


async def everybody(client: RegistryClient, count: int, one: Round, killed_at: float) -> list[Service]:
    """All services, once so many are ready, or time is up."""
    served_at = 0.0
    while True:
        try:
            found = list((await client.discover(ALL)).services)
        except RegistryError:
            await asyncio.sleep(0.02)
            continue
        served_at = served_at or time.monotonic()
        one.served_s, one.back_s = served_at - killed_at, time.monotonic() - served_at
        if sum(service.ready for service in found) >= count or one.back_s > BACK_S:
            return found
        await asyncio.sleep(0.02)


def judge(one: Round, before: list[Service], found: list[Service]) -> None:
    """What should not be so."""
    one.listed = len(found)
    one.twice = len(found) - len({service.agent_id for service in found})
    if one.back_s > BACK_S:
        one.faults.append(f"{sum(service.ready for service in found)} of {len(before)} were ready after {BACK_S:g} s")
    if {service.service_id for service in found} != {service.service_id for service in before}:
        one.faults.append(f"{len(found)} services, {len(before)} before, or others")
    for who, tally in (("local view", one.running), ("cache", one.started)):
        if tally.failed or tally.calls_failed or not tally.selections:
            failed = f"{tally.failed} selections and {tally.calls_failed} calls of {tally.selections} failed"
            one.faults.append(f"{who}: {failed}: {'; '.join(sorted(tally.said))}")


async def run(count: int, restarts: int) -> list[Round]:
    """So many restarts under one fleet; each prints its line."""
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        async with Nursery(directory) as nursery:
            host = Host(nursery, directory)
            await host.start()
            await daemon_address(host.daemon)
            await nursery.start_ready(
                "agents", "-m", "tests.e2e.restarts", "--serve", host.address, "--agents", str(count)
            )
            cache = directory / "view"
            caller_side = RegistryClient(host.address, environment=EARLY)
            async with caller_side as client, client.local_view(WORK, cache=cache) as view:
                before = list((await client.discover(ALL)).services)
                assert len(before) == count
                caller = Caller(view)
                await asyncio.sleep(SETTLE_S)
                print(HEADER, flush=True)
                for number in range(1, restarts + 1):
                    rounds.append(await restart(host, directory / "data", number, caller, before, cache))
                    print(rounds[-1].row(), flush=True)
                await caller.stop()
    return rounds


def main() -> int:
    """The long form; with --serve, the agents' process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--serve", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(agents(options.serve, options.agents))
        return 0
    print(f"{options.agents} agents, {options.restarts} restarts by SIGKILL; {busy()}")
    rounds = asyncio.run(run(options.agents, options.restarts))
    faults = [f"restart {one.number}: {fault}" for one in rounds for fault in one.faults]
    for fault in faults[:10]:
        print("fault:", fault)
    print("FAILED" if faults else "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
