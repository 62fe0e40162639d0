"""What grows with the fleet: one daemon for each size, from 10 to 10,000 agents with a connection each, that beat.

Agents live as everywhere: they beat as the daemon's default budget tells them to, so its CPU without any call is told
as `held`, in percent of one core, and taken off what calls and beats cost. `kill`: from a SIGKILL of one agent's
process to the moment when a watcher of everything has been told that it is not ready. Beside each: ten agents.
"""

import asyncio
import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from examples.demo.processes import Nursery
from orion_registry.core.frames import Beat
from orion_registry.core.selector import Selector
from orion_registry.wire.requests import encode_agent_frame, encode_selector
from orion_registry_pb.v1 import balancer_pb2, registry_pb2
from tests.bench.figures import Figure
from tests.bench.fleet import change_request, register
from tests.bench.numbers import NUMBER
from tests.bench.processes import LoadProcess, Server, registry
from tests.bench.setting import Setting
from tests.e2e.fleet import Fleet

SIZES = (10, 100, 1_000, 5_000, 10_000)
FOUND = 10
BEAT_BUDGET = 2_000
"""The default, which the bench's daemons otherwise raise."""
RATE = 1_000
"""Beats a second beyond those of the fleet."""
WRITERS = 100
ROUNDS, CHANGES = 3, 50
KILLS = {5_000: 20}
"""Where a budget stands; elsewhere five."""
SETTLE_S = 5.0
CONCURRENCY = 16
SERVICE = "/orion.registry.v1.RegistryService"
UNITS = {
    "discover": ("DiscoverServices, 10 found: CPU", "us a call"),
    "select": ("select and release among all: CPU", "us a selection"),
    "beat": ("beat: CPU", "us a beat"),
    "memory": ("memory of an agent, its connection", "kB"),
    "watch": ("a change to a watcher: p50", "ms"),
    "kill": ("kill -9 of one to a watcher, the slowest", "ms"),
    "held": ("all agents beating: CPU", "% of a core"),
}


async def measure(setting: Setting) -> list[Figure]:
    """The figures growth-SIZE-KIND."""
    figures, first = [], dict[str, list[float]]()
    for size in SIZES:
        took = await _measure(size, setting.seconds)
        first = first or took
        for kind, values in took.items():
            what, unit = UNITS[kind]
            name = f"growth-{size}-{kind}"
            figure = Figure(name=name, what=f"{size:,} agents: {what}", unit=unit, beside="10 agents")
            for value, at_ten in zip(values, first.get(kind) or [0.0] * len(values), strict=False):
                figure.add(value, at_ten or None)  # nothing is measurable of ten that beat once a second
            figures.append(figure)
        print(f"growth: {size:,} agents done", flush=True)
    return figures


async def _measure(size: int, seconds: float) -> dict[str, list[float]]:
    async with contextlib.AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(registry(options=("--beat-budget", str(BEAT_BUDGET))))
        load = await stack.enter_async_context(LoadProcess())
        agents = await register(daemon.address, [f"found-{number}" for number in range(FOUND)], "search", slots=0)
        first = [agent.idle_hello.hex() for agent in agents]
        order = {"address": daemon.address, "path": f"{SERVICE}/Heartbeat"}
        await load.do(do="open", first=first, beat=agents[0].beat, **order)
        await asyncio.sleep(1.0)
        before_kb = daemon.memory_kb
        if size > FOUND:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="orion-bench-"))
            nursery = await stack.enter_async_context(Nursery(Path(directory)))
            await Fleet.start(nursery, "crowd", daemon.address, size - FOUND)
            await asyncio.sleep(SETTLE_S)
        stage = Stage(daemon, load, seconds)
        took = {"memory": [(daemon.memory_kb - before_kb) / (size - FOUND)]} if size > FOUND else {}
        took["held"] = [await stage.idle() for _ in range(ROUNDS)]
        idle = statistics.median(took["held"]) / 100
        took["discover"] = [await stage.discover(idle) for _ in range(ROUNDS)]
        took["select"] = [await stage.select(idle) for _ in range(ROUNDS)]
        took["watch"] = await stage.watch()
        took["kill"] = [max(await stage.kills(KILLS.get(size, 5)))]
        took["beat"] = await stage.beats(idle, await stack.enter_async_context(LoadProcess()))
        return {kind: values for kind, values in took.items() if values[0] > 0.0 or kind == "held"}


class Stage:
    """One daemon with its fleet, and who asks it."""

    def __init__(self, daemon: Server, load: LoadProcess, seconds: float) -> None:
        self._daemon, self._load, self._seconds = daemon, load, seconds
        self._path = f"{SERVICE}/Heartbeat"

    async def idle(self) -> float:
        """Percent of a core that the fleet alone takes."""
        before = self._daemon.cpu_s
        began = time.monotonic()
        await asyncio.sleep(2 * self._seconds)
        return (self._daemon.cpu_s - before) * 100 / (time.monotonic() - began)

    async def discover(self, idle: float) -> float:
        """Ten of all."""
        selector = encode_selector(Selector(capabilities=("search",)))
        request = registry_pb2.DiscoverServicesRequest(selector=selector).SerializeToString().hex()
        path = f"{SERVICE}/DiscoverServices"
        return await self._cost(idle, "calls", do="unary", path=path, request=request, concurrency=CONCURRENCY)

    async def select(self, idle: float) -> float:
        """One of all, by the default strategy, and its release."""
        request = balancer_pb2.SelectServiceRequest(selector=encode_selector(Selector())).SerializeToString().hex()
        order = {"request": request, "concurrency": CONCURRENCY, "batch": 1, "echo": False}
        return await self._cost(idle, "selections", do="select", **order)

    async def beats(self, idle: float, writer: LoadProcess) -> list[float]:
        """Without news, beyond those of the fleet, on streams that beat no other way: they end up silent."""
        agents = await register(self._daemon.address, [f"beating-{number}" for number in range(WRITERS)], "beat")
        first = [agent.idle_hello.hex() for agent in agents]
        await writer.do(do="open", address=self._daemon.address, path=self._path, first=first, beat="")
        message = encode_agent_frame(Beat(seq=1_000)).SerializeToString().hex()
        writing = Stage(self._daemon, writer, self._seconds)
        order = {"do": "write", "messages": [message], "rate": RATE}
        return [await writing._cost(idle, "messages", **order) for _ in range(ROUNDS)]

    async def watch(self) -> list[float]:
        """One change after the other, to one watcher of everything. Opens that watcher."""
        watch = registry_pb2.WatchServicesRequest(selector=encode_selector(Selector(include_not_ready=True)))
        order = {"address": self._daemon.address, "request": watch.SerializeToString().hex()}
        await self._load.do(do="watch", path=f"{SERVICE}/WatchServices", watchers=1, open_end=False, **order)
        change = await change_request(self._daemon.address, NUMBER.decode())
        order = {"address": self._daemon.address, "path": f"{SERVICE}/UpdateService", "request": change.hex()}
        took = [await self._load.do(do="changes", count=CHANGES, pause_s=0.01, **order) for _ in range(ROUNDS)]
        return [each["p50_ms"] for each in took]

    async def kills(self, kills: int) -> list[float]:
        """Milliseconds, each of an agent that is a process of its own; needs the watcher."""
        took = []
        for number in range(kills):
            name = f"victim-{number}"
            async with LoadProcess() as victim:
                made = await register(self._daemon.address, [name], "victim")
                order: dict[str, Any] = {"address": self._daemon.address, "path": self._path}
                await victim.do(do="open", first=[made[0].hello.hex()], beat=made[0].beat, **order)
                await asyncio.sleep(1.0 + number % 10 / 10)  # any phase of the beat
                await self._load.do(do="expect", agent=name)
                killed = time.monotonic()
                victim.process.kill()
                took.append(((await self._load.do(do="told"))["at"] - killed) * 1e3)
        return took

    async def _cost(self, idle: float, counted: str, **order: Any) -> float:
        before, began = self._daemon.cpu_s, time.monotonic()
        done = await self._load.do(address=self._daemon.address, seconds=self._seconds, **order)
        cpu_s = self._daemon.cpu_s - before - idle * (time.monotonic() - began)
        return cpu_s * 1e6 / done[counted]
