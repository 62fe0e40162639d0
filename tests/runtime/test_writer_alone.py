"""runtime/writer: an import runs alone. It waits for what is under way, and what comes later waits for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orion_registry.core.commands import Import, Imported, Register, Registered
from orion_registry.core.config import RegistryConfig
from orion_registry.core.facts import Stored
from orion_registry.core.frames import Hello, SessionRequest, Sessions
from orion_registry.core.keys import service_id_of
from orion_registry.core.model import SessionRef
from orion_registry.errors import AlreadyExists, NotFound, Unavailable
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.runtime.writer import WriterConfig
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.clock import VirtualClock
from orion_registry.testing.entropy import SeededEntropy
from orion_registry.testing.stores import FailingStore, SlowStore
from tests.building import LOCAL, SECRET, World, make_spec


def coordinator_on(store: Any, **writer: Any) -> Coordinator:
    return Coordinator(
        config=RegistryConfig(),
        store=store,
        clock=VirtualClock(),
        entropy=SeededEntropy(),
        writer=WriterConfig(**writer),
    )


@pytest.fixture
async def slow() -> AsyncIterator[tuple[Coordinator, SlowStore]]:
    store = SlowStore()
    coordinator = coordinator_on(store)
    await coordinator.start()
    yield coordinator, store
    store.release()
    await coordinator.stop()


def exported(*agents: str) -> Stored:
    world = World(seed=7)
    for agent in agents:
        world.add(agent)
    return world.registry.stored()


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def register(coordinator: Coordinator, agent: str) -> "asyncio.Task[Any]":
    command = Register(spec=make_spec(agent), secret=SECRET)
    return asyncio.get_running_loop().create_task(coordinator.execute(command, LOCAL))


def take_in(coordinator: Coordinator, stored: Stored) -> "asyncio.Task[Imported]":
    return asyncio.get_running_loop().create_task(coordinator.import_stored(stored, LOCAL))


async def test_it_waits_for_what_is_under_way(slow: tuple[Coordinator, SlowStore]) -> None:
    """An agent that registers while the import waits keeps its registration."""
    coordinator, store = slow
    store.hang()
    first = register(coordinator, "a")
    await turns()
    importing = take_in(coordinator, exported("a", "b"))
    await turns()
    assert store.waiting == 1
    store.release()
    assert isinstance(await first, Registered)
    result = await importing
    assert (result.added, result.kept) == (1, 1)


async def test_others_wait_for_it(slow: tuple[Coordinator, SlowStore]) -> None:
    """What comes later finds all that it added: a registration of one of them is an update, not a second life."""
    coordinator, store = slow
    store.hang()
    importing = take_in(coordinator, exported("a", "b"))
    await turns()
    later = [register(coordinator, "a"), register(coordinator, "c"), take_in(coordinator, exported("b", "d"))]
    await turns()
    assert store.waiting == 1
    assert len(coordinator.registry) == 0
    store.release()
    a, c, again = await asyncio.gather(*later)
    assert (await importing).added == 2
    assert (a.created, c.created) == (False, True)
    assert (again.added, again.kept) == (1, 1)
    assert len(coordinator.registry) == 4


async def test_side_by_side_again_afterwards(slow: tuple[Coordinator, SlowStore]) -> None:
    coordinator, store = slow
    await take_in(coordinator, exported("a"))
    store.hang()
    tasks = [register(coordinator, "x"), register(coordinator, "y")]
    await turns()
    assert store.waiting == 2
    store.release()
    await asyncio.gather(*tasks)


async def test_a_hello_for_a_service_on_its_way_waits(slow: tuple[Coordinator, SlowStore]) -> None:
    """The agent of a service that is being imported is not told NO_SUCH_SERVICE; others are not held up."""
    coordinator, store = slow
    here = (await register(coordinator, "here")).entry
    stored = exported("a")
    store.hang()
    importing = take_in(coordinator, stored)
    await turns()

    async def hello(agent: str, service_id: str, epoch: int) -> Sessions:
        session = coordinator.open_stream(LOCAL, lambda: None)
        ref = SessionRef(service_id=service_id, epoch=epoch, secret=SECRET)
        await coordinator.receive(session, Hello(agent_id=agent, sessions=(SessionRequest(ref=ref),)))
        return next(frame for frame in session.outbox if isinstance(frame, Sessions))

    assert (await hello("here", here.service_id, here.epoch)).results[0].error is None
    waiting = asyncio.get_running_loop().create_task(hello("a", stored.records[0].service_id, 1))
    await turns()
    assert not waiting.done()
    store.release()
    await importing
    assert (await waiting).results[0].error is None


async def test_a_refused_import_stores_nothing_and_holds_up_nobody(slow: tuple[Coordinator, SlowStore]) -> None:
    coordinator, _ = slow
    stored = exported("a", "b")
    command = Register(spec=make_spec("c", service_id=stored.records[0].service_id), secret=SECRET)
    await coordinator.execute(command, LOCAL)
    with pytest.raises(AlreadyExists):
        await take_in(coordinator, stored)
    assert len(coordinator.registry) == 1
    assert (await register(coordinator, "d")).created


async def test_a_full_disk_takes_nothing_of_it() -> None:
    memory = MemoryStore()
    store = FailingStore(memory)
    coordinator = coordinator_on(store)
    await coordinator.start()
    before = await memory.load()
    store.failing = True
    with pytest.raises(Unavailable) as caught:
        await coordinator.import_stored(exported("a", "b"), LOCAL)
    assert caught.value.retry_after_s is not None
    assert await memory.load() == before
    with pytest.raises(NotFound):
        coordinator.registry.get(service_id_of(make_spec("a")))
    store.failing = False
    assert (await coordinator.import_stored(exported("a", "b"), LOCAL)).added == 2
    await coordinator.stop()


async def test_it_has_more_time_than_others() -> None:
    """A caller of an ordinary command is told to try again after `timeout_s`; an import is worth the wait."""
    store = SlowStore()
    coordinator = coordinator_on(store, timeout_s=0.01)
    await coordinator.start()
    store.hang()
    importing = take_in(coordinator, exported("a"))
    await asyncio.wait({importing}, timeout=0.05)
    assert not importing.done()
    store.release()
    assert (await importing).added == 1
    await coordinator.stop()


async def test_not_before_start_or_after_stop() -> None:
    coordinator = coordinator_on(MemoryStore())
    with pytest.raises(Unavailable):
        coordinator.export_stored()
    with pytest.raises(Unavailable):
        await coordinator.import_stored(Stored(), LOCAL)


async def test_restart_keeps_what_was_imported() -> None:
    memory = MemoryStore()
    coordinator = coordinator_on(memory)
    await coordinator.start()
    await coordinator.execute(Import(stored=exported("a", "b")), LOCAL)
    exported_now, _ = coordinator.export_stored()
    await coordinator.stop()
    after = coordinator_on(memory)
    await after.start()
    again, _ = after.export_stored()
    assert again.records == exported_now.records
    assert again.epochs_below > exported_now.epochs_below
    await after.stop()
