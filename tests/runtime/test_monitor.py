"""The monitor in virtual time: runs begin when they are due, in their caps, and nobody waits for ever."""

import asyncio
import contextlib
import dataclasses
from typing import Any

import pytest

from orion_registry.core.checks.active import Result
from orion_registry.core.checks.spec import CheckSpec, TcpProbe
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.core.config import RegistryConfig
from orion_registry.core.model import LivenessMode
from orion_registry.errors import Unavailable
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.runtime.monitor import Probe
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.entropy import SeededEntropy
from orion_registry.testing.probes import ScriptedProbe
from tests.runtime.virtual import LoopClock, add, in_virtual_time, passing, settle

STATIC = LivenessMode.STATIC
HOURLY = CheckSpec(name="port", probes=(TcpProbe(),), interval_s=3_600.0)
OFTEN = CheckSpec(name="port", probes=(TcpProbe(),), interval_s=10.0)


async def looked_after(probe: Probe, **config: Any) -> Coordinator:
    coordinator = Coordinator(
        config=RegistryConfig(**config),
        store=MemoryStore(),
        clock=LoopClock(),
        entropy=SeededEntropy(),
        probe=probe,
    )
    await coordinator.start()
    return coordinator


async def service(coordinator: Coordinator, agent_id: str = "agent", check: CheckSpec = OFTEN, port: int = 1) -> str:
    entry = await add(coordinator, agent_id, liveness=STATIC, host="127.0.0.1", port=port, checks=(check,))
    return entry.service_id


def tasks() -> int:
    """Runs under way."""
    return sum(task.get_name() == "check" for task in asyncio.all_tasks())


@in_virtual_time
async def test_runs_begin_by_themselves_one_interval_apart() -> None:
    probe = ScriptedProbe()
    coordinator = await looked_after(probe)
    await service(coordinator)
    await passing(5.1)
    assert probe.runs["port"] == 1
    await passing(100.0)
    assert 9 <= probe.runs["port"] <= 13
    await coordinator.stop()
    runs = probe.runs["port"]
    await passing(100.0)
    assert probe.runs["port"] == runs, "nothing starts once it has stopped"


@in_virtual_time
async def test_a_place_that_gets_free_is_taken_at_once() -> None:
    """Not with the next tick: else few places would be shared by too many."""
    began: list[float] = []
    loop = asyncio.get_running_loop()

    async def probe(check: CheckSpec, _address: str) -> Outcome:
        began.append(loop.time())
        await passing(0.01)
        return Outcome(verdict=Verdict.PASSED, kind=check.probes[0].kind)

    coordinator = await looked_after(probe, check_runs=1)
    ids = [await service(coordinator, f"a-{number}", HOURLY, port=number + 1) for number in range(5)]
    await asyncio.gather(*(coordinator.monitor.check_now(service_id) for service_id in ids))
    assert [round(at - began[0], 3) for at in began] == [0.0, 0.01, 0.02, 0.03, 0.04]
    await coordinator.stop()


@in_virtual_time
async def test_a_target_that_hangs_holds_up_nobody_else() -> None:
    quick: list[str] = []

    async def probe(check: CheckSpec, _address: str) -> Outcome:
        if check.name == "hangs":
            await passing(5.0)
        else:
            quick.append(check.name)
        return Outcome(verdict=Verdict.PASSED, kind=check.probes[0].kind)

    coordinator = await looked_after(probe, check_runs=20, check_runs_per_target=2)
    hangs = dataclasses.replace(OFTEN, name="hangs")
    for number in range(50):
        await service(coordinator, f"hangs-{number}", hangs, port=9)
    for number in range(10):
        await service(coordinator, f"quick-{number}", OFTEN, port=100 + number)
    await passing(5.2)
    assert len(quick) >= 10
    assert tasks() == 2
    await coordinator.stop()
    await settle()
    assert tasks() == 0


@in_virtual_time
async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    probe = ScriptedProbe()
    probe.hang()
    coordinator = await looked_after(probe)
    service_id = await service(coordinator, check=HOURLY)
    gives_up, stays = (asyncio.create_task(coordinator.monitor.check_now(service_id)) for _ in range(2))
    await settle()
    assert probe.runs["port"] == 1, "at once, not with the next tick"
    gives_up.cancel()
    await settle()
    assert [len(ends) for ends in coordinator.monitor._waiting.values()] == [1]
    probe.release()
    (result,) = await stays
    assert isinstance(result, Result)
    assert coordinator.monitor._waiting == {}
    await coordinator.stop()


@in_virtual_time
async def test_the_end_waits_for_no_run_that_ignores_it_and_none_comes_after_it() -> None:
    began: list[str] = []

    async def stubborn(check: CheckSpec, _address: str) -> Outcome:
        began.append(check.name)
        with contextlib.suppress(asyncio.CancelledError):
            await passing(3_600.0)
        await passing(10.0)
        return Outcome(verdict=Verdict.PASSED, kind=check.probes[0].kind)

    coordinator = await looked_after(stubborn, check_runs=1)
    ids = [await service(coordinator, f"a-{number}", HOURLY, port=number + 1) for number in range(2)]
    waits = [asyncio.create_task(coordinator.monitor.check_now(service_id)) for service_id in ids]
    await settle()
    asked = asyncio.get_running_loop().time()
    await coordinator.stop()
    assert asyncio.get_running_loop().time() - asked <= 2.0
    for wait in waits:
        with pytest.raises(Unavailable):
            await wait
    await passing(20.0)
    assert (len(began), tasks()) == (1, 0)
