"""runtime/coordinator: two lanes. A bad store touches writes alone; old sessions never act for new ones."""

import asyncio
from collections.abc import Sequence

import pytest

from orion_registry.core.commands import Remove, Unregister, Update
from orion_registry.core.facts import Fact
from orion_registry.core.frames import (
    Attach,
    Beat,
    Drain,
    GoAway,
    Goodbye,
    GoodbyeReason,
    Hello,
    Lost,
    LostReason,
)
from orion_registry.core.model import LivenessMode, RemovalReason, ServiceStatus
from orion_registry.core.selector import Selector
from orion_registry.core.watching import WatchKind
from orion_registry.errors import NotFound, Reason, Unavailable
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.stores import FailingStore, SlowStore
from tests.building import (
    ALL,
    LOCAL,
    OTHER_SECRET,
    STATIC,
    TTL,
    ask,
    frames_of,
    last_sessions,
    make_spec,
    ref_of,
    state_of,
)
from tests.runtime.virtual import (
    add,
    coordinator_on,
    hello,
    in_virtual_time,
    live,
    passing,
    refused,
    register,
    settle,
)

# While the store hangs or refuses.


@in_virtual_time
async def test_while_the_store_hangs_everything_but_writes_goes_on() -> None:
    """Must-show 10, in virtual time."""
    store = SlowStore()
    coordinator = await coordinator_on(store)
    beating, killed, ttl = (
        await add(coordinator),
        await add(coordinator, "b"),
        await add(coordinator, "c", liveness=TTL),
    )
    sessions = [await live(coordinator, entry) for entry in (beating, killed)]
    watcher = coordinator.watch(Selector(), 0, "", lambda: None)
    await watcher.next_batch()
    store.hang()
    write = asyncio.create_task(refused(coordinator.execute(register("d"), LOCAL)))
    loop = asyncio.get_running_loop()
    for second in range(10):
        await passing(1.0)
        began = loop.time()
        for session in sessions if second < 5 else sessions[:1]:
            coordinator.beat(session, Beat(seq=second))
        coordinator.send_heartbeat(ref_of(ttl), None, ServiceStatus.UNSPECIFIED)
        found = coordinator.registry.discover(Selector()).entries
        assert beating in found
        assert ttl in found
        assert loop.time() == began, "nothing waited"
        if second == 5:
            coordinator.close_stream(sessions[1])
            assert state_of(killed) == ("UNHEALTHY", "DISCONNECTED")
            batch = await watcher.next_batch()
            assert loop.time() == began
            assert (WatchKind.REMOVED, killed.snapshot) in [(event.kind, event.snapshot) for event in batch.events]
    assert (await write).reason is Reason.STORE_DOWN
    coordinator.report_status(ref_of(beating), ServiceStatus.STARTING)
    assert state_of(beating) == ("STARTING", "SELF_REPORTED")
    back = await live(coordinator, killed)
    assert back.services, "a resume writes nothing"
    store.release()
    await coordinator.stop()


@in_virtual_time
async def test_a_removal_that_the_store_refuses_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = FailingStore()
    coordinator = await coordinator_on(store, retention_s=1.0)
    entry = await add(coordinator)
    coordinator.close_stream(await live(coordinator, entry))
    store.failing = True
    await passing(4)
    assert len(coordinator.registry) == 1
    assert "removal failed, will try again" in caplog.text
    store.failing = False
    await passing(4)
    assert len(coordinator.registry) == 0
    assert (await store.load()).records == ()
    await coordinator.stop()


@in_virtual_time
async def test_epochs_are_reserved_again_in_time_and_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    store = FailingStore()
    coordinator = await coordinator_on(store, epoch_block=16_384)
    epochs = coordinator.registry._fleet.epochs
    assert (await store.load()).epochs_below == 16_385
    for _ in range(8_192):
        epochs.take()
    store.failing = True
    await passing(0.3)
    assert "epochs not reserved, will try again" in caplog.text
    store.failing = False
    await passing(0.3)
    assert (await store.load()).epochs_below == 32_769
    assert epochs.left == 32_768 - 8_192
    await coordinator.stop()


# Hello and what is under way.


@in_virtual_time
async def test_a_hello_waits_for_a_removal_under_way() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    store.hang()
    removal = asyncio.create_task(
        coordinator.execute(Remove(service_id=entry.service_id, reason=RemovalReason.EXPIRED), LOCAL)
    )
    await settle()
    session = coordinator.open_stream(LOCAL, lambda: None)
    greeting = asyncio.create_task(coordinator.receive(session, hello(entry)))
    await settle()
    assert not session.outbox
    store.release()
    await asyncio.gather(removal, greeting)
    error = last_sessions(session).results[0].error
    assert error is not None
    assert error.reason is Reason.NO_SUCH_SERVICE
    await coordinator.stop()


@in_virtual_time
async def test_a_hello_for_a_takeover_under_way_meets_the_new_secret() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    store.hang()
    claim = asyncio.create_task(coordinator.execute(register(secret=OTHER_SECRET, takeover=True), LOCAL))
    await settle()
    session = coordinator.open_stream(LOCAL, lambda: None)
    greeting = asyncio.create_task(coordinator.receive(session, hello(entry)))
    await settle()
    store.release()
    await asyncio.gather(claim, greeting)
    error = last_sessions(session).results[0].error
    assert error is not None
    assert error.reason is Reason.WRONG_SECRET
    await coordinator.stop()


@in_virtual_time
async def test_a_hello_or_attach_does_not_wait_for_ever() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    entry, other = await add(coordinator), await add(coordinator, service_name="other")
    session = await live(coordinator, other)
    store.hang()
    write = asyncio.create_task(refused(coordinator.execute(Unregister(ref=ref_of(entry)), LOCAL)))
    await settle()
    await coordinator.receive(session, Attach(sessions=(ask(entry),)))
    (result,) = last_sessions(session).results
    assert result.error is not None
    assert (result.error.reason, bool(result.error.retry_after_s)) == (Reason.STORE_DOWN, True)
    assert not session.ended, "the stream's other services go on"
    assert other.snapshot.ready
    await write
    store.release()
    await coordinator.stop()


@in_virtual_time
async def test_an_update_under_way_holds_no_session_up() -> None:
    """A bad disk touches writes alone: what an update would change has nothing to do with who is alive."""
    store = SlowStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    store.hang()
    change = Update(ref=ref_of(entry), spec=make_spec(tags=("new",)), paths=("tags",))
    write = asyncio.create_task(refused(coordinator.execute(change, LOCAL)))
    await settle()
    await live(coordinator, entry)
    assert entry.snapshot.ready
    await write
    store.release()
    await coordinator.stop()


@in_virtual_time
async def test_no_beat_is_answered_that_a_removal_under_way_would_sweep_away() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator, liveness=LivenessMode.TTL)
    store.hang()
    removal = Remove(service_id=entry.service_id, reason=RemovalReason.EXPIRED)
    write = asyncio.create_task(coordinator.execute(removal, LOCAL))
    await settle()
    with pytest.raises(Unavailable, match="being claimed or removed"):
        coordinator.send_heartbeat(ref_of(entry), None, ServiceStatus.UNSPECIFIED)
    store.release()
    await write
    with pytest.raises(NotFound):
        coordinator.send_heartbeat(ref_of(entry), None, ServiceStatus.UNSPECIFIED)
    await coordinator.stop()


@in_virtual_time
async def test_a_removal_that_is_not_stored_holds_nobody_off() -> None:
    store = FailingStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator, liveness=LivenessMode.TTL)
    store.failing = True
    await refused(coordinator.execute(Remove(service_id=entry.service_id, reason=RemovalReason.EXPIRED), LOCAL))
    coordinator.send_heartbeat(ref_of(entry), None, ServiceStatus.UNSPECIFIED)
    assert entry.snapshot.ready
    await coordinator.stop()


@in_virtual_time
async def test_a_strangers_claim_that_queued_while_a_hello_waited_finds_it_live() -> None:
    """hello{a, b} waits for b; a claim of a without its secret comes meanwhile: one of the two wins, whole."""
    store = SlowStore()
    coordinator = await coordinator_on(store)
    first, second = await add(coordinator), await add(coordinator, service_name="other")
    store.hang()
    removal = Remove(service_id=second.service_id, reason=RemovalReason.REMOVED)
    writes = [asyncio.create_task(coordinator.execute(removal, LOCAL))]
    await settle()
    session = coordinator.open_stream(LOCAL, lambda: None)
    greeting = Hello(agent_id="agent", sessions=(ask(first), ask(second)))
    waiting = asyncio.create_task(coordinator.receive(session, greeting))
    await settle()
    writes.append(asyncio.create_task(coordinator.execute(register(secret="another" * 6), LOCAL)))
    await settle()
    store.release()
    await asyncio.gather(waiting, *writes)
    held, gone = last_sessions(session).results
    assert gone.error is not None
    assert held.error is not None
    assert held.error.reason is Reason.WRONG_SECRET, "the claim was stored first, so the old secret is void"
    assert not session.services
    await coordinator.stop()


@in_virtual_time
async def test_a_hello_whose_stream_ended_while_it_waited_opens_nothing() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    store.hang()
    write = asyncio.create_task(coordinator.execute(register(port=1), LOCAL))
    await settle()
    session = coordinator.open_stream(LOCAL, lambda: None)
    greeting = asyncio.create_task(coordinator.receive(session, hello(entry)))
    await settle()
    coordinator.close_stream(session)
    store.release()
    await asyncio.gather(write, greeting)
    assert not entry.streams
    assert state_of(entry) == ("STARTING", "AWAITING_BEAT")
    await coordinator.stop()


# Goodbye.


@in_virtual_time
async def test_goodbye_stopping_unregisters_and_ends_the_stream_well() -> None:
    coordinator = await coordinator_on()
    entries = [await add(coordinator, service_name=name) for name in "xy"]
    session = await live(coordinator, entries[0])
    await coordinator.receive(session, Attach(sessions=(ask(entries[1]),)))
    await coordinator.receive(session, Goodbye(reason=GoodbyeReason.STOPPING))
    assert (session.ended, session.end) == (True, None)
    assert len(coordinator.registry) == 0
    assert [lost.reason for lost in frames_of(session, Lost)] == [LostReason.UNREGISTERED] * 2
    coordinator.close_stream(session)
    coordinator.close_stream(session)
    await coordinator.stop()


@in_virtual_time
async def test_goodbye_moving_keeps_the_service() -> None:
    coordinator = await coordinator_on()
    entry = await add(coordinator)
    session = await live(coordinator, entry)
    await coordinator.receive(session, Goodbye(reason=GoodbyeReason.MOVING))
    assert (session.ended, session.end) == (True, None)
    assert state_of(entry) == ("UNKNOWN", "RECONNECT_GRACE")
    coordinator.close_stream(session)
    await coordinator.stop()


@in_virtual_time
async def test_goodbye_tells_if_it_could_not_be_stored() -> None:
    store = FailingStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    session = await live(coordinator, entry)
    store.failing = True
    await coordinator.receive(session, Goodbye(reason=GoodbyeReason.STOPPING))
    assert session.end is not None
    assert session.end.reason is Reason.STORE_DOWN
    assert state_of(entry) == ("STOPPING", "SELF_REPORTED")
    coordinator.close_stream(session)
    await passing(80)
    store.failing = False
    await passing(6)
    assert len(coordinator.registry) == 0, "silence does the rest"
    await coordinator.stop()


@in_virtual_time
async def test_a_fault_while_parting_is_not_hidden() -> None:
    class Broken(MemoryStore):
        broken = False

        async def commit(self, facts: Sequence[Fact]) -> None:
            if self.broken:
                raise ZeroDivisionError
            await super().commit(facts)

    store = Broken()
    coordinator = await coordinator_on(store)
    session = await live(coordinator, await add(coordinator))
    store.broken = True
    parting = coordinator.receive(session, Goodbye(reason=GoodbyeReason.STOPPING))
    assert isinstance(await refused(parting), ZeroDivisionError)
    coordinator.close_stream(session)
    await coordinator.stop()


@in_virtual_time
async def test_goodbye_of_an_old_session_never_removes_a_takeover_under_way() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    old = await live(coordinator, entry)
    store.hang()
    claim = asyncio.create_task(coordinator.execute(register(secret=OTHER_SECRET, takeover=True), LOCAL))
    await settle()
    parting = asyncio.create_task(coordinator.receive(old, Goodbye(reason=GoodbyeReason.STOPPING)))
    await settle()
    store.release()
    await asyncio.gather(claim, parting)
    assert coordinator.registry.get(entry.service_id) is entry
    assert entry.self_report is ServiceStatus.UNSPECIFIED
    await coordinator.stop()


# Streams, commands, watches.


@in_virtual_time
async def test_drain_reaches_every_stream_of_a_service() -> None:
    coordinator = await coordinator_on()
    entry = await add(coordinator)
    session = await live(coordinator, entry)
    assert coordinator.drain(entry.service_id, 9.0) == 1
    assert frames_of(session, Drain)[0].service_ids == (entry.service_id,)
    await coordinator.stop()


@in_virtual_time
async def test_time_passes_by_itself() -> None:
    coordinator = await coordinator_on()
    entry = await add(coordinator, liveness=TTL, liveness_ttl_s=2.0)
    assert coordinator.send_heartbeat(ref_of(entry), None, ServiceStatus.UNSPECIFIED) == (2.0, entry)
    await passing(1.9)
    assert state_of(entry) == ("HEALTHY", "BEATING")
    await passing(0.3)
    assert state_of(entry) == ("UNHEALTHY", "SILENT")
    await passing(60.2)
    assert len(coordinator.registry) == 0
    await coordinator.stop()


# Life.


@in_virtual_time
async def test_nothing_is_served_before_the_start_and_after_the_stop() -> None:
    coordinator = await coordinator_on()
    await coordinator.stop()
    assert not coordinator.serving
    with pytest.raises(Unavailable):
        coordinator.open_stream(LOCAL, lambda: None)
    with pytest.raises(Unavailable):
        coordinator.watch(ALL, 0, "", lambda: None)
    error = await refused(coordinator.execute(register(), LOCAL))
    assert (error.reason, error.retry_after_s) == (Reason.NOT_SERVING, 1.0)


@in_virtual_time
async def test_a_stop_sends_everybody_away_and_judges_nobody() -> None:
    coordinator = await coordinator_on()
    entry = await add(coordinator)
    session = await live(coordinator, entry)
    watcher = coordinator.watch(ALL, 0, "", lambda: None)
    await watcher.next_batch()
    waiting = asyncio.create_task(refused(watcher.next_batch()))
    await settle()
    await coordinator.stop()
    assert [frame.reconnect_after_s for frame in frames_of(session, GoAway)] == [0.5]
    assert session.end is not None
    assert session.end.reason is Reason.NOT_SERVING
    assert (await waiting).reason is Reason.NOT_SERVING
    coordinator.close_stream(session)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")


@in_virtual_time
async def test_a_stop_with_a_hung_store_says_what_it_left(caplog: pytest.LogCaptureFixture) -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    store.hang()
    write = asyncio.create_task(refused(coordinator.execute(register(), LOCAL)))
    await settle()
    await coordinator.stop()
    assert "stopped with writes under way" in caplog.text
    assert (await write).reason is Reason.STORE_DOWN
    store.release()
    await settle()


@in_virtual_time
async def test_a_restart_on_the_same_store() -> None:
    store = MemoryStore()
    coordinator = await coordinator_on(store)
    entry, static = await add(coordinator), await add(coordinator, "static", liveness=STATIC)
    session = await live(coordinator, entry)
    epoch, history_id = entry.epoch, coordinator.registry.history_id
    await coordinator.stop()
    coordinator.close_stream(session)
    after = await coordinator_on(store)
    after.registry.history_id = "another life"
    restored = after.registry.get(entry.service_id)
    assert state_of(restored) == ("UNKNOWN", "RESTORED")
    assert state_of(after.registry.get(static.service_id)) == ("HEALTHY", "STATIC")
    batch = await after.watch(ALL, 3, history_id, lambda: None).next_batch()
    assert batch.events[0].kind is WatchKind.RESYNC
    session = after.open_stream(LOCAL, lambda: None)
    await after.receive(session, hello(entry))
    assert last_sessions(session).results[0].epoch > epoch
    assert state_of(restored) == ("HEALTHY", "STREAM_OPEN")
    await after.stop()
