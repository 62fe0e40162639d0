"""AdminService's GetServerInfo, ListEvents and WatchEvents on a real daemon."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from orion_registry import LivenessMode, RegistryClient, ServiceSpec, __version__
from orion_registry.client.admin import AdminClient
from orion_registry.client.admin_events import EventFilter, EventPage, EventType
from orion_registry.client.failures import Unreachable
from orion_registry.core.events import AlarmRaised, RegistryStopping, StatusChanged
from orion_registry.core.facts import Stored
from orion_registry.core.model import ServiceStatus, StatusReasonCode
from orion_registry.errors import InvalidArgument, OutOfRange, Reason, Unavailable
from orion_registry.runtime import events as room
from orion_registry.server.daemon import Daemon
from orion_registry.server.methods import ADMIN_SERVICE
from orion_registry.server.settings import Settings
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon
from orion_registry.testing.stores import FailingStore
from orion_registry_pb.v1 import admin_pb2 as pb
from tests.server.serving import OWN_CONNECTION, until

STATIC = ServiceSpec(agent_id="static-1", service_name="calc", liveness=LivenessMode.STATIC)
LIVE = ServiceSpec(agent_id="live-1", service_name="calc", port=1)
CHANGES = EventFilter(types=frozenset({EventType.STATUS_CHANGED}))


def types(page: EventPage) -> list[str]:
    return [logged.event.type.name for logged in page.events]


async def news(watch: AsyncIterator[EventPage]) -> EventPage:
    """The next batch that has events."""
    async with asyncio.timeout(5):
        async for page in watch:
            if page.events:
                return page
    raise AssertionError("the stream ended")


# GetServerInfo.


async def test_info_of_a_registry_that_is_used() -> None:
    async with running_daemon() as daemon, AdminClient(daemon.address) as admin, RegistryClient(daemon.address) as one:
        await one.register(STATIC)
        async with one.session("live-1", [LIVE]), one.watch() as watch:
            await watch.synced.wait()
            await until(lambda: daemon.coordinator.registry.revision == 4)
            events = admin.watch_events()
            await anext(events)
            info = await admin.server_info()
            await events.aclose()  # type: ignore[attr-defined] # it is a generator
    registry = daemon.coordinator.registry
    assert (info.version, info.history_id, info.serving) == (__version__, registry.history_id, True)
    assert (info.revision, info.event_seq, info.services) == (4, 4, 2)
    assert info.by_status == {ServiceStatus.HEALTHY: 2}
    assert info.by_reason == {StatusReasonCode.STATIC: 1, StatusReasonCode.STREAM_OPEN: 1}
    assert (info.agents, info.streams, info.watchers, info.event_watchers) == (1, 1, 1, 1)
    assert (info.store_kind, info.store_trouble, info.alarms) == ("memory", "", ())
    assert info.listen_addresses == (admin.address,)
    assert 0.0 < info.uptime_s < 60.0
    assert info.grpcio_version == grpc.__version__


async def test_info_tells_of_alarms() -> None:
    store = FailingStore()
    async with running_daemon(store=store) as daemon, AdminClient(daemon.address) as admin:
        store.failing = True
        await until(lambda: daemon.coordinator.alarms.held)
        info = await admin.server_info()
        (alarm,) = info.alarms
        assert (alarm.name, alarm.text) == ("STORE_DOWN", info.store_trouble)
        assert abs(alarm.since_wall - info.started_wall) < 60.0
        events = await admin.list_events(EventFilter(types=frozenset({EventType.ALARM_RAISED})))
        assert [logged.event for logged in events.events] == [AlarmRaised(name="STORE_DOWN", text=alarm.text)]


async def test_info_answers_while_the_registry_starts() -> None:
    """And is the only call that does, of those for operators."""

    class Held(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.let = asyncio.Event()

        async def load(self) -> Stored:
            await self.let.wait()
            return await super().load()

    store = Held()
    daemon = Daemon(Settings(listen=("127.0.0.1:0",), ephemeral=True), store=store)
    starting = asyncio.create_task(daemon.start())
    await until(lambda: daemon.addresses)
    async with AdminClient(daemon.address) as admin:
        info = await admin.server_info()
        assert (info.serving, info.services, info.event_seq) == (False, 0, 0)
        for refused in (admin.list_events(), anext(admin.watch_events())):
            with pytest.raises(Unavailable) as caught:
                await refused
            assert caught.value.reason is Reason.NOT_SERVING
        store.let.set()
        await starting
        assert (await admin.server_info()).serving
        await daemon.stop()


# ListEvents.


async def test_list_pages_and_filters() -> None:
    async with running_daemon() as daemon, AdminClient(daemon.address) as admin, RegistryClient(daemon.address) as one:
        service_id = (await one.register(STATIC)).ref.service_id
        async with one.session("live-1", [LIVE]):
            await until(lambda: daemon.coordinator.registry.revision == 4)
            page = await admin.list_events(page_size=2)
            assert types(page) == ["REGISTRY_STARTED", "SERVICE_REGISTERED"]
            assert (page.after_seq, page.oldest_seq, page.last_seq) == (2, 1, 4)
            rest = await admin.list_events(after_seq=page.after_seq, history_id=page.history_id)
            assert types(rest) == ["SERVICE_REGISTERED", "STATUS_CHANGED"]
            (changed,) = (await admin.list_events(CHANGES)).events
            assert isinstance(changed.event, StatusChanged)
            assert (changed.seq, changed.event.agent_id, changed.event.ready) == (4, "live-1", True)
            for wanted in (EventFilter(service_id=service_id), EventFilter(agent_id="static-1")):
                assert [logged.seq for logged in (await admin.list_events(wanted)).events] == [2]


async def test_list_refuses_what_it_cannot_answer() -> None:
    async with running_daemon() as daemon, AdminClient(daemon.address) as admin:
        cases: tuple[dict[str, Any], ...] = ({"after_seq": 99}, {"after_seq": 1, "history_id": "another"})
        for arguments in cases:
            for call in (admin.list_events(**arguments), anext(admin.watch_events(**arguments))):
                with pytest.raises(OutOfRange):
                    await call
        bad_filter = EventFilter(service_id="no id")
        for call in (
            admin.list_events(bad_filter),
            anext(admin.watch_events(bad_filter)),
            admin.list_events(page_size=-1),
        ):
            with pytest.raises(InvalidArgument):
                await call


# WatchEvents.


async def test_watch_replays_and_goes_on() -> None:
    async with running_daemon() as daemon, AdminClient(daemon.address) as admin, RegistryClient(daemon.address) as one:
        watch = admin.watch_events(after_seq=0)
        assert types(await news(watch)) == ["REGISTRY_STARTED"]
        began = asyncio.get_running_loop().time()
        await one.register(STATIC)
        page = await news(watch)
        assert asyncio.get_running_loop().time() - began < 1.0, "a tick of 0.1 s, and room for a busy machine"
        assert (types(page), page.after_seq) == (["SERVICE_REGISTERED"], 2)
        again = admin.watch_events(after_seq=1, history_id=page.history_id)
        assert [logged.seq for logged in (await news(again)).events] == [2]
        for each in (watch, again):
            await each.aclose()  # type: ignore[attr-defined] # it is a generator
        await until(lambda: daemon.coordinator.events.subscribers == 0)


async def test_watch_ends_with_the_last_event_of_a_registry_that_stops() -> None:
    async with running_daemon() as daemon, AdminClient(daemon.address) as admin:
        watch = admin.watch_events()
        await news(watch)
        stopping = asyncio.create_task(daemon.stop())
        assert [logged.event for logged in (await news(watch)).events] == [RegistryStopping()]
        with pytest.raises(Unavailable) as caught:
            await anext(watch)
        assert not isinstance(caught.value, Unreachable)
        await stopping


async def read_to_the_end(call: Any, seqs: list[int]) -> None:
    while (page := await call.read()) is not grpc.aio.EOF:
        seqs += [event.seq for event in page.events]


async def test_a_client_that_takes_nothing_is_cut_and_costs_nobody_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is overtaken in the ring; when it reads on it gets what was on its way, then which events it lost."""
    monkeypatch.setattr(room, "KEPT", 2_000)
    async with running_daemon() as daemon, AdminClient(daemon.address) as quick:
        log = daemon.coordinator.events
        options = (*OWN_CONNECTION, ("grpc.http2.lookahead_bytes", 1_024), ("grpc.http2.bdp_probe", 0))
        async with grpc.aio.insecure_channel(daemon.address, options=options) as channel:
            opener: Any = channel.unary_stream(
                f"/{ADMIN_SERVICE}/WatchEvents",
                request_serializer=pb.WatchEventsRequest.SerializeToString,
                response_deserializer=pb.WatchEventsResponse.FromString,
            )
            slow = opener(pb.WatchEventsRequest())
            first = await slow.read()
            watch = quick.watch_events()
            await news(watch)
            last = 0
            for batch in range(60):
                for number in range(500):
                    log.add(AlarmRaised(name=f"{batch}-{number}", text="x" * 300))
                log.settle()
                while last < log.last_seq:
                    last = (await news(watch)).after_seq
            assert last >= 30_001  # a busy machine adds stalls of its own
            seqs = [event.seq for event in first.events]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read_to_the_end(slow, seqs)
            assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
            details = caught.value.details() or ""
            assert f"events {seqs[-1] + 1:,} to " in details
            assert seqs == list(range(1, seqs[-1] + 1)), "without a gap up to there"
            await until(lambda: log.subscribers == 1)
