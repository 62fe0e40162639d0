"""runtime/events, vitals: numbered events, kept in a ring, told to who asks and to who follows."""

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.commands import Remove
from orion_registry.core.config import RegistryConfig
from orion_registry.core.events import (
    AlarmCleared,
    AlarmRaised,
    EventFilter,
    EventType,
    HellosRefused,
    RegistryEvent,
    RegistryStarted,
    StallCredited,
)
from orion_registry.core.frames import Hello
from orion_registry.core.model import LivenessMode, Now, RemovalReason, ServiceStatus, StatusReasonCode
from orion_registry.core.patience import TICK_S
from orion_registry.core.registry import Registry
from orion_registry.errors import InvalidArgument, OutOfRange, Reason, Unavailable
from orion_registry.runtime import events as room
from orion_registry.runtime.events import BATCH, BOOKMARK_EVERY_S, EventLog, EventPage, Subscription
from orion_registry.runtime.vitals import HELLOS_EVERY, VitalSigns
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.clock import VirtualClock
from orion_registry.testing.entropy import SeededEntropy
from orion_registry.testing.stores import FailingStore
from tests.building import LOCAL
from tests.runtime.virtual import LoopClock, add, coordinator_on, in_virtual_time, live, passing, refused, settle

ALL = EventFilter()
ALARMS = EventFilter(types=frozenset({EventType.ALARM_RAISED}))


def alarm(number: int) -> AlarmRaised:
    return AlarmRaised(name=str(number), text="")


def log_of(count: int, kept: int = 10) -> EventLog:
    log = EventLog(VirtualClock(), "life")
    log._kept = kept
    for number in range(1, count + 1):
        log.add(alarm(number))
    return log


def names(page: EventPage) -> list[str]:
    return [logged.event.name for logged in page.events if isinstance(logged.event, AlarmRaised)]


def types(page: EventPage) -> list[str]:
    return [logged.event.type.name for logged in page.events]


# The ring.


@given(st.lists(st.integers(0, 7), max_size=12), st.integers(1, 6), st.integers(0, 50))
def test_the_ring_keeps_the_last_ones_with_their_numbers(batches: list[int], kept: int, after: int) -> None:
    """Against the obvious twin: a list of all, cut off."""
    log = log_of(0, kept)
    twin: list[int] = []
    for batch in batches:
        for _ in range(batch):
            twin.append(len(twin) + 1)
            log.add(alarm(len(twin)))
        log.settle()
    left = twin[-kept:]
    oldest = left[0] if left else 1
    assert (log.last_seq, log.oldest_seq) == (len(twin), oldest)
    if after > len(twin) or 0 < after < oldest - 1:
        with pytest.raises(OutOfRange):
            log.page(ALL, after)
        return
    page = log.page(ALL, after, page_size=4)
    assert names(page) == [str(number) for number in left if number > after][:4]
    assert [logged.seq for logged in page.events] == [int(name) for name in names(page)]


def test_pages_go_on_where_the_last_one_ended() -> None:
    log = log_of(8)
    found: list[str] = []
    after = 0
    while after < log.last_seq or not found:
        page = log.page(ALL, after, "life", page_size=3)
        found += names(page)
        after = page.after_seq
    assert found == [str(number) for number in range(1, 9)]
    assert log.page(ALL, after).events == ()


def test_a_page_that_finds_nothing_still_goes_on() -> None:
    log = log_of(5)
    log.add(AlarmCleared(name="1"))
    wanted = EventFilter(types=frozenset({EventType.ALARM_CLEARED}))
    page = log.page(wanted, page_size=1)
    assert (types(page), page.after_seq) == (["ALARM_CLEARED"], 6)
    assert log.page(EventFilter(service_id="s")).after_seq == 6


def test_the_size_of_a_page_has_a_default_and_a_cap() -> None:
    log = log_of(2_000, kept=3_000)
    sizes = [len(log.page(ALL, page_size=size).events) for size in (0, 1, 1_000, 2_000)]
    assert sizes == [100, 1, 1_000, 1_000]


@pytest.mark.parametrize(
    ("after", "history_id", "words"),
    [
        (1, "", "after_seq: events 2 to 5 are lost, the oldest that is kept is 6; begin again from 0"),
        (16, "", "after_seq: the latest event is 15, got 16; begin again from 0"),
        (7, "other", "history_id: 'other' is not this registry's, which is life; begin again from 0"),
    ],
)
def test_out_of_range(after: int, history_id: str, words: str) -> None:
    for ask in (EventLog.page, EventLog.subscribe):
        with pytest.raises(OutOfRange) as caught:
            ask(log_of(15), ALL, after, history_id)
        assert (caught.value.reason, caught.value.message) == (Reason.OUT_OF_RANGE, words)


@pytest.mark.parametrize("numbers", [{"after_seq": -1}, {"page_size": -1}])
def test_negative_numbers_are_refused(numbers: Any) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(numbers))):
        log_of(1).page(ALL, **numbers)


def test_the_ring_is_as_large_as_the_api_says() -> None:
    log = EventLog(VirtualClock(), "life")
    for number in range(room.KEPT + 5):
        log.add(alarm(number))
    log.settle()
    assert (room.KEPT, log.last_seq - log.oldest_seq + 1) == (10_000, 10_000)


# Those who follow.


async def taken(subscription: Subscription) -> EventPage | None:
    """The next batch if there is one now."""
    task = asyncio.ensure_future(subscription.next_batch())
    await settle()
    if task.done():
        return task.result()
    task.cancel()
    return None


@in_virtual_time
async def test_who_follows_gets_what_was_and_what_comes() -> None:
    log = log_of(3)
    subscription = log.subscribe(ALL, 1, "life")
    first = await subscription.next_batch()
    assert (names(first), first.after_seq) == (["2", "3"], 3)
    assert await taken(subscription) is None
    waiting = asyncio.create_task(subscription.next_batch())
    await settle()
    log.add(alarm(4))
    await settle()
    assert not waiting.done(), "what is new is told with the next tick, or when somebody reads"
    log.settle()
    await settle()
    assert names(waiting.result()) == ["4"]
    subscription.close()
    subscription.close()
    assert log.subscribers == 0


@in_virtual_time
async def test_the_first_batch_comes_at_once() -> None:
    """Even an empty one: it says how far the log is, and that the stream lives."""
    log = log_of(3)
    page = await log.subscribe(EventFilter(agent_id="a")).next_batch()
    assert (page.events, page.after_seq) == ((), 3)
    empty = await log_of(0).subscribe(ALL).next_batch()
    assert (empty.events, empty.after_seq, empty.oldest_seq) == ((), 0, 1)


@in_virtual_time
async def test_batches_are_bounded() -> None:
    log = log_of(BATCH + 7, kept=2 * BATCH)
    subscription = log.subscribe(ALL)
    assert [len((await subscription.next_batch()).events) for _ in range(2)] == [BATCH, 7]


@in_virtual_time
async def test_a_slow_one_is_told_what_it_lost() -> None:
    log = log_of(2)
    slow, quick = log.subscribe(ALL), log.subscribe(ALL)
    await slow.next_batch()
    for number in range(3, 16):
        log.add(alarm(number))
        log.settle()
        assert (await quick.next_batch()).events
    error = await refused(slow.next_batch())
    assert isinstance(error, OutOfRange)
    assert "events 3 to 5 are lost" in error.message


@in_virtual_time
async def test_one_for_whom_nothing_comes_is_not_overtaken() -> None:
    """It reads along, so that it loses nothing; and now and then it learns how far the log is."""
    log = EventLog(LoopClock(), "life")
    log._kept = 10
    subscription = log.subscribe(EventFilter(service_id="s"))
    assert (await subscription.next_batch()).after_seq == 0
    waiting = asyncio.create_task(subscription.next_batch())
    for number in range(100):
        log.add(alarm(number))
        log.tick()
        await settle()
    assert not waiting.done()
    await passing(BOOKMARK_EVERY_S)
    log.tick()
    await settle()
    page = waiting.result()
    assert (page.events, page.after_seq) == ((), 100)
    await passing(BOOKMARK_EVERY_S)
    log.tick()
    assert await taken(subscription) is None, "nothing has happened since"


@in_virtual_time
async def test_the_end_comes_after_the_last_event() -> None:
    log = log_of(0)
    subscription = log.subscribe(ALL)
    await subscription.next_batch()
    log.add(alarm(1))
    log.stop()
    assert names(await subscription.next_batch()) == ["1"]
    error = await refused(subscription.next_batch())
    assert isinstance(error, Unavailable)
    assert (error.reason, error.retry_after_s) == (Reason.NOT_SERVING, 1.0)


# Where they come from.


def all_types(coordinator: Any, wanted: EventFilter = ALL) -> list[str]:
    return types(coordinator.events.page(wanted, page_size=1_000))


@in_virtual_time
async def test_a_life_from_start_to_stop() -> None:
    coordinator = await coordinator_on()
    subscription = coordinator.events.subscribe(ALL)
    entry = await add(coordinator)
    coordinator.close_stream(await live(coordinator, entry))
    await coordinator.execute(Remove(service_id=entry.service_id, reason=RemovalReason.REMOVED), LOCAL)
    await coordinator.stop()
    assert types(await subscription.next_batch())[-1] == "REGISTRY_STOPPING"
    assert isinstance(await refused(subscription.next_batch()), Unavailable)
    told = ["REGISTRY_STARTED", "SERVICE_REGISTERED", "STATUS_CHANGED", "STATUS_CHANGED", "SERVICE_REMOVED"]
    assert all_types(coordinator) == [*told, "REGISTRY_STOPPING"]
    page = coordinator.events.page(ALL)
    assert [logged.seq for logged in page.events] == [1, 2, 3, 4, 5, 6]
    walls = [logged.wall for logged in page.events]
    assert walls == sorted(walls)


@in_virtual_time
async def test_what_happens_is_told_within_a_tick() -> None:
    coordinator = await coordinator_on()
    subscription = coordinator.events.subscribe(ALL)
    await subscription.next_batch()
    waiting = asyncio.create_task(subscription.next_batch())
    await add(coordinator)
    await passing(TICK_S)
    await settle()
    assert types(waiting.result()) == ["SERVICE_REGISTERED"]
    await coordinator.stop()


@in_virtual_time
async def test_a_restart_is_one_event_however_many_services() -> None:
    store = MemoryStore()
    first = await coordinator_on(store)
    entries = [await add(first, f"a{number}", liveness=LivenessMode.STATIC) for number in range(20)]
    await first.stop()
    second = await coordinator_on(store)
    (started,) = second.events.page(ALL).events
    assert started.event == RegistryStarted(services=20)
    assert all(second.timelines.of(entry.service_id) for entry in entries)
    await second.stop()


@in_virtual_time
async def test_an_import_is_told_after_the_services_that_it_added() -> None:
    one, two = await coordinator_on(), await coordinator_on()
    await add(one, "a")
    await add(one, "b")
    stored, _ = one.export_stored()
    await two.import_stored(stored, LOCAL)
    assert all_types(two) == ["REGISTRY_STARTED", "SERVICE_REGISTERED", "SERVICE_REGISTERED", "SNAPSHOT_IMPORTED"]
    await one.stop()
    await two.stop()


@in_virtual_time
async def test_alarms_come_and_go() -> None:
    store = FailingStore()
    coordinator = await coordinator_on(store)
    store.failing = True
    await passing(2 * TICK_S)
    assert names(coordinator.events.page(ALARMS)) == ["STORE_DOWN"]
    store.failing = False
    await passing(2 * TICK_S)
    assert all_types(coordinator)[-1] == "ALARM_CLEARED"
    await coordinator.stop()


def test_stalls_and_refused_hellos_are_seen_in_the_counters() -> None:
    registry = Registry(RegistryConfig(admission_rate=1.0), SeededEntropy(), "life", lambda edge: None)
    signs = VitalSigns(registry)

    def tick(mono: float, hellos: int = 0) -> list[RegistryEvent]:
        registry.advance(Now(mono=mono, wall=0.0))
        for number in range(hellos):
            stream = registry.open_stream(LOCAL, lambda: None)
            stream.receive(Hello(agent_id=f"a{number}"), Now(mono=mono, wall=0.0))
        return list(signs.news())

    assert tick(0.0) == []
    assert tick(2.0) == [StallCredited(lag_s=2.0 - TICK_S)]
    assert tick(2.0 + TICK_S) == []
    (stall, refused_hellos) = tick(5.0, hellos=9)
    assert isinstance(stall, StallCredited)
    assert stall.lag_s == pytest.approx(3.0 - 2 * TICK_S)
    assert refused_hellos == HellosRefused(count=8)
    later = [tick(5.0 + number * TICK_S, hellos=2) for number in range(1, HELLOS_EVERY + 1)]
    assert later == [[]] * (HELLOS_EVERY - 1) + [[HellosRefused(count=2 * HELLOS_EVERY)]], "once a second"


@in_virtual_time
async def test_a_tick_tells_what_the_counters_say(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    coordinator = await coordinator_on(admission_rate=1.0)
    await passing(2 * TICK_S)
    for number in range(5):
        await coordinator.receive(coordinator.open_stream(LOCAL, lambda: None), Hello(agent_id=f"a{number}"))
    await passing(2 * TICK_S)
    assert all_types(coordinator) == ["REGISTRY_STARTED", "HELLOS_REFUSED"]
    assert "hellos told to wait for their turn" in caplog.messages
    await coordinator.stop()


@in_virtual_time
async def test_the_census_counts_what_there_is() -> None:
    coordinator = await coordinator_on()
    up, down = await add(coordinator, "a"), await add(coordinator, "b")
    await add(coordinator, "c", liveness=LivenessMode.STATIC)
    await live(coordinator, up)
    coordinator.close_stream(await live(coordinator, down))
    census = coordinator.registry.census
    assert census.by_status == {ServiceStatus.HEALTHY: 2, ServiceStatus.UNHEALTHY: 1}
    code = StatusReasonCode
    assert census.by_reason == {code.STREAM_OPEN: 1, code.STATIC: 1, code.DISCONNECTED: 1}
    assert (census.agents_live, census.streams_open) == (1, 1)
    await coordinator.stop()
