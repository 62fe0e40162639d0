"""runtime/alarms, timelines: what is wrong with the registry, and what became of a service."""

import logging

import pytest

from orion_registry.core.events import AlarmCleared, AlarmRaised, StatusChanged
from orion_registry.core.model import Now, ServiceStatus
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.runtime.alarms import Alarms
from orion_registry.runtime.coordinator import MASS_HOLD, STORE_DOWN
from orion_registry.runtime.events import EventLog
from orion_registry.runtime.timelines import Timelines
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.clock import VirtualClock
from orion_registry.testing.stores import FULL, FailingStore, SlowStore
from tests.building import LOCAL
from tests.runtime.virtual import LoopClock, add, coordinator_on, in_virtual_time, live, passing, refused, register


class StandingClock:
    def __init__(self, now: Now) -> None:
        self._now = now

    def now(self) -> Now:
        return self._now


def test_an_alarm_holds_while_there_is_trouble_and_is_told_once_each_way(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = VirtualClock()
    told: list[AlarmRaised | AlarmCleared] = []
    alarms = Alarms(clock, told.append)
    for trouble in ("", "full", "still full", "", ""):
        alarms.keep("DISK", trouble)
        clock.advance(1.0)
        if trouble:
            (held,) = alarms.held
            assert (held.name, held.message, held.since_wall) == ("DISK", trouble, 1_700_000_001.0)
    assert alarms.held == ()
    assert [record.message for record in caplog.records] == ["alarm", "alarm cleared"]
    assert told == [AlarmRaised(name="DISK", text="full"), AlarmCleared(name="DISK")]


@in_virtual_time
async def test_a_full_disk_raises_the_alarm_until_there_is_room() -> None:
    store = FailingStore()
    coordinator = await coordinator_on(store)
    store.failing = True
    await passing(0.2)
    assert [(alarm.name, alarm.message) for alarm in coordinator.alarms.held] == [(STORE_DOWN, FULL)]
    store.failing = False
    await passing(0.2)
    assert coordinator.alarms.held == ()
    await coordinator.stop()


@in_virtual_time
async def test_a_store_that_hangs_raises_the_alarm_until_it_answers() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    store.hang()
    await refused(coordinator.execute(register(), LOCAL))
    await passing(0.3)
    assert [alarm.name for alarm in coordinator.alarms.held] == [STORE_DOWN]
    store.release()
    await passing(0.3)
    assert coordinator.alarms.held == ()
    await coordinator.stop()


def test_a_timeline_tells_of_status_alone() -> None:
    """Not of readiness: an agent that is late now and then would fill it."""
    log = EventLog(VirtualClock(), "life")
    timelines = Timelines(MemoryStore(), log)
    for before, after in (("STARTING", "HEALTHY"), ("HEALTHY", "HEALTHY"), ("HEALTHY", "UNHEALTHY")):
        log.add(
            StatusChanged(
                service_id="s", agent_id="a", namespace="n", before=ServiceStatus[before], after=ServiceStatus[after],
                reasons=(Code.LATE,), ready=True,
            )
        )  # fmt: skip
    assert [edge.status.name for edge in timelines.of("s")] == ["HEALTHY", "UNHEALTHY"]


@in_virtual_time
async def test_timelines_outlive_the_daemon_and_go_with_the_service() -> None:
    store = MemoryStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    session = await live(coordinator, entry)
    coordinator.close_stream(session)
    told = [(ServiceStatus.STARTING, Code.AWAITING_BEAT), (ServiceStatus.HEALTHY, Code.STREAM_OPEN)]
    told += [(ServiceStatus.UNHEALTHY, Code.DISCONNECTED)]
    assert [(edge.status, edge.codes[0]) for edge in coordinator.timelines.of(entry.service_id)] == told
    await coordinator.stop()
    after = await coordinator_on(store)
    told += [(ServiceStatus.UNKNOWN, Code.RESTORED)]
    assert [(edge.status, edge.codes[0]) for edge in after.timelines.of(entry.service_id)] == told
    await passing(10.0 + 60.0 + 1.0)
    assert len(after.registry) == 0
    assert after.timelines.of(entry.service_id) == ()
    await after.stop()


@in_virtual_time
async def test_a_stall_of_the_daemon_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    coordinator = await coordinator_on()
    await passing(5.0)
    assert "stalled" not in caplog.messages
    now = LoopClock().now()
    coordinator._clock = StandingClock(Now(mono=now.mono + 7.0, wall=now.wall))
    coordinator.tick()
    coordinator.tick()
    (record,) = [record for record in caplog.records if record.message == "stalled"]
    assert record.levelname == "WARNING"
    assert round(record.__dict__["lag_s"]) == 7
    await coordinator.stop()


@in_virtual_time
async def test_a_mass_hold_is_an_alarm_while_it_lasts() -> None:
    coordinator = await coordinator_on()
    for number in range(6):
        await live(coordinator, await add(coordinator, f"agent-{number}"))
    await passing(3.5)
    (alarm,) = coordinator.alarms.held
    assert alarm.name == MASS_HOLD
    assert alarm.message.startswith("5 of 6 agents fell silent together"), "the sixth followed"
    await passing(30.0)
    assert coordinator.alarms.held == ()
    await coordinator.stop()
