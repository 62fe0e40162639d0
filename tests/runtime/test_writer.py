"""runtime/writer: one after the other for each service, side by side for the rest; no outcome is lost."""

import asyncio
import logging

import pytest

from orion_registry.core.access.rights import Grant, Rights, Role
from orion_registry.core.commands import Command, Remove, Unregister, Update
from orion_registry.core.facts import ReserveEpochs
from orion_registry.core.model import Actor, Now, RemovalReason
from orion_registry.core.planning import key_of
from orion_registry.errors import Reason
from orion_registry.testing.stores import FailingStore, SlowStore
from tests.building import LOCAL, make_spec, ref_of
from tests.runtime.virtual import LoopClock, add, coordinator_on, in_virtual_time, passing, refused, register, settle


class ShiftedClock(LoopClock):
    """Runs ahead of the loop's own by what it was shifted."""

    shift_s = 0.0

    def now(self) -> Now:
        now = super().now()
        return Now(mono=now.mono + self.shift_s, wall=now.wall)


@in_virtual_time
async def test_commands_of_one_service_run_one_after_the_other_and_others_beside() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    store.hang()
    tasks = [asyncio.create_task(coordinator.execute(register(port=port), LOCAL)) for port in range(1, 6)]
    tasks += [asyncio.create_task(coordinator.execute(register(f"other{n}"), LOCAL)) for n in range(3)]
    await settle()
    assert store.waiting == 4, "one of the first service, one of each other"
    store.release()
    await asyncio.gather(*tasks)
    entry = next(iter(coordinator.registry._fleet.catalog))
    assert (entry.spec.port, entry.snapshot.record.generation) == (5, 5)
    await coordinator.stop()


@in_virtual_time
async def test_a_command_is_planned_on_what_the_one_before_made() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    store.hang()
    ref = ref_of(entry)
    first = asyncio.create_task(coordinator.execute(Unregister(ref=ref), LOCAL))
    second = asyncio.create_task(
        refused(coordinator.execute(Update(ref=ref, spec=make_spec(port=1), paths=("port",)), LOCAL))
    )
    await settle()
    store.release()
    await first
    assert (await second).reason is Reason.NO_SUCH_SERVICE
    await coordinator.stop()


@in_virtual_time
async def test_who_waits_for_a_registration_is_judged_by_what_it_registered() -> None:
    """The door lets pass whoever names a service that is not there: nobody knows its namespace."""
    store = SlowStore()
    coordinator = await coordinator_on(store)
    store.hang()
    first = asyncio.create_task(coordinator.execute(register(), LOCAL))
    await settle()
    service_id = key_of(register())
    assert service_id is not None
    remove = Remove(service_id=service_id, reason=RemovalReason.REMOVED)
    elsewhere = Rights(grants=(Grant(roles=frozenset({Role.OPERATOR}), namespaces=("elsewhere",)),))
    second = asyncio.create_task(refused(coordinator.execute(remove, Actor(identity="o", rights=elsewhere))))
    await settle()
    store.release()
    await first
    assert (await second).reason is Reason.NO_SUCH_SERVICE
    assert service_id in coordinator.registry
    await coordinator.stop()


@in_virtual_time
async def test_a_hung_store_makes_callers_wait_then_refuses_and_the_outcome_still_comes() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store, timeout_s=3.0)
    loop = asyncio.get_running_loop()
    store.hang()
    began = loop.time()
    error = await refused(coordinator.execute(register(), LOCAL))
    assert (error.reason, error.retry_after_s) == (Reason.STORE_DOWN, 3.0)
    assert "outcome is open" in error.message
    assert loop.time() - began == pytest.approx(3.0, abs=0.01)
    assert len(coordinator.registry) == 0
    await passing(0.2)
    began = loop.time()
    error = await refused(coordinator.execute(register("other"), LOCAL))
    assert error.reason is Reason.STORE_DOWN
    assert loop.time() == began, "while it is stuck, new ones are refused at once"
    store.release()
    await settle()
    assert len(coordinator.registry) == 1, "the first one came to its end"
    await add(coordinator, "other")
    await coordinator.stop()


@in_virtual_time
async def test_each_caller_is_told_after_its_own_patience() -> None:
    """One timer serves all: whoever comes later, or waits for a shorter time, is not told with somebody else."""
    store = SlowStore()
    coordinator = await coordinator_on(store, timeout_s=3.0)
    loop = asyncio.get_running_loop()
    store.hang()
    began = loop.time()
    told: dict[str, float] = {}

    async def wait(name: str, timeout_s: float | None) -> None:
        await refused(coordinator._writer.execute(register(name), LOCAL, timeout_s))
        told[name] = loop.time() - began

    tasks = []
    for name, timeout_s in (("patient", 60.0), ("first", None), ("second", None), ("hasty", 0.5)):
        tasks.append(asyncio.create_task(wait(name, timeout_s)))
        await passing(0.25)
    await asyncio.gather(*tasks)
    expected = {"patient": 60.0, "first": 3.25, "second": 3.5, "hasty": 1.25}
    assert told == pytest.approx(expected, abs=0.01)
    store.release()
    await coordinator.stop()


@in_virtual_time
async def test_a_command_whose_caller_has_gone_still_comes_to_its_end() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    store.hang()
    task = asyncio.create_task(coordinator.execute(register(), LOCAL))
    await settle()
    task.cancel()
    assert isinstance(await asyncio.gather(task, return_exceptions=True), list)
    store.release()
    await settle()
    assert len(coordinator.registry) == 1
    assert len((await store.load()).records) == 1
    await coordinator.stop()


@in_virtual_time
async def test_the_queue_is_bounded() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store, queue=3)
    store.hang()
    tasks = [asyncio.create_task(coordinator.execute(register(f"a{n}"), LOCAL)) for n in range(3)]
    await settle()
    error = await refused(coordinator.execute(register("a9"), LOCAL))
    assert (error.reason, error.message) == (Reason.STORE_DOWN, "3 writes are under way")
    store.release()
    await asyncio.gather(*tasks)
    await add(coordinator, "a9")
    await coordinator.stop()


@in_virtual_time
async def test_a_failing_store_leaves_nothing_half_applied(caplog: pytest.LogCaptureFixture) -> None:
    store = FailingStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    revision, stored = coordinator.registry.revision, await store.load()
    store.failing = True
    commands: list[Command] = [
        register("new"),
        register(port=9),
        register(secret="x" * 40),
        Update(ref=ref_of(entry), spec=make_spec(port=9), paths=("port",)),
        Unregister(ref=ref_of(entry)),
        Remove(service_id=entry.service_id, reason=RemovalReason.REMOVED),
    ]
    for command in commands:
        error = await refused(coordinator.execute(command, LOCAL))
        assert error.reason is Reason.STORE_DOWN
        assert error.retry_after_s
    assert (coordinator.registry.revision, await store.load()) == (revision, stored)
    assert (entry.spec.port, entry.epoch) == (0, 1)
    assert "the store took no write" in caplog.text
    store.failing = False
    await coordinator.execute(register(port=9), LOCAL)
    assert entry.spec.port == 9
    await coordinator.stop()


@in_virtual_time
async def test_a_refused_command_does_not_hold_up_the_next(caplog: pytest.LogCaptureFixture) -> None:
    coordinator = await coordinator_on()
    results = await asyncio.gather(
        refused(coordinator.execute(register(port=-1), LOCAL)), coordinator.execute(register(port=1), LOCAL)
    )
    assert results[0].reason is Reason.BAD_FIELD
    assert len(coordinator.registry) == 1
    assert not coordinator._writer._last, "nothing is remembered of what is over"
    assert not coordinator._writer._runs
    assert "durable command failed" not in caplog.text
    await coordinator.stop()


@in_virtual_time
async def test_a_fault_is_logged_and_told_to_its_caller(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FailingStore):
        async def commit(self, facts: object) -> None:
            raise ZeroDivisionError

    coordinator = await coordinator_on()
    coordinator._writer._store = Broken()
    with caplog.at_level(logging.ERROR):
        assert isinstance(await refused(coordinator.execute(register(), LOCAL)), ZeroDivisionError)
        await settle()
    assert "durable command failed" in caplog.text
    assert not coordinator._writer._commits
    await coordinator.stop()


@in_virtual_time
async def test_drain_waits_for_what_is_under_way() -> None:
    store = SlowStore()
    coordinator = await coordinator_on(store)
    writer = coordinator._writer
    assert await writer.drain(1.0) == 0
    store.hang()
    task = asyncio.create_task(coordinator.execute(register(), LOCAL))
    await settle()
    assert await writer.drain(1.0) == 1
    store.release()
    await task
    await writer.commit([ReserveEpochs(below=9)])
    await coordinator.stop()


@in_virtual_time
async def test_a_stall_of_the_daemon_is_not_the_fault_of_the_store() -> None:
    """Nobody is told that the store does not answer because this process could not listen."""
    store = SlowStore()
    coordinator = await coordinator_on(store)
    clock = ShiftedClock()
    coordinator._clock = coordinator._writer._clock = clock
    store.hang()
    task = asyncio.create_task(coordinator.execute(register(), LOCAL))
    await passing(0.5)
    clock.shift_s = 30.0  # all at once, with no tick in between
    coordinator.tick()
    assert not coordinator._writer.trouble
    assert not coordinator.alarms.held
    await passing(2.0)
    assert not task.done()
    store.release()
    await task
    await coordinator.stop()
