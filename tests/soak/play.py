"""One soak: a daemon, its warm-up, the load, and the rest after it."""

import asyncio
import gc
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import grpc.aio

from examples.demo.processes import Child, Nursery
from orion_registry.client.admin import AdminClient
from orion_registry.client.client import RegistryClient
from orion_registry.core.model import LivenessMode
from orion_registry.core.selector import Selector
from orion_registry.errors import NotFound
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.e2e.fleet import CHANNEL_OPTIONS, daemon_ready
from tests.faults.agents import Agents
from tests.faults.observer import GONE, Observer, healthy
from tests.soak import agents, callers, strangers
from tests.soak.gauges import HELD, Reading, read
from tests.soak.verdict import Line, judge
from tests.soak.world import Life, World, repeat

LIVES: tuple[tuple[Life, float], ...] = (
    (agents.come_and_go, 0.5),
    (agents.come_and_go, 0.5),
    (agents.break_off, 2.0),
    (agents.be_killed, 12.0),
    (agents.be_checked, 3.0),
    (agents.be_checked, 3.0),
    (agents.beat_by_hand, 1.0),
    (callers.select_and_release, 0.2),
    (callers.select_and_release, 0.2),
    (callers.wait_and_give_up, 1.0),
    (callers.vanish, 1.0),
    (callers.look_around, 1.0),
    (strangers.send_garbage, 0.2),
    (strangers.cancel_calls, 0.2),
    (strangers.watch_without_reading, 10.0),
    (strangers.read_pages, 0.5),
    (strangers.read_pages, 0.5),
    (strangers.ask_wrongly, 5.0),
)
"""Each life, and about how long it pauses (seconds) before it is lived again."""

STEADY, BUSY_SLOTS = 20, 2
FILL_EVENTS, FILL_AT_ONCE = 10_500, 50
"""As many changes as the registry keeps events of, and a few: what is kept is full before anything is measured."""
WARM_UP_S, QUIET_S, SETTLE_S = 30.0, 20.0, 60.0
"""The load before the floor is taken; how long the registry must hold nothing; how long it may take until then."""
EVERY_S = 5.0
OWN = "orion_watchers"
"""The soak's own watcher stays all the time."""


@dataclass
class Soaked:
    """What came out of it."""

    lines: list[Line]
    load: list[Reading]
    done: dict[str, int]
    faults: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing grew, nothing was left, and nothing went wrong."""
        return not self.faults and all(line.holds for line in self.lines)


async def soak(minutes: float, directory: Path, tell: Callable[[str], None], entry: Sequence[str]) -> Soaked:
    """Plays it. tell: takes lines of progress; entry: the module that is the daemon."""
    data = directory / "data"
    async with Nursery(directory) as nursery, AsyncExitStack() as stack:
        child = await nursery.start("daemon", *entry, *_settings(directory, data))
        world = await _world(nursery, child, stack)
        await world.observer.open()
        await _fill(world)
        async with _living(world):
            await asyncio.sleep(WARM_UP_S)
        floor = await _at_rest(world, child.pid, data)
        tell(f"warm, and at rest: {_short(floor)}")
        load: list[Reading] = []
        async with _living(world):
            await _watch(world, child, data, minutes, load, tell)
        rest = await _at_rest(world, child.pid, data)
        tell(f"at rest again: {_short(rest)}")
        left = [str(sight) for sight in world.observer.now.values() if sight.status != GONE]
        world.faults += [f"{len(left)} services are left, such as {left[:3]}"] if left else []
        result = Soaked(judge(floor, load, rest), load, dict(world.done), world.faults)
        await world.observer.watch.cut()
        result.faults += await _ended_well(child, directory, data)
    return result


def _settings(directory: Path, data: Path) -> list[str]:
    return [
        "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-format", "json", "--data-dir", str(data),
        "--audit-file", str(directory / "audit.jsonl"), "--audit-keep", "2000", "--history-size", "500",
        "--admission-rate", "1000", "--probation", "0s", "--eject-consecutive", "1000000",
    ]  # fmt: skip


async def _world(nursery: Nursery, child: Child, stack: AsyncExitStack) -> World:
    ready = await daemon_ready(child)
    address = ready["address"]
    options = (*CHANNEL_OPTIONS, ("grpc.max_receive_message_length", -1))
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))
    http = await stack.enter_async_context(aiohttp.ClientSession())
    registry = RegistryServiceStub(channel)
    stub = SimpleNamespace(channel=channel, registry=registry, balancer=BalancerServiceStub(channel))
    url = f"http://{ready['http']}"
    await _answers(http, url)
    return World(address, url, nursery, http, stub, Observer(registry))


async def _answers(http: aiohttp.ClientSession, url: str) -> None:
    """The HTTP port opens a little later than the other one."""
    async with asyncio.timeout(20.0), http.get(f"{url}/livez") as answer:
        answer.raise_for_status()


async def _fill(world: World) -> None:
    """Fills what keeps the last N of something: growth until it is full is no leak.

    With what it will hold later: no two services alike, and events that somebody was told, whose bytes are kept.
    """
    async with RegistryClient(world.address) as client, asyncio.TaskGroup() as beside:
        reading = beside.create_task(repeat(world, strangers.read_pages, 0.1))
        for _ in range(FILL_EVENTS // (2 * FILL_AT_ONCE)):
            specs = [
                agents.spec_of(world.name("fill"), "fill.do", liveness=LivenessMode.STATIC) for _ in range(FILL_AT_ONCE)
            ]
            made = await asyncio.gather(*(client.register(spec) for spec in specs))
            await asyncio.gather(*(client.unregister(one.ref) for one in made))
        reading.cancel()


@asynccontextmanager
async def _living(world: World) -> AsyncIterator[None]:
    """All lives at once; when it ends they end midway, and the steady agents are killed."""
    steady = await Agents.start(world.nursery, world.address, STEADY, world.name("steady"), "--retention", "2")
    spec = replace(agents.spec_of(world.name("busy"), "busy.do"), max_concurrency=BUSY_SLOTS)
    async with RegistryClient(world.address) as client, client.session(spec.agent_id, [spec]):
        await world.until((*steady.ids, spec.agent_id), healthy)
        lives = [asyncio.create_task(repeat(world, life, pause_s)) for life, pause_s in LIVES]
        try:
            yield
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
            await _remove_orphans(world)
    for child in [one for one in world.nursery.children if one.name != "daemon"]:
        if child.exit_code is None:
            child.kill()
        await child.stop()
        world.nursery.children.remove(child)


async def _remove_orphans(world: World) -> None:
    """Who was cut off while it registered, or unregistered, left services that no silence ends."""
    async with RegistryClient(world.address) as client, AdminClient(world.address) as admin:
        for service in (await client.discover(Selector(include_not_ready=True))).services:
            if service.liveness in {LivenessMode.STATIC, LivenessMode.CHECK}:
                with suppress(NotFound):  # its own end was on the way
                    await admin.remove_service(service.service_id)
                    world.done["orphans"] += 1


async def _watch(
    world: World, child: Child, data: Path, minutes: float, load: list[Reading], tell: Callable[[str], None]
) -> None:
    """Reads every few seconds, for so long; tells every minute."""
    began, told = time.monotonic(), 0
    while (now := time.monotonic() - began) < minutes * 60.0:
        await asyncio.sleep(EVERY_S * random.uniform(0.9, 1.1))
        gc.collect()  # connections that gRPC has not let go of yet here, the registry does not hold on to
        load.append(await read(world.http, world.http_url, child.pid, data))
        if now // 60 > told:
            told = int(now // 60)
            world.forget()
            tell(f"minute {told} of {minutes:g}: {_short(load[-1])}; {world.done['selections']} selections, "
                 f"{len(world.killed)} agents killed, {world.done['faults']} faults")  # fmt: skip


async def _at_rest(world: World, pid: int, data: Path) -> Reading:
    """The registry when it has held nothing for a while; what it holds still after `SETTLE_S`, if it does."""
    gc.collect()
    began = quiet = time.monotonic()
    while True:
        await asyncio.sleep(1.0)
        reading = await read(world.http, world.http_url, pid, data)
        now = time.monotonic()
        if any(reading.held[name] for name in HELD if name != OWN):
            quiet = now
        if now - quiet >= QUIET_S or now - began >= SETTLE_S + QUIET_S:
            return reading


async def _ended_well(child: Child, directory: Path, data: Path) -> list[str]:
    """It ends when it is told to, without a traceback, and what it leaves can be proven."""
    code = await child.stop(20.0)
    found = [] if code == 0 else [f"the daemon ended with {code}"]
    log = child.log.read_text()
    if "Traceback" in log:
        found.append(f"{log.count('Traceback')} tracebacks\n{child.log_tail()}")
    files = await asyncio.to_thread(lambda: sorted(map(str, directory.glob("audit.jsonl*")), reverse=True))
    for where in (["--data-dir", str(data)], files):
        command = [sys.executable, "-m", "orion_registry", "audit", "verify", *where]
        verified = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        if verified.returncode:
            found.append(f"audit verify {where[0]}: {verified.stdout}{verified.stderr}")
    return found


def _short(reading: Reading) -> str:
    held = reading.held
    return (
        f"{reading.rss_kb / 1024:.1f} MB, {reading.tasks} tasks, {reading.fds} files, {reading.threads} threads, "
        f"{held['orion_services']:g} services, {held['orion_leases_open']:g} leases"
    )
