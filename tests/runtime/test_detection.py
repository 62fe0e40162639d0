"""runtime/detection: how soon falls are noticed, measured in virtual time; and how the store takes writes."""

import asyncio

import pytest

from orion_registry.core.config import RegistryConfig
from orion_registry.core.frames import Beat
from orion_registry.core.model import Now
from orion_registry.core.model import StatusReasonCode as State
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.runtime.writer import WriterConfig
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.entropy import SeededEntropy
from orion_registry.testing.stores import FailingStore, SlowStore
from tests.building import LOCAL, STATIC
from tests.runtime.virtual import (
    LoopClock,
    add,
    coordinator_on,
    in_virtual_time,
    live,
    passing,
    refused,
    register,
    settle,
)


def seen(coordinator: Coordinator, reason: State) -> tuple[int, float, float]:
    """Falls, and what their delays and silences come to, in seconds."""
    delays, silences = coordinator.detection.delays[reason], coordinator.detection.silences[reason]
    return delays.count, delays.total, silences.total


@in_virtual_time
async def test_a_stream_that_ends_is_noticed_at_once_and_its_silence_is_that_since_the_last_beat() -> None:
    coordinator = await coordinator_on()
    session = await live(coordinator, await add(coordinator))
    coordinator.beat(session, Beat(seq=1))
    await passing(0.4)
    coordinator.close_stream(session)
    falls, late_s, silent_s = seen(coordinator, State.DISCONNECTED)
    assert (falls, late_s) == (1, 0.0)
    assert silent_s == pytest.approx(0.4)
    coordinator.close_stream(session)
    assert seen(coordinator, State.DISCONNECTED)[0] == 1
    await coordinator.stop()


class Hurried(LoopClock):
    """Each look at it takes a millisecond."""

    def __init__(self) -> None:
        self._looks = 0

    def now(self) -> Now:
        self._looks += 1
        now = super().now()
        return Now(mono=now.mono + self._looks / 1_000, wall=now.wall)


@in_virtual_time
async def test_what_the_registry_itself_needs_is_counted_from_the_end_of_the_stream() -> None:
    coordinator = Coordinator(
        config=RegistryConfig(), store=MemoryStore(), clock=Hurried(), entropy=SeededEntropy(), writer=WriterConfig()
    )
    await coordinator.start()
    session = await live(coordinator, await add(coordinator))
    coordinator.close_stream(session)
    falls, late_s, _ = seen(coordinator, State.DISCONNECTED)
    assert falls == 1
    assert 0.001 <= late_s <= 0.01
    await coordinator.stop()


@in_virtual_time
async def test_a_silent_stream_is_noticed_with_the_tick_after_its_deadline() -> None:
    coordinator = await coordinator_on()
    session = await live(coordinator, await add(coordinator))
    coordinator.beat(session, Beat(seq=1))
    await passing(4.0)
    falls, late_s, silent_s = seen(coordinator, State.SILENT)
    assert falls == 1
    assert 0.0 <= late_s <= 0.1 + 1e-6
    assert silent_s == pytest.approx(3.0 + late_s)
    assert seen(coordinator, State.DISCONNECTED)[0] == 0
    await coordinator.stop()


@in_virtual_time
async def test_who_never_comes_has_no_silence_and_who_is_static_never_falls() -> None:
    coordinator = await coordinator_on()
    await add(coordinator)
    await add(coordinator, "static", liveness=STATIC)
    await passing(60.0)
    falls, late_s, silent_s = seen(coordinator, State.NOT_SEEN)
    assert (falls, silent_s) == (1, 0.0)
    assert late_s <= 0.1 + 1e-6
    await coordinator.stop()


@in_virtual_time
async def test_a_write_is_measured_from_its_way_to_the_store_to_its_answer() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    times = coordinator.commits.times
    before, total = times.count, times.total
    store.hang()
    writing = asyncio.ensure_future(add(coordinator))
    await passing(1.0)
    assert times.count == before
    store.release()
    await writing
    await settle()
    assert times.count == before + 1
    assert times.total - total == pytest.approx(1.0)
    await coordinator.stop()


@in_virtual_time
async def test_a_store_that_refuses_is_counted() -> None:
    store = FailingStore()
    coordinator = await coordinator_on(store)
    store.failing = True
    await refused(coordinator.execute(register("full"), LOCAL))
    assert coordinator.commits.failed == 1
    await coordinator.stop()
