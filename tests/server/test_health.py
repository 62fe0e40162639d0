"""grpc.health.v1 as a prober sees it."""

import asyncio

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from orion_registry.core.facts import Stored
from orion_registry.server.daemon import SERVICES, Daemon
from orion_registry.server.settings import Settings
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon
from tests.server.raw import OWN, message, server_stream, unary

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


def ask(service: str) -> bytes:
    return health_pb2.HealthCheckRequest(service=service).SerializeToString()


def status(data: bytes) -> int:
    return health_pb2.HealthCheckResponse.FromString(data).status


class Prober:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    async def unary(self, method: str, data: bytes) -> bytes:
        return await unary(self.channel, f"/grpc.health.v1.Health/{method}", data)

    async def check(self, service: str = "") -> int:
        return status(await self.unary("Check", ask(service)))

    def watch(self, service: str = "") -> "grpc.aio.UnaryStreamCall[bytes, bytes]":
        return server_stream(self.channel, "/grpc.health.v1.Health/Watch", ask(service))


async def next_status(watch: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> int:
    return status(await message(watch))


async def test_check_knows_the_daemon_and_every_service() -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        prober = Prober(channel)
        assert "orion.registry.v1.RegistryService" in SERVICES
        assert [await prober.check(name) for name in ("", *SERVICES)] == [SERVING] * (1 + len(SERVICES))


@pytest.mark.parametrize("name", ["no.such.Service", "x" * 100_000, "\n\0é"])
async def test_check_of_an_unknown_service_is_not_found(name: str) -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Prober(channel).check(name)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert len(caught.value.details() or "") < 200


async def test_list_names_them_all() -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        answer = health_pb2.HealthListResponse.FromString(await Prober(channel).unary("List", b""))  # type: ignore[attr-defined] # newer than its types
        assert {name: found.status for name, found in answer.statuses.items()} == dict.fromkeys(
            ("", *SERVICES), SERVING
        )


@pytest.mark.parametrize("method", ["Check", "List", "Watch"])
async def test_garbage_is_an_invalid_argument(method: str) -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Prober(channel).unary(method, b"\xff\xff\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_not_serving_while_the_store_is_read_then_serving() -> None:
    loading, release = asyncio.Event(), asyncio.Event()

    class Held(MemoryStore):
        async def load(self) -> Stored:
            loading.set()
            await release.wait()
            return await super().load()

    daemon = Daemon(Settings(listen=("127.0.0.1:0",)), store=Held())
    starting = asyncio.ensure_future(daemon.start())
    await loading.wait()
    async with grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        prober = Prober(channel)
        watch = prober.watch("orion.registry.v1.RegistryService")
        assert await prober.check() == NOT_SERVING
        assert await next_status(watch) == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel, "/orion.registry.v1.RegistryService/DiscoverServices")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        release.set()
        await starting
        assert await next_status(watch) == SERVING
        assert await prober.check() == SERVING
        stopping = asyncio.ensure_future(daemon.stop())
        assert await next_status(watch) == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await watch.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        await stopping


async def test_watch_of_an_unknown_service_says_so_and_stays_open() -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        watch = Prober(channel).watch("no.such.Service")
        assert await next_status(watch) == SERVICE_UNKNOWN
        await asyncio.sleep(0.3)
        assert not watch.done()
        watch.cancel()


async def test_watchers_that_leave_are_forgotten() -> None:
    async with running_daemon() as daemon:
        async with grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
            watches = [Prober(channel).watch() for _ in range(20)]
            assert [await next_status(watch) for watch in watches] == [SERVING] * 20
            assert len(daemon._health._watchers) == 20
            for watch in watches[:10]:
                watch.cancel()
        for _ in range(100):
            if not daemon._health._watchers:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(len(daemon._health._watchers))
