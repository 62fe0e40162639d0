"""Real targets for probes, good ones and bad ones, on 127.0.0.1."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2_grpc

CERTS = Path(__file__).parent / "certs"
CA = str(CERTS / "ca.pem")

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, "Seen"], Awaitable[None]]


@dataclass(slots=True)
class Seen:
    """What a target saw."""

    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    sent: int = 0
    server_names: list[str | None] = field(default_factory=list)


@dataclass(slots=True)
class Target:
    port: int
    seen: Seen


def answer(status: str = "200 OK", headers: tuple[str, ...] = (), body: bytes = b"ok") -> Behaviour:
    """Answers as told."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        await writer.drain()

    return behave


def raw(data: bytes) -> Behaviour:
    """Sends bytes as they are and closes."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        writer.write(data)
        await writer.drain()

    return behave


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter, seen: Seen) -> None:
    """Says nothing until the other side goes."""
    await reader.read()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    """Drops the connection with a reset."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


def drip(head: bytes, then: bytes, pause_s: float) -> Behaviour:
    """Sends `head` at once and then one byte each `pause_s`, for ever."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        writer.write(head)
        while True:
            for byte in then:
                writer.write(bytes((byte,)))
                await writer.drain()
                seen.sent += 1
                await asyncio.sleep(pause_s)

    return behave


def flood(head: bytes, size: int) -> Behaviour:
    """Sends `size` bytes as fast as they are taken; counts what its kernel took."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(head)
        chunk = b"x" * 16_384
        while seen.sent < size:
            writer.write(chunk)
            await writer.drain()
            seen.sent += len(chunk)

    return behave


@contextlib.asynccontextmanager
async def http(behaviour: Behaviour, *, cert: str = "", port: int = 0) -> AsyncIterator[Target]:
    """A server that reads the head of a request and behaves."""
    seen = Seen()

    open_ones: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        open_ones[writer] = asyncio.current_task()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            seen.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await behaviour(reader, writer, seen)
        writer.close()

    context = None
    if cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTS / cert)
        context.sni_callback = lambda _socket, name, _context: seen.server_names.append(name)
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    try:
        yield Target(port=server.sockets[0].getsockname()[1], seen=seen)
    finally:
        server.close()
        for writer, task in open_ones.items():
            writer.transport.abort()
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, open_ones.values()), return_exceptions=True)


@contextlib.contextmanager
def listener(*, backlog: int = 16) -> Iterator[int]:
    """Accepts connections (the kernel does) and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(backlog)
        yield listening.getsockname()[1]


def refusing() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def grpc_health(
    *, cert: str = "", with_health: bool = True
) -> AsyncIterator[tuple[int, health.aio.HealthServicer]]:
    """A gRPC server with grpc.health.v1."""
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    if with_health:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if cert:
        pem = (CERTS / cert).read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pem, pem)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port, servicer
    finally:
        await server.stop(None)
