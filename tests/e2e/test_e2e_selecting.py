"""Selection while agents are killed, strategies are switched and the registry is restarted under load."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.client.fold import WatchKind
from orion_registry.core.model import ServiceSpec
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError, Unavailable
from orion_registry.server.daemon import Daemon
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from tests.e2e.selecting_agent import NAME, PATH, Worker

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]
WORK = Selector(service_name=NAME)
SLOTS = 2
LONGER_THAN_A_RESTART_MS = 5_000
LONGER_THAN_A_CALL_S = 12.0
"""How long a caller waits for a slot: who comes when all slots hold the longest calls gets one."""


async def until(holds: Callable[[], bool], limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def agent_process(registry: str, agent_id: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    words = ["-m", "tests.e2e.selecting_agent", registry, agent_id, str(SLOTS)]
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def workers(registry: str, number: int) -> AsyncIterator[list[Worker]]:
    """Agents in this process, each with a session of its own."""
    async with AsyncExitStack() as stack:
        found = []
        for place in range(number):
            worker = Worker()
            server, port = await worker.listen()
            stack.push_async_callback(server.stop, None)
            client = await stack.enter_async_context(RegistryClient(registry))
            spec = ServiceSpec(agent_id=f"agent-{place}", service_name=NAME, port=port, max_concurrency=SLOTS)
            worker.session = await stack.enter_async_context(client.session(f"agent-{place}", [spec]))
            found.append(worker)
        yield found


def ready(daemon: Daemon) -> list[str]:
    """Services that could be selected, had they room."""
    registry = daemon.coordinator.registry
    return [entry.service_id for entry in registry.discover(WORK).entries]


class Callers:
    """Call in a loop until told to stop. Of a failed selection they take a breath and try again."""

    def __init__(self, balancers: list[BalancerClient], number: int, work_ms: int) -> None:
        self._balancers = balancers
        self._number = number
        self.work_ms = work_ms
        self._channels: dict[int, grpc.aio.Channel] = {}
        self.stopping = False
        self.served: Counter[str] = Counter()
        self.refused: list[RegistryError] = []
        self.broken = 0

    async def __aenter__(self) -> "Callers":
        self._tasks = [asyncio.create_task(self._loop(place)) for place in range(self._number)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping = True
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def _loop(self, place: int) -> None:
        balancer = self._balancers[place % len(self._balancers)]
        while not self.stopping:
            try:
                async with balancer.select(WORK, wait_s=LONGER_THAN_A_CALL_S) as selection:
                    await self._call(selection.service.port)
                self.served[selection.service.service_id] += 1
            except grpc.aio.AioRpcError:
                self.broken += 1
            except RegistryError as error:
                self.refused.append(error)
                await asyncio.sleep(0.05)

    async def _call(self, port: int) -> None:
        if port not in self._channels:
            self._channels[port] = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        work: Any = self._channels[port].unary_unary(PATH)
        await work(str(self.work_ms).encode())

    async def more(self, calls: int) -> None:
        """Waits until so many more are done."""
        wanted = self.served.total() + calls
        await until(lambda: self.served.total() >= wanted, 30)


async def test_no_selection_returns_an_agent_whose_end_was_seen() -> None:
    """An agent is killed while it is selected in a loop; its holders are told, and who asks after the end was seen is
    never given it."""
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(running_daemon())
        address = daemon.address
        agents = [await stack.enter_async_context(agent_process(address, f"agent-{place}")) for place in range(3)]
        client = await stack.enter_async_context(RegistryClient(daemon.address))
        balancer = await stack.enter_async_context(BalancerClient(daemon.address))
        watch = await stack.enter_async_context(client.watch(WORK))
        async with asyncio.timeout(10):
            await watch.synced.wait()
            while len(watch.services) < 3:
                await anext(watch)
        victim, victim_id = agents[0]
        held = [await balancer.acquire(WORK) for _ in range(3 * SLOTS)]
        told = [selection for selection in held if selection.service.service_id == victim_id]
        assert len(told) == SLOTS
        for selection in held:
            if selection not in told:
                await balancer.release(selection)
        seen = asyncio.Event()
        answered_before: list[str] = []
        answered_after: list[str] = []

        async def ask() -> None:
            while len(answered_after) < 300:
                after = seen.is_set()
                async with balancer.select(WORK, wait_s=LONGER_THAN_A_CALL_S) as selection:
                    (answered_after if after else answered_before).append(selection.service.service_id)

        await balancer.release(told[0])
        asking = [asyncio.create_task(ask()) for _ in range(5)]
        await until(lambda: victim_id in answered_before)
        victim.send_signal(signal.SIGKILL)
        async with asyncio.timeout(5):
            async for event in watch:
                if event.kind is WatchKind.REMOVED and event.service and event.service.service_id == victim_id:
                    break
            seen.set()
            await told[1].lost.wait()
            await asyncio.gather(*asking)
        assert set(answered_after) == {service_id for _, service_id in agents[1:]}


async def test_a_switch_of_strategy_under_load_loses_no_call() -> None:
    async with (
        running_daemon() as daemon,
        workers(daemon.address, 4) as agents,
        BalancerClient(daemon.address, caller="a") as one,
        BalancerClient(daemon.address, caller="b") as other,
        grpc.aio.insecure_channel(daemon.address) as channel,
    ):
        stub: Any = BalancerServiceStub(channel)
        async with Callers([one, other], 6, work_ms=2) as callers:
            for strategy in [*pb.SelectionStrategy.values()[1:], pb.SELECTION_STRATEGY_ROUND_ROBIN, 0]:
                await stub.SetStrategy(pb.SetStrategyRequest(strategy=pb.SelectionStrategy.ValueType(strategy)))
                await callers.more(40)
        stats = (await stub.GetBalancerStats(pb.GetBalancerStatsRequest())).strategies
        assert all(row.selections >= 20 and row.switches for row in stats), stats
        assert not any(row.failures for row in stats)
        assert callers.refused == []
        assert callers.broken == 0
        assert max(worker.most for worker in agents) == SLOTS
        assert len(callers.served) == 4


async def test_slots_are_not_overrun_after_a_restart_under_load() -> None:
    """The registry goes and comes back while calls run, which it knows nothing of: agents tell how many with hello."""
    store = MemoryStore()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        daemon = await first.enter_async_context(running_daemon(store=store))
        address = daemon.address
        agents = await stack.enter_async_context(workers(address, 3))
        balancers = [
            await stack.enter_async_context(BalancerClient(address, caller=name, timeout_s=15.0)) for name in "ab"
        ]
        callers = await stack.enter_async_context(Callers(balancers, 12, work_ms=50))
        await callers.more(50)
        callers.work_ms = LONGER_THAN_A_RESTART_MS
        await asyncio.sleep(0.3)  # all calls are such now
        await first.aclose()
        daemon = await stack.enter_async_context(running_daemon(store=store, listen=(address,)))
        await until(lambda: len(ready(daemon)) == 3)
        callers.work_ms = 50
        assert sum(worker.running for worker in agents) == 3 * SLOTS, "calls go on without the registry"
        await callers.more(100)
        assert [worker.most for worker in agents] == [SLOTS] * 3
        callers.stopping = True
        await callers.__aexit__()
        assert callers.broken == 0
        assert [e for e in callers.refused if not isinstance(e, Unavailable)] == []
        await until(lambda: daemon.coordinator.registry.balancing.stats.leases_open == 0)
