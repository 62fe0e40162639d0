"""Agents as processes: SIGTERM loses no call, an operator's drain says when it is safe, two copies do not duel."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.demo.processes import Child, Nursery
from orion_registry import AgentUnreachable, BalancerClient, RegistryClient, Selector
from orion_registry.errors import Reason, Unavailable
from orion_registry.wire.service import Service
from tests.e2e.shutdown import exit_code, start_ready

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]
SLEEPERS = Selector(service_name="sleepers", include_not_ready=True)
ROOT = Path(__file__).resolve().parents[2]
CALL_S = 3.0


class Stage:
    """A daemon, its clients, and agents."""

    def __init__(self, nursery: Nursery, address: str, client: RegistryClient, balancer: BalancerClient) -> None:
        self.nursery = nursery
        self.address = address
        self.client = client
        self.balancer = balancer

    async def agent(self, name: str, agent_id: str, *options: str) -> Child:
        """Starts one; it may not be ready yet."""
        env = {"ORION_ADDRESS": self.address}
        return await self.nursery.start(name, "-m", "tests.e2e.sleeping_agent", agent_id, *options, env=env)

    async def ready(self) -> Service:
        """The first agent that is ready."""
        async with self.client.watch(Selector(service_name="sleepers")) as watch:
            async for event in watch:
                if event.service is not None and event.service.ready:
                    return event.service
        raise AssertionError

    async def calls(
        self, service: Service, count: int, capability: str = "sleep", seconds: float = CALL_S
    ) -> "list[asyncio.Task[object]]":
        """So many calls, under way at the agent: its next beat says so, after a second at most."""
        calls: list[asyncio.Task[object]] = [
            asyncio.create_task(self.balancer.call(capability, {"seconds": seconds})) for _ in range(count)
        ]
        async with asyncio.timeout(2.5):
            while True:
                load = (await self.client.get(service.service_id)).load
                if load is not None and load.in_flight == count:
                    return calls
                await asyncio.sleep(0.02)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Nursery(tmp_path) as nursery:
        _, address = await start_ready(nursery, "127.0.0.1:0")
        async with RegistryClient(address) as client, BalancerClient(address) as balancer:
            yield Stage(nursery, address, client, balancer)


async def none_is_selected(stage: Stage) -> bool:
    """Whether nobody gets a call now, for want of a ready agent."""
    try:
        selection = await stage.balancer.acquire(Selector(service_name="sleepers"))
    except Unavailable as error:
        return error.reason is Reason.NO_READY_SERVICE
    await stage.balancer.release(selection)
    return False


def agent_stops(agent: Child, number: int = signal.SIGTERM) -> None:
    os.kill(agent.pid, number)


async def test_sigterm_with_calls_under_way(stage: Stage) -> None:
    """Must-show 3: no new selection, all three calls finish, exit code 0."""
    agent = await stage.agent("agent", "a-1")
    calls = await stage.calls(await stage.ready(), 3)
    agent_pid, told = agent.pid, time.monotonic()
    agent_stops(agent)
    while not await none_is_selected(stage):
        assert time.monotonic() - told < 0.5
    while not all(call.done() for call in calls):
        assert await none_is_selected(stage)
        assert agent.exit_code is None
        await asyncio.sleep(0.05)
    assert await asyncio.gather(*calls) == [agent_pid] * 3
    assert await exit_code(agent, within_s=3.0) == 0
    assert (await stage.client.discover(SLEEPERS)).services == ()
    assert "stops, with 3 calls under way" in agent.log.read_text()


async def test_drain_wait_returns_when_it_is_safe_to_stop(stage: Stage) -> None:
    """Must-show 3, the operator's side: not before the calls have finished; then SIGTERM loses nothing."""
    agent = await stage.agent("agent", "a-1")
    calls = await stage.calls(await stage.ready(), 3, seconds=8.0)  # a busy machine takes seconds to start the command
    drain = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orion_registry", "drain", "a-1/sleepers", "--wait", "--address", stage.address),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    finished: dict[str, float] = {}

    async def note(name: str, done: "asyncio.Future[object]") -> None:
        await done
        finished[name] = time.monotonic()

    async with asyncio.timeout(40):
        await asyncio.gather(
            *(note(f"call {number}", call) for number, call in enumerate(calls)),
            note("drain", asyncio.ensure_future(drain.communicate())),
        )
    assert drain.returncode == 0
    assert finished["drain"] > max(when for name, when in finished.items() if name != "drain")
    assert [call.result() for call in calls] == [agent.pid] * 3
    assert await none_is_selected(stage)
    assert "drained by an operator: it finishes 3 calls" in agent.log.read_text()
    assert agent.exit_code is None  # it stays until it is stopped
    agent_stops(agent)
    assert await exit_code(agent, within_s=3.0) == 0


async def test_of_two_processes_with_one_agent_id_the_second_is_told_and_stops(stage: Stage) -> None:
    """Must-show 4: the first goes on as if nothing had been."""
    first = await stage.agent("first", "a-1")
    service = await stage.ready()
    second = await stage.agent("second", "a-1")
    assert await exit_code(second, within_s=10.0) == 1
    said = second.log.read_text()
    assert said.splitlines()[-1].startswith("agent a-1: ")
    assert "a live session holds" in said
    assert "Traceback" not in said
    assert (await stage.client.get(service.service_id)).epoch == service.epoch
    assert await stage.balancer.call("sleep", {"seconds": 0}) == first.pid


async def test_of_two_processes_with_one_agent_id_the_first_stops_if_it_was_taken_over(stage: Stage) -> None:
    """Must-show 4: it finishes its calls, says why, and exits with 1; there is no duel, so one epoch more is all."""
    first = await stage.agent("first", "a-1")
    service = await stage.ready()
    calls = await stage.calls(service, 2)
    second = await stage.agent("second", "a-1", "--takeover")
    assert await asyncio.gather(*calls) == [first.pid] * 2
    assert await exit_code(first, within_s=10.0) == 1
    assert "two must not duel" in first.log.read_text().splitlines()[-1]
    after = await stage.ready()
    await asyncio.sleep(1.0)  # time for a duel
    assert (await stage.client.get(service.service_id)).epoch == after.epoch > service.epoch
    assert await stage.balancer.call("sleep", {"seconds": 0}) == second.pid
    assert second.exit_code is None


@pytest.mark.parametrize("capability", ["sleep", "hang", "lend"])
async def test_a_second_signal_ends_it_at_once(stage: Stage, capability: str) -> None:
    """Whatever its calls do, a thread that nobody can stop included."""
    agent = await stage.agent("agent", "a-1")
    calls = await stage.calls(await stage.ready(), 1, capability, seconds=20.0)
    agent_stops(agent, signal.SIGINT)
    await asyncio.sleep(0.1)
    began = time.monotonic()
    agent_stops(agent)
    assert await exit_code(agent, within_s=1.5) == 1
    assert time.monotonic() - began < 1.5
    assert "calls were cut off" in agent.log.read_text()
    with pytest.raises(AgentUnreachable):
        await calls[0]


async def test_one_that_was_taken_over_ends_though_a_thread_of_it_does_not(stage: Stage) -> None:
    first = await stage.agent("first", "a-1", "--drain-timeout", "0.2")
    calls = await stage.calls(await stage.ready(), 1, "hang", seconds=20.0)
    await stage.agent("second", "a-1", "--takeover")
    assert await exit_code(first, within_s=5.0) == 1
    assert "this copy stops" in first.log.read_text()
    assert "calls were cut off" in first.log.read_text()
    with pytest.raises(AgentUnreachable):
        await calls[0]


async def test_an_agent_is_back_by_itself_after_its_registry(stage: Stage) -> None:
    """It serves all the while: who has its address may call it."""
    agent = await stage.agent("agent", "a-1")
    before = await stage.ready()
    daemon = stage.nursery.children[0]
    await daemon.stop()
    again, address = await start_ready(stage.nursery, stage.address)
    assert (again.exit_code, address) == (None, stage.address)
    after = await stage.ready()
    assert (after.service_id, after.address, agent.exit_code) == (before.service_id, before.address, None)
    assert await stage.balancer.call("sleep", {"seconds": 0}) == agent.pid


async def test_a_blocked_loop_is_told_to_its_developer(stage: Stage) -> None:
    """How long, how long out of selection, what to do; a thread that works blocks nothing."""
    agent = await stage.agent("agent", "a-1")
    service = await stage.ready()
    await stage.balancer.call("hang", {"seconds": 1.5})
    assert "blocked" not in agent.log.read_text()
    await stage.balancer.call("block", {"seconds": 4.0})
    async with asyncio.timeout(5):
        while "the event loop was blocked for" not in (said := agent.log.read_text()):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.05)
    assert "the agent was out of selection for about" in said
    assert "asyncio.to_thread" in said
    assert (await stage.ready()).service_id == service.service_id


async def test_the_examples(stage: Stage) -> None:
    """As they stand."""
    env = {"ORION_ADDRESS": stage.address}
    agent = await stage.nursery.start("calc", "examples/calc/agent.py", env=env)
    async with stage.client.watch(Selector(service_name="calc")) as watch:
        async for event in watch:
            if event.service is not None and event.service.ready:
                break
    said = []
    for name in ("caller", "async_caller"):
        caller = await stage.nursery.start(name, f"examples/calc/{name}.py", env=env)
        assert await exit_code(caller, within_s=10.0) == 0, caller.log_tail()
        assert caller._process.stdout is not None
        said.append((await caller._process.stdout.read()).decode())
    assert said == ["5\n[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]\n", "[0, 2, 4, 6, 8, 10, 12, 14, 16, 18]\n"]
    assert await agent.stop() == 0
