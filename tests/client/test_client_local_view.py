"""A local view selects without a round trip and without the registry, and says what it rests on."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from orion_registry.client import shrink_guard
from orion_registry.client.client import RegistryClient
from orion_registry.client.failures import Unreachable
from orion_registry.client.local_view import LocalView
from orion_registry.client.state import ConnectionState
from orion_registry.core.model import LivenessMode, ServiceSpec, ServiceStatus
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument, NotFound, Reason, ResourceExhausted, Unavailable
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon

pytestmark = pytest.mark.timeout(30)
S = Selector(service_name="s")


def static(agent_id: str, **fields: object) -> ServiceSpec:
    return ServiceSpec(agent_id=agent_id, service_name="s", liveness=LivenessMode.STATIC, **fields)  # type: ignore[arg-type]


async def until(holds: Callable[[], bool], limit_s: float = 5.0) -> None:
    give_up_at = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)


def agents(view: LocalView) -> set[str]:
    return {service.agent_id for service in view.services.values()}


async def test_it_selects_what_is_ready_and_says_that_it_is_unleased(client: RegistryClient) -> None:
    a = await client.register(static("a", port=7))
    await client.register(static("b"))
    await client.register(ServiceSpec(agent_id="silent", service_name="s"))
    async with client.local_view(S) as view:
        picks = [view.select() for _ in range(10)]
        assert Counter(pick.service.agent_id for pick in picks) == {"a": 5, "b": 5}, "the least loaded, call by call"
        assert not picks[0].leased
        assert len(view.services) == 3
        assert (view.connection_state, view.stale_for_s, view.is_cached) == (ConnectionState.CONNECTED, 0.0, False)
        view.release(picks[0])
        with pytest.raises(NotFound) as twice:
            view.release(picks[0])
        assert twice.value.reason is Reason.NO_SUCH_LEASE
        await client.update_status(a.ref, ServiceStatus.UNHEALTHY)
        await until(lambda: not view.services[a.ref.service_id].ready)
        assert {view.select().service.agent_id for _ in range(10)} == {"b"}
        with pytest.raises(NotFound, match="local view, connected"):
            view.select(exclude=set(view.services))
    with pytest.raises(Unreachable, match="closed"):
        view.select()


async def test_a_block_is_the_outcome_and_failures_eject(client: RegistryClient) -> None:
    for name in ("a", "b"):
        await client.register(static(name))
    async with client.local_view(S, strategy=StrategyName.ROUND_ROBIN) as view:
        for _ in range(12):
            try:
                with view.select() as selection:
                    if selection.service.agent_id == "a":
                        raise ConnectionError("refused")
            except ConnectionError:
                pass
        assert {view.select().service.agent_id for _ in range(10)} == {"b"}
        with view.select(allow_degraded=True) as selection:
            selection.outcome = Outcome.CANCELLED


async def test_slow_ones_are_learned_from_reported_times(client: RegistryClient) -> None:
    for name in ("a", "b"):
        await client.register(static(name))
    async with client.local_view(S, strategy=StrategyName.RESPONSE_TIME) as view:
        for _ in range(100):
            selection = view.select()
            slow = selection.service.agent_id == "a"
            view.release(selection, Outcome.SUCCEEDED, 2.0 if slow else 0.01)
        last: Counter[str] = Counter()
        for _ in range(100):
            selection = view.select()
            last[selection.service.agent_id] += 1
            view.release(selection, Outcome.SUCCEEDED, 2.0 if selection.service.agent_id == "a" else 0.01)
        assert last["b"] >= 90, last


async def test_its_own_calls_fill_the_slots(client: RegistryClient) -> None:
    await client.register(static("a", max_concurrency=2))
    async with client.local_view(S) as view:
        view.select()
        second = view.select()
        with pytest.raises(ResourceExhausted) as full:
            view.select()
        assert full.value.reason is Reason.NO_FREE_SLOT
        view.release(second)
        assert view.select().holds


async def test_affinity_and_zone(client: RegistryClient) -> None:
    for name in ("a", "b", "c", "d"):
        await client.register(static(name, zone="near" if name < "c" else "far"))
    async with client.local_view(S, zone="near") as view:
        assert {view.select().service.zone for _ in range(20)} == {"near"}
        keyed = set()
        for _ in range(10):
            with view.select(affinity_key="k") as selection:
                keyed.add(selection.service.agent_id)
        assert len(keyed) == 1


async def test_a_selector_that_selection_does_not_take_is_refused(client: RegistryClient) -> None:
    with pytest.raises(InvalidArgument, match="include_not_ready"):
        client.local_view(Selector(include_not_ready=True))
    with pytest.raises(InvalidArgument, match="start_timeout_s"):
        client.local_view(S, start_timeout_s=0.0)


async def test_entering_it_without_registry_and_cache_says_why(tmp_path: Path) -> None:
    async with RegistryClient("127.0.0.1:1") as client:
        view = client.local_view(S, start_timeout_s=0.5, cache=tmp_path / "none")
        with pytest.raises(Unreachable, match="async with"):
            view.select()
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
            await view.__aenter__()
        assert view.connection_state is ConnectionState.CLOSED


async def test_it_goes_on_while_the_registry_is_away_and_after_it_forgot_how_its_services_are() -> None:
    """Away, then back with everything RESTORED: the view never stops selecting, and follows what comes true then."""
    store = MemoryStore()
    spec = ServiceSpec(agent_id="t", service_name="s", liveness=LivenessMode.TTL, liveness_ttl_s=60.0)
    async with running_daemon(store=store) as first:
        address = first.address
        client = RegistryClient(address)
        made = await client.register(spec)
        await client.send_heartbeat(made.ref)
        view = client.local_view(S)
        await view.__aenter__()
        assert view.select().service.agent_id == "t"
    await view.wait_for(ConnectionState.RECONNECTING)
    await asyncio.sleep(0.05)
    assert view.stale_for_s > 0.04
    assert view.select().service.agent_id == "t"
    async with running_daemon(store=store, listen=(address,)):
        await view.wait_for(ConnectionState.CONNECTED)
        await until(lambda: view.stale_for_s == 0.0)
        assert (await client.get(made.ref.service_id)).status is ServiceStatus.UNKNOWN, "restored, not heard of"
        assert view.select().service.agent_id == "t"
        await client.update_status(made.ref, ServiceStatus.STOPPING)
        await until(lambda: view.services[made.ref.service_id].status is ServiceStatus.STOPPING)
        with pytest.raises(Unavailable):
            view.select()
    await view.close()
    await client.close()


async def test_a_registry_that_lost_its_memory_does_not_empty_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents that come back are never missing; one that does not is dropped once a fresh snapshot has said so."""
    monkeypatch.setattr(shrink_guard, "CONFIRM_S", 0.8)
    async with running_daemon() as first:
        address = first.address
        client = RegistryClient(address)
        for name in ("a", "b", "gone", "gone-too"):
            await client.register(static(name))
        view = client.local_view(S)
        await view.__aenter__()
    await view.wait_for(ConnectionState.RECONNECTING)
    async with running_daemon(listen=(address,)):
        await view.wait_for(ConnectionState.CONNECTED)
        await until(lambda: view.stale_for_s == 0.0)
        assert agents(view) == {"a", "b", "gone", "gone-too"}
        for name in ("a", "b"):
            await client.register(static(name))
        view.select()
        await asyncio.sleep(0.3)
        assert agents(view) == {"a", "b", "gone", "gone-too"}
        began = time.monotonic()
        await until(lambda: agents(view) == {"a", "b"})
        assert time.monotonic() - began < 2.0
        assert view.connection_state is ConnectionState.CONNECTED
        assert view._watch.last_error is None or "cut off" not in view._watch.last_error.message
    await view.close()
    await client.close()


async def test_the_last_goodbye_is_shown_without_delay(client: RegistryClient) -> None:
    made = await client.register(static("only"))
    async with client.local_view(S) as view:
        began = time.monotonic()
        await client.unregister(made.ref)
        await until(lambda: not view.services)
        assert time.monotonic() - began < 1.0, "a fresh snapshot confirms it at once"


async def test_a_start_without_the_registry_goes_by_the_cache(tmp_path: Path) -> None:
    cache, store = tmp_path / "view", MemoryStore()
    async with running_daemon(store=store) as first:
        address = first.address
        async with RegistryClient(address) as client:
            await client.register(static("a"))
            await client.register(static("b"))
            async with client.local_view(S, cache=cache) as view:
                view.select()
    async with RegistryClient(address) as client, client.local_view(S, cache=cache) as view:
        assert (view.is_cached, view.connection_state) == (True, ConnectionState.CONNECTING)
        assert 0.0 < view.stale_for_s < 20.0
        assert {view.select().service.agent_id for _ in range(4)} == {"a", "b"}
        async with running_daemon(store=store, listen=(address,)):
            await view.wait_for(ConnectionState.CONNECTED)
            await until(lambda: not view.is_cached)
            await client.register(static("c"))
            await until(lambda: agents(view) == {"a", "b", "c"})
            await asyncio.sleep(0.05)
    async with RegistryClient(address) as client, client.watch(Selector(service_name="s"), cache=cache) as watch:
        await until(lambda: watch.last_error is not None)
        await asyncio.sleep(0.1)
        assert not watch.services, "the cache of another selector is not believed"


async def test_a_watch_with_a_cache_tells_what_it_shows(tmp_path: Path) -> None:
    cache = tmp_path / "view"
    async with running_daemon() as first:
        address = first.address
        async with RegistryClient(address) as client:
            await client.register(static("a"))
            async with client.watch(S, cache=cache) as watch:
                await watch.synced.wait()
                await until(cache.exists)
    async with RegistryClient(address) as client, client.watch(S, cache=cache) as watch:
        async with asyncio.timeout(5):
            event = await anext(watch)
        assert event.kind.value == "added"
        assert event.service is not None
        assert event.service.agent_id == "a"
        assert watch.is_cached
        assert watch.filled.is_set()
        assert not watch.synced.is_set()


async def test_a_hung_registry_counts_as_away(tmp_path: Path) -> None:
    cache = tmp_path / "view"
    async with running_daemon() as first, RegistryClient(first.address) as client:
        await client.register(static("a"))
        async with client.local_view(S, cache=cache):
            pass
    with socket.create_server(("127.0.0.1", 0)) as hung:  # the kernel takes connections, nobody reads
        began = time.monotonic()
        address = f"127.0.0.1:{hung.getsockname()[1]}"
        async with RegistryClient(address) as client, client.local_view(S, cache=cache) as view:
            assert time.monotonic() - began < 3.0
            assert view.select().service.agent_id == "a"


async def test_a_disk_that_fails_costs_a_warning_and_no_selection(
    client: RegistryClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await client.register(static("a"))
    async with client.local_view(S, cache=tmp_path / "no" / "such" / "folder") as view:
        await until(lambda: "cannot be saved" in caplog.text)
        assert view.select().service.agent_id == "a"
    assert caplog.text.count("cannot be saved") == 1
