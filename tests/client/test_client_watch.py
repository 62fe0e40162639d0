"""The watch heals itself, never shows a state that is older than what it showed, and adds up to the registry."""

import asyncio
import time
from collections.abc import Callable, Mapping

import pytest

from orion_registry.client.client import RegistryClient
from orion_registry.client.fold import WatchEvent, WatchKind
from orion_registry.client.state import ConnectionState
from orion_registry.client.watch import Watch
from orion_registry.core.model import LivenessMode, RemovalReason, ServiceSpec, ServiceStatus
from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument
from orion_registry.server.daemon import Daemon
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon
from orion_registry.wire.service import Service

pytestmark = pytest.mark.timeout(30)
ALL = Selector(include_not_ready=True)


def static(agent_id: str, **fields: object) -> ServiceSpec:
    return ServiceSpec(agent_id=agent_id, service_name="s", liveness=LivenessMode.STATIC, **fields)  # type: ignore[arg-type]


async def take(watch: Watch, count: int, limit_s: float = 8.0) -> list[tuple[str, str]]:
    async with asyncio.timeout(limit_s):
        return [told(await anext(watch)) for _ in range(count)]


async def shows(watch: Watch, holds: Callable[[Mapping[str, Service]], bool], limit_s: float = 4.0) -> None:
    give_up_at = time.monotonic() + limit_s
    while not holds(watch.services):
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)


def told(event: WatchEvent) -> tuple[str, str]:
    return event.kind.value, "" if event.service is None else event.service.agent_id


async def test_snapshot_then_changes(client: RegistryClient) -> None:
    await client.register(static("a"))
    async with client.watch(ALL) as watch:
        assert await take(watch, 2) == [("added", "a"), ("synced", "")]
        assert watch.synced.is_set()
        assert watch.connection_state is ConnectionState.CONNECTED
        made = await client.register(static("b"))
        assert await take(watch, 1) == [("added", "b")]
        await client.update_status(made.ref, ServiceStatus.UNHEALTHY)
        assert await take(watch, 1) == [("modified", "b")]
        assert watch.services[made.ref.service_id].status is ServiceStatus.UNHEALTHY
        await client.unregister(made.ref)
        async with asyncio.timeout(2):
            event = await anext(watch)
        assert told(event) == ("removed", "b")
        assert event.removal is RemovalReason.UNREGISTERED
        assert {service.agent_id for service in watch.services.values()} == {"a"}


async def test_leaving_the_view_is_told_apart_from_removal(client: RegistryClient) -> None:
    made = await client.register(static("a"))
    async with client.watch(Selector()) as watch:
        await take(watch, 2)
        await client.update_status(made.ref, ServiceStatus.UNHEALTHY)
        async with asyncio.timeout(2):
            event = await anext(watch)
        assert told(event) == ("removed", "a")
        assert event.removal is RemovalReason.OUT_OF_VIEW


async def test_a_reader_that_is_slow_gets_the_last_state_only(client: RegistryClient) -> None:
    async with client.watch(ALL) as watch:
        await take(watch, 1)
        made = await client.register(static("a"))
        for number in range(20):
            await client.update(made.ref, static("a", port=number + 1), ["port"])
        await client.unregister((await client.register(static("gone"))).ref)
        last = await client.register(static("last"))
        await shows(watch, lambda services: last.ref.service_id in services)
        async with asyncio.timeout(2):
            event = await anext(watch)
        assert told(event) == ("added", "a")
        assert event.service is not None
        assert event.service.port == 20
        assert await take(watch, 1) == [("added", "last")], "what came and went unseen is not told"


async def test_after_a_restart_with_the_same_store_it_resyncs() -> None:
    store = MemoryStore()
    async with running_daemon(store=store) as first:
        address = first.address
        client = RegistryClient(address)
        watch = client.watch(ALL)
        await watch.__aenter__()
        a, b = await client.register(static("a")), await client.register(static("b"))
        await take(watch, 3)
        history = watch.position[1]
    await watch.wait_for(ConnectionState.RECONNECTING)
    assert len(watch.services) == 2, "the last view stays while the registry is away"
    async with running_daemon(store=store, listen=(address,)):
        async with RegistryClient(address) as other:
            await other.unregister(b.ref)
        async with asyncio.timeout(8):
            while (event := await anext(watch)).kind is not WatchKind.SYNCED:
                if event.kind is WatchKind.REMOVED:
                    assert told(event) == ("removed", "b")
        assert set(watch.services) == {a.ref.service_id} or len(watch.services) == 2
        await shows(watch, lambda services: set(services) == {a.ref.service_id})
        assert watch.position[1] != history
        assert watch.connection_state is ConnectionState.CONNECTED
    await watch.close()
    await client.close()


async def test_a_cut_connection_resumes_without_a_resync(daemon: Daemon, client: RegistryClient) -> None:
    await client.register(static("a"))
    async with RegistryClient(daemon.address) as watching, watching.watch(ALL) as watch:
        await take(watch, 2)
        connection = watching._connection
        channel, _ = connection._open.pop(connection.address)
        await channel.close()
        await client.register(static("b"))
        assert await take(watch, 2) == [("added", "b"), ("synced", "")]
        assert len(watch.services) == 2


async def test_a_bad_selector_is_raised_to_whoever_iterates(client: RegistryClient) -> None:
    async with client.watch(Selector(namespace="no spaces please")) as watch:
        with pytest.raises(InvalidArgument, match="namespace"):
            await take(watch, 1)
        assert watch.connection_state is ConnectionState.CLOSED


async def test_closing_ends_the_iteration(client: RegistryClient) -> None:
    async with client.watch(ALL) as watch:
        await take(watch, 1)
        asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(watch.close()))
        assert [event async for event in watch] == []
    with pytest.raises(StopAsyncIteration):
        await anext(watch)
