"""What a row plays on: processes that are all taken down afterwards, whatever was done to them."""

import asyncio
import json
import os
import random
import signal
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio

from examples.demo.processes import Child, Nursery
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from orion_registry_pb.v1.service_pb2 import ServiceInfo
from tests.e2e.fleet import CHANNEL_OPTIONS, daemon_address
from tests.e2e.raw_watch import RawWatch, snapshot
from tests.faults.agents import Agents
from tests.faults.finding import Finding
from tests.faults.observer import Observer, healthy
from tests.faults.proxy import Proxy

T = TypeVar("T")

SETTLED_S = 30.0
STOPPED_S = 20.0
BEATING_S = 1.2
"""After this all have beaten at 1 s."""
AGAIN_AND_AGAIN = ("--probation", "0s")
"""For rows that make the same agents fall many times a minute: that is not what they are about."""


class Daemon:
    """A running registry and how to look at it."""

    def __init__(self, child: Child, address: str, stub: Any, observer: Observer) -> None:
        self.child = child
        self.pid = child.pid
        self.address = address
        self.stub = stub
        self.observer = observer

    def logged(self, message: str, **fields: str) -> list[dict[str, Any]]:
        """Its log lines with this message and these fields."""
        lines = [json.loads(line) for line in self.child.log.read_text().splitlines() if line.startswith("{")]
        return [
            line
            for line in lines
            if line["message"] == message and all(line.get(name) == value for name, value in fields.items())
        ]

    def tracebacks(self) -> int:
        """How many there are in its log: each is a fault of the registry."""
        return self.child.log.read_text().count("Traceback")

    async def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """One order to `tests.faults.daemon`, and its answer."""
        self.child.write_json({"do": do, **details})
        return await self.child.read_json(10.0)

    async def ready_ids(self) -> set[str]:
        """The agents that DiscoverServices gives to callers."""
        return {info.agent_id for info in await self.found() if info.ready}

    async def found(self) -> list[ServiceInfo]:
        """All services, whatever their status."""
        return [ServiceInfo.FromString(data) for data in (await snapshot(self.stub)).values()]


class Stage:
    """One play of one row.

    Attributes:
        finding: what it measures and finds.
        nursery: its processes.
        repeats: how often to inject the fault.
        ci, long: whether time is short, or not at all.
        minutes: how long rows about rates are to watch.
    """

    def __init__(
        self, directory: Path, *, repeats: int = 1, ci: bool = False, long: bool = False, minutes: float = 1.0
    ) -> None:
        self.directory = directory
        self.repeats = repeats
        self.ci = ci
        self.long = long
        self.minutes = minutes
        self.finding = Finding()
        self._exits = AsyncExitStack()
        self.nursery = Nursery(directory)
        self._daemons: list[Daemon] = []
        self._unwatched: list[Daemon] = []
        self._started = 0

    async def __aenter__(self) -> "Stage":
        await self._exits.enter_async_context(self.nursery)
        return self

    async def __aexit__(self, *error: Any) -> None:
        """SIGKILL ends what is stopped, too, and no goodbye is waited for: nobody looks any more."""
        for daemon in self._daemons:
            found = daemon.tracebacks()
            blind = daemon.observer.watch.ended and daemon not in self._unwatched
            self.finding.check(not blind, "the watcher was cut off: what it has not seen proves nothing")
            self.finding.check(not found, f"{found} tracebacks in {daemon.child.log}\n{daemon.child.log_tail()}")
        for child in self.nursery.children:
            if child.exit_code is None:
                with suppress(ProcessLookupError):
                    child.kill()
        await self._exits.aclose()

    async def daemon(self, *options: str, entry: tuple[str, ...] = (), listen: str = "127.0.0.1:0") -> Daemon:
        """Starts a registry, and a watcher of it. `entry`: another module than the command line's."""
        number = self._started
        self._started += 1
        if entry:
            child = await self.nursery.start_ready(f"daemon-{number}", *entry, *options)
            address = child.ready["address"]
        else:
            serve = (
                "-m",
                "orion_registry",
                "serve",
                "--http",
                "off",
                "--ephemeral",
                "--listen",
                listen,
                "--log-format",
                "json",
            )
            child = await self.nursery.start(f"daemon-{number}", *serve, *options)
            address = await daemon_address(child)
        stub = await self.stub(address)
        observer = Observer(stub)
        await observer.open()
        self._exits.push_async_callback(observer.watch.cut)
        daemon = Daemon(child, address, stub, observer)
        self._daemons.append(daemon)
        return daemon

    async def killed(self, daemon: Daemon) -> float:
        """SIGKILL of a registry, whose watcher is no fault; returns the monotonic time just before."""
        before = time.monotonic()
        daemon.child.kill()
        self._daemons.remove(daemon)
        await daemon.observer.watch.cut()
        return before

    async def unwatched(self, daemon: Daemon) -> None:
        """A registry is about to be stopped (SIGSTOP) for so long that its watcher may be cut off: that one goes."""
        self._unwatched.append(daemon)
        await daemon.observer.watch.cut()

    async def stopped(self, daemon: Daemon) -> float:
        """SIGTERM of a registry, until it has ended well; returns the monotonic time just before."""
        before = time.monotonic()
        code = await daemon.child.stop(STOPPED_S)
        self._daemons.remove(daemon)
        await daemon.observer.watch.cut()
        found = daemon.tracebacks()
        self.finding.check(code == 0, f"a registry that was told to stop ended with {code} after {STOPPED_S:g} s")
        self.finding.check(not found, f"{found} tracebacks in {daemon.child.log}\n{daemon.child.log_tail()}")
        return before

    async def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enters a context that ends with the row."""
        return await self._exits.enter_async_context(context)

    async def stub(self, address: str) -> Any:
        """A connection more."""
        options = (*CHANNEL_OPTIONS, ("grpc.max_receive_message_length", -1))
        channel = await self._exits.enter_async_context(grpc.aio.insecure_channel(address, options=options))
        return RegistryServiceStub(channel)

    async def raw_watch(self, address: str) -> RawWatch:
        """A watcher that keeps nothing but its fold."""
        watch = RawWatch(await self.stub(address))
        watch.open()
        self._exits.push_async_callback(watch.cut)
        await watch.until(watch.bookmarked.is_set)
        return watch

    async def proxy(self, daemon: Daemon, *options: str) -> Proxy:
        """A proxy before the registry."""
        return await Proxy.start(self.nursery, f"proxy-{len(self.nursery.children)}", daemon.address, *options)

    async def child(self, name: str, *arguments: str, timeout_s: float = 30.0) -> Child:
        """Any other process that says when it is ready."""
        return await self.nursery.start_ready(name, *arguments, timeout_s=timeout_s)

    async def agents(self, daemon: Daemon, count: int, prefix: str, *options: str, through: str = "") -> Agents:
        """A process of agents; returns when the watcher sees all HEALTHY."""
        agents = await Agents.start(self.nursery, through or daemon.address, count, prefix, *options)
        await daemon.observer.until_all(agents.ids, healthy, SETTLED_S)
        return agents

    async def settle(self) -> None:
        """Until all that have just come have beaten in their own time; a little longer, so that no two faults fall on
        the same moment between two beats.
        """
        await asyncio.sleep(BEATING_S + random.random())

    @staticmethod
    def stop(pid: int) -> float:
        """SIGSTOP; returns the monotonic time just before."""
        before = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        return before

    @staticmethod
    def go_on(pid: int) -> float:
        """SIGCONT; returns the monotonic time just before."""
        before = time.monotonic()
        os.kill(pid, signal.SIGCONT)
        return before

    def samples(self, name: str, seen: dict[str, float], t0: float, limit_s: float | None = None) -> None:
        """Takes a sample of each agent."""
        for at in seen.values():
            self.finding.sample(name, at - t0, limit_s)

    def nobody_died(self, daemon: Daemon, agents: tuple[str, ...], since: float) -> None:
        """None of these agents was declared dead since an instant."""
        dead = {sight.agent_id: sight for sight in daemon.observer.since(since, "UNHEALTHY", "GONE")}
        wrong = [sight for agent_id, sight in dead.items() if agent_id in agents]
        self.finding.count("false deaths", len(wrong))
        self.finding.check(not wrong, f"{len(wrong)} live agents declared dead, such as {wrong[:1] and str(wrong[0])}")

    def nobody_doubted(self, daemon: Daemon, agents: tuple[str, ...], since: float, *doubts: str) -> None:
        """None of these agents had one of these reasons since an instant: the registry put silence down to itself."""
        doubted = [
            sight
            for sight in daemon.observer.since(since)
            if sight.agent_id in agents and set(doubts) & set(sight.reasons)
        ]
        self.finding.check(
            not doubted, f"{len(doubted)} live agents doubted, such as {doubted[:1] and str(doubted[0])}"
        )
