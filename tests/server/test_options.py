"""Section 11 of the design: gRPC's defaults bite, each option here holds one back. Real sockets, real processes."""

import asyncio
import signal
import socket
import sys
import time
from importlib import import_module
from pathlib import Path

import grpc
import grpc.aio
import pytest

from orion_registry.errors import NotFound
from orion_registry.server.address import TcpAddress
from orion_registry.server.daemon import Daemon
from orion_registry.server.listen import try_port
from orion_registry.server.options import server_options
from orion_registry.server.settings import Settings
from orion_registry.server.start_error import StartError
from orion_registry.testing.daemon import running_daemon
from tests.server.raw import OWN, message, server_stream, unary

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"


async def call(
    address: str, path: str, data: bytes = b"", metadata: tuple[tuple[str, str], ...] = ()
) -> tuple[grpc.StatusCode, bytes]:
    async with grpc.aio.insecure_channel(address, options=OWN) as channel:
        try:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
            return grpc.StatusCode.OK, await method(data, timeout=5.0, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code(), (error.details() or "").encode()


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


def test_every_option_of_the_design_is_given() -> None:
    options = dict(server_options(Settings(max_connections=20)))
    assert options == {
        "grpc.so_reuseport": 0,
        "grpc.keepalive_time_ms": 1_200,
        "grpc.keepalive_timeout_ms": 1_500,
        "grpc.http2.ping_timeout_ms": 1_500,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,
        "grpc.http2.min_ping_interval_without_data_ms": 1_000,
        "grpc.http2.bdp_probe": 0,
        "grpc.max_concurrent_streams": 256,
        "grpc.server.max_pending_requests": 4_096,
        "grpc.server.max_pending_requests_hard_limit": 8_192,
        "grpc.max_receive_message_length": 1_048_576,
        "grpc.max_metadata_size": 16_384,
        "grpc.absolute_max_metadata_size": 16_384,
        "grpc.server_handshake_timeout_ms": 3_000,
        "grpc.max_allowed_incoming_connections": 20,
    }


def test_grpc_knows_every_option() -> None:
    # An unknown name is silently ignored: so was "min_recv_ping_interval", and idle clients were cut for their pings.
    library = Path(str(import_module("grpc._cython.cygrpc").__file__)).read_bytes()
    for name, _ in server_options(Settings()):
        assert name.encode() + b"\0" in library, name


async def test_no_interceptors_and_these_options(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []
    real = grpc.aio.server

    def spy(**arguments: object) -> object:
        given.append(arguments)
        return real(**arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(grpc.aio, "server", spy)
    async with running_daemon(max_connections=20) as daemon:
        assert given == [{"options": server_options(daemon.settings)}]


async def test_a_second_daemon_cannot_share_the_port() -> None:
    async with running_daemon() as daemon:
        with pytest.raises(StartError, match="is in use: another daemon"):
            await Daemon(Settings(listen=(daemon.address,), ephemeral=True)).start()


async def test_grpc_itself_would_not_share_the_port_either() -> None:
    # The daemon asks a plain socket first; this shows that the option alone refuses, too.
    async with running_daemon() as daemon:
        server = grpc.aio.server(options=server_options(daemon.settings))
        with pytest.raises(RuntimeError):
            server.add_insecure_port(daemon.address)


async def test_a_message_may_have_one_mebibyte() -> None:
    async with running_daemon() as daemon:
        just = b"\x0a" + bytes([0xFC, 0xFF, 0x3F]) + b"x" * (1024**2 - 4)  # service: a string that fills it
        assert len(just) == 1024**2
        assert (await call(daemon.address, CHECK, just))[0] is grpc.StatusCode.NOT_FOUND
        code, details = await call(daemon.address, CHECK, just + b"x")
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert b"1048577 vs. 1048576" in details


async def test_metadata_has_a_limit_without_chance() -> None:
    async with running_daemon() as daemon:
        for size, expected in ((15_000, grpc.StatusCode.OK), (17_000, grpc.StatusCode.RESOURCE_EXHAUSTED)):
            codes = [(await call(daemon.address, CHECK, metadata=(("k", "v" * size),)))[0] for _ in range(10)]
            assert set(codes) == {expected}


async def test_streams_per_connection_are_limited() -> None:
    async with (
        running_daemon(max_streams_per_connection=5) as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN) as channel,
        grpc.aio.insecure_channel(daemon.address, options=OWN) as other,
    ):
        watches = [server_stream(channel, WATCH) for _ in range(6)]
        reads = [asyncio.ensure_future(watch.read()) for watch in watches]
        done, waiting = await asyncio.wait(reads, timeout=1.0)
        assert (len(done), len(waiting)) == (5, 1), "the sixth waits in the client"
        assert await unary(other, CHECK), "another connection is not touched"
        watches[reads.index(next(iter(done)))].cancel()
        await asyncio.wait(waiting, timeout=5.0)
        assert all(read.done() for read in reads)


async def test_a_silent_socket_is_closed() -> None:
    async with running_daemon(handshake_timeout_s=0.5) as daemon:
        reader, writer = await connect(daemon.address)
        began = time.monotonic()
        while await asyncio.wait_for(reader.read(1000), 5.0):
            pass
        assert 0.3 < time.monotonic() - began < 1.5
        writer.close()


async def accepted(address: str, count: int) -> tuple[int, list[asyncio.StreamWriter]]:
    """How many of `count` new connections the daemon speaks HTTP/2 to."""
    answered, writers = 0, []
    for _ in range(count):
        reader, writer = await connect(address)
        writers.append(writer)
        try:
            writer.write(PREFACE)
            answered += bool(await asyncio.wait_for(reader.read(9), 2.0))
        except ConnectionError:
            pass
    return answered, writers


async def test_connections_are_capped_over_all_addresses() -> None:
    async with running_daemon(max_connections=20, listen=("127.0.0.1:0", "127.0.0.2:0")) as daemon:
        first, writers = await accepted(daemon.addresses[0], 15)
        second, more = await accepted(daemon.addresses[1], 15)
        assert (first, second) == (10, 10), "gRPC counts per listener, so they share"
        for writer in (*writers, *more):
            writer.close()
        await asyncio.sleep(0.5)
        assert (await call(daemon.addresses[0], CHECK))[0] is grpc.StatusCode.OK, "room again"


AGENT = """
import asyncio, sys
from orion_registry.client.client import RegistryClient
from orion_registry.core.model import ServiceSpec
async def main():
    async with RegistryClient(sys.argv[1]) as client:
        spec = ServiceSpec(agent_id="hung", service_name="s", service_id="hung-1", host="127.0.0.1", port=1)
        async with client.session("hung", [spec]):
            await asyncio.sleep(60)
asyncio.run(main())
"""


async def seen_healthy(daemon: Daemon, service_id: str, healthy: bool, timeout_s: float) -> float:
    """Waits until the daemon sees it so; returns the seconds that took."""
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        services = daemon.coordinator.registry.get(service_id) if _knows(daemon, service_id) else None
        if services is not None and services.snapshot.ready is healthy:
            return time.monotonic() - began
        await asyncio.sleep(0.01)
    raise AssertionError(f"{service_id} was not seen with healthy={healthy} within {timeout_s} s")


def _knows(daemon: Daemon, service_id: str) -> bool:
    try:
        daemon.coordinator.registry.get(service_id)
    except NotFound:
        return False
    return True


async def test_a_hung_process_is_cut_within_3_s() -> None:
    async with running_daemon() as daemon:
        agent = await asyncio.create_subprocess_exec(sys.executable, "-c", AGENT, daemon.address)
        try:
            await seen_healthy(daemon, "hung-1", True, 15.0)
            await asyncio.sleep(1.3)  # a beat or two
            agent.send_signal(signal.SIGSTOP)
            seconds = await seen_healthy(daemon, "hung-1", False, 10.0)
            assert seconds < 3.0, seconds
        finally:
            agent.kill()
            await agent.wait()


async def test_pings_of_the_sdk_are_no_abuse() -> None:
    # The default answers pings more often than every 5 minutes with GOAWAY too_many_pings after the third.
    options = (
        ("grpc.keepalive_time_ms", 1_100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )
    async with (
        running_daemon() as daemon,
        grpc.aio.insecure_channel(daemon.address, options=(*OWN, *options)) as channel,
    ):
        watch = server_stream(channel, WATCH)
        assert await message(watch) == b"\x08\x01"
        await asyncio.sleep(6.0)
        assert not watch.done()
        watch.cancel()


async def test_a_flood_of_pings_is_abuse() -> None:
    async with running_daemon() as daemon:
        reader, writer = await connect(daemon.address)
        writer.write(PREFACE + bytes([0, 0, 8, 6, 0, 0, 0, 0, 0, *range(8)]) * 20)
        received = b""
        while chunk := await asyncio.wait_for(reader.read(1000), 5.0):
            received += chunk
        assert b"too_many_pings" in received
        writer.close()


async def test_idle_connections_are_pinged_so_a_vanished_peer_is_cut() -> None:
    # A peer that answers no PING: it completes the handshake, then reads nothing more than the kernel does for it.
    async with running_daemon(keepalive_time_s=0.3, ping_timeout_s=0.5) as daemon:
        reader, writer = await connect(daemon.address)
        writer.write(PREFACE)
        began = time.monotonic()
        received = b""
        try:
            while chunk := await asyncio.wait_for(reader.read(1000), 5.0):
                received += chunk
        except ConnectionError:
            pass
        assert time.monotonic() - began < 2.0
        assert bytes([0, 0, 8, 6, 0]) in received, "there was a PING"
        writer.close()


def test_the_probe_of_the_port_does_not_hold_it() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for _ in range(3):
        try_port(TcpAddress(host="127.0.0.1", port=port))
