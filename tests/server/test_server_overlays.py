"""SetOverlay, ListOverlays and RemoveService over real gRPC: from an operator's call to agents and callers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from orion_registry import RegistryClient, Selector, ServiceSpec, ServiceStatus, SessionOptions
from orion_registry.client.admin import AdminClient
from orion_registry.core.events import EventFilter, EventType
from orion_registry.core.frames import Drain
from orion_registry.core.model import LivenessMode, Load
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.errors import InvalidArgument, NotFound, Reason, Unavailable
from orion_registry.store.memory import MemoryStore
from orion_registry.store.sqlite import SqliteStore
from orion_registry.testing.daemon import running_daemon
from orion_registry.testing.stores import FailingStore
from orion_registry.wire.overlay import OverlayState
from orion_registry_pb.v1 import admin_pb2 as pb
from orion_registry_pb.v1 import admin_pb2_grpc as stubs

NONE, DRAIN, MAINTENANCE, QUARANTINE = OverlayMode
STATIC = LivenessMode.STATIC
KEY = ServiceKey(agent_id="calc-1", service_name="calc")


def spec(agent_id: str = "calc-1", **fields: Any) -> ServiceSpec:
    return ServiceSpec(agent_id=agent_id, service_name="calc", host="127.0.0.1", port=1, **fields)


@asynccontextmanager
async def both(**options: Any) -> AsyncIterator[tuple[AdminClient, RegistryClient]]:
    """A daemon with an operator and a caller."""
    async with (
        running_daemon(**options) as daemon,
        AdminClient(daemon.address) as admin,
        RegistryClient(daemon.address) as client,
    ):
        yield admin, client


async def all_of(admin: AdminClient, *args: Any, **wanted: Any) -> list[OverlayState]:
    return [state async for state in admin.overlays(*args, **wanted)]


async def test_a_live_agent_is_drained_in_front_of_a_watcher() -> None:
    """Asked on its stream, unready at once, DRAINED when its agent says that nothing is left; told in events."""
    asked: list[Drain] = []

    async def on_command(command: Drain) -> None:
        asked.append(command)

    async with both() as (admin, client):
        options = SessionOptions(on_command=on_command)
        async with client.session("calc-1", [spec()], options) as session:
            session.set_load(Load(in_flight=1))
            await until(_load_is, client, session, 1)
            done = await admin.set_overlay(KEY, DRAIN, deadline_s=60.0, note="new disk")
            assert (done.service_ids, done.changed) == ((session.ref().service_id,), 1)
            assert (await client.discover(Selector())).services == ()
            await until(_filled, asked)
            assert (asked[0].service_ids, asked[0].deadline_s) == (done.service_ids, 60.0)
            (state,) = await all_of(admin, DRAIN)
            assert (state.drained, state.status, state.registered) == (False, ServiceStatus.STOPPING, True)
            assert state.load is not None
            assert (state.load.in_flight, state.leases_left, state.note) == (1, 0, "new disk")
            assert 50.0 < (state.left_s or 0.0) <= 60.0
            session.set_load(Load(in_flight=0))
            await until(_drained, admin)
            assert (await admin.set_overlay(Selector(agent_id="calc-1"), NONE)).changed == 1
            assert len((await client.discover(Selector())).services) == 1
        wanted = frozenset({EventType.OVERLAY_SET, EventType.OVERLAY_CLEARED, EventType.STATUS_CHANGED})
        page = await admin.list_events(EventFilter(types=wanted))
        told = [logged.event for logged in page.events]
        kinds = [event.type.name for event in told]
        start = kinds.index("OVERLAY_SET")
        assert kinds[start : start + 5] == [
            "OVERLAY_SET", "STATUS_CHANGED", "STATUS_CHANGED", "OVERLAY_CLEARED", "STATUS_CHANGED",
        ]  # fmt: skip
        assert told[start + 2].reasons[0].name == "DRAINED"  # type: ignore[union-attr]


async def until(condition: Callable[..., Awaitable[bool]], *args: Any) -> None:
    """Polls: what is waited for has no event of its own."""
    async with asyncio.timeout(10.0):
        while not await condition(*args):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _filled(found: list[Any]) -> bool:
    return bool(found)


async def _load_is(client: RegistryClient, session: Any, in_flight: int) -> bool:
    load = (await client.get(session.ref().service_id)).load
    return load is not None and load.in_flight == in_flight


async def _drained(admin: AdminClient) -> bool:
    return [state.drained for state in await all_of(admin)] == [True]


async def test_a_weight_is_shown_beside_the_agents_own() -> None:
    async with both() as (admin, client):
        service_id = (await client.register(spec(liveness=STATIC, weight=4.0))).ref.service_id
        assert (await client.get(service_id)).overlay_weight is None
        await admin.set_overlay(ServiceKey(service_id=service_id), weight=0.5)
        service = await client.get(service_id)
        assert (service.weight, service.overlay_weight, service.ready) == (4.0, 0.5, True)
        await admin.set_overlay(KEY, NONE)
        assert (await client.get(service_id)).overlay_weight is None


async def test_what_is_set_outlives_the_daemon(tmp_path: Path) -> None:
    async with both(store=SqliteStore(tmp_path)) as (admin, client):
        await client.register(spec(liveness=STATIC))
        await admin.set_overlay(KEY, QUARANTINE, note="wrong answers", weight=2.0)
        await admin.set_overlay(ServiceKey(namespace="other", agent_id="away", service_name="n"), MAINTENANCE)
        before = await all_of(admin)
    async with both(store=SqliteStore(tmp_path)) as (admin, client):
        assert await all_of(admin) == before
        (service,) = (await client.discover(Selector(include_not_ready=True))).services
        assert (service.status, service.overlay_weight) == (ServiceStatus.UNHEALTHY, 2.0)
        assert [state.key.agent_id for state in await all_of(admin, namespace="other")] == ["away"]


async def test_a_snapshot_carries_it() -> None:
    async with both() as (one, _), both() as (two, client):
        await one.set_overlay(KEY, QUARANTINE)
        await two.import_snapshot(one.export_snapshot())
        service_id = (await client.register(spec(liveness=STATIC))).ref.service_id
        assert (await client.get(service_id)).status is ServiceStatus.UNHEALTHY


async def test_many_are_set_at_once_and_listed_in_pages() -> None:
    async with both() as (admin, client):
        for start in range(0, 600, 100):
            specs = [spec(f"a-{number:03}", liveness=STATIC) for number in range(start, start + 100)]
            await asyncio.gather(*map(client.register, specs))
        done = await admin.set_overlay(Selector(service_name="calc"), MAINTENANCE)
        assert (len(done.service_ids), done.changed) == (600, 600)
        assert [state.key.agent_id for state in await all_of(admin)] == [f"a-{number:03}" for number in range(600)]


async def test_a_removed_agent_is_told_and_comes_back() -> None:
    """As long as it lives. What is set for it keeps it out of selection all the same."""
    async with both() as (admin, client), client.session("calc-1", [spec()]) as session:
        await admin.set_overlay(KEY, QUARANTINE)
        assert await admin.remove_service(session.ref().service_id) > 0
        await until(_is_back, admin)
        (service,) = (await client.discover(Selector(include_not_ready=True))).services
        assert service.reasons[0].code.name == "QUARANTINED"
        with pytest.raises(NotFound) as caught:
            await admin.remove_service("nobody")
        assert caught.value.reason is Reason.NO_SUCH_SERVICE
        with pytest.raises(InvalidArgument, match="service_id"):
            await admin.remove_service("no/body")


async def _is_back(admin: AdminClient) -> bool:
    page = await admin.list_events(EventFilter(types=frozenset({EventType.SERVICE_REGISTERED})))
    return len(page.events) == 2


async def test_refusals_say_what_is_wrong() -> None:
    async with both() as (admin, _):
        for weight in (0.0, -1.0, float("nan")):
            with pytest.raises(InvalidArgument, match="weight: must be above 0"):
                await admin.set_overlay(KEY, weight=weight)
        with pytest.raises(NotFound, match="no service 'x' is registered"):
            await admin.set_overlay(ServiceKey(service_id="x"), DRAIN)
        assert (await admin.set_overlay(Selector(capabilities=("none",)), DRAIN)).service_ids == ()
        channel = grpc.aio.insecure_channel(admin.address)
        stub: Any = stubs.AdminServiceStub(channel)
        try:
            for call in (
                stub.SetOverlay(pb.SetOverlayRequest(mode=DRAIN)),  # type: ignore[arg-type]
                stub.ListOverlays(pb.ListOverlaysRequest(page_token="x")),
                stub.ListOverlays(pb.ListOverlaysRequest(mode=99)),  # type: ignore[arg-type]
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        finally:
            await channel.close()


async def test_what_is_not_stored_is_not_set() -> None:
    store = FailingStore(MemoryStore())
    async with both(store=store) as (admin, client):
        await client.register(spec(liveness=STATIC))
        store.failing = True
        with pytest.raises(Unavailable) as caught:
            await admin.set_overlay(KEY, QUARANTINE)
        assert caught.value.reason is Reason.STORE_DOWN
        assert await all_of(admin) == []
        assert len((await client.discover(Selector())).services) == 1
