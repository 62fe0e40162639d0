"""One connection of an attacker: raw frames of HTTP/2 (RFC 9113) out; what comes back is counted, and acknowledged."""

import asyncio
import re
import ssl
import struct
from collections import Counter
from contextlib import suppress

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CHECK = "/grpc.health.v1.Health/Check"
DISCOVER = "/orion.registry.v1.RegistryService/DiscoverServices"
WATCH = "/orion.registry.v1.RegistryService/WatchServices"
REGISTER = "/orion.registry.v1.RegistryService/RegisterService"
HEARTBEAT = "/orion.registry.v1.RegistryService/Heartbeat"
INITIAL_WINDOW = 4
CONNECT_S = 5.0
_NAMES = {HEADERS: "HEADERS", RST_STREAM: "RST_STREAM", GOAWAY: "GOAWAY", DATA: "DATA"}
_STATUS = re.compile(rb"grpc-status[\x01\x02](\d+)")
"""Of trailers in the plain: a server that was told not to index (SETTINGS_HEADER_TABLE_SIZE 0) writes names out."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def setting(name: int, value: int) -> bytes:
    """One setting, as SETTINGS carry it."""
    return struct.pack(">HL", name, value)


def block(path: str, extra: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The header block of a gRPC request, which needs no state on the other side and leaves none."""
    headers = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "attacker"),
               ("content-type", "application/grpc"), ("te", "trailers"), *extra]  # fmt: skip
    return b"".join(literal(name.encode(), value.encode()) for name, value in headers)


def literal(name: bytes, value: bytes, head: int = 0x00) -> bytes:
    """A header field as plain text (RFC 7541 section 6.2); head: 0x00 = it is not to be indexed, 0x40 = it is."""
    return bytes((head,)) + _length(len(name)) + name + _length(len(value)) + value


def _length(number: int) -> bytes:
    """A length of HPACK, in 7 bits and what comes after (RFC 7541 section 5.1)."""
    if number < 127:
        return bytes((number,))
    parts = [127]
    number -= 127
    while number >= 128:
        parts.append(number % 128 + 128)
        number //= 128
    return bytes((*parts, number))


def message(data: bytes = b"") -> bytes:
    """A gRPC message: flag, length, bytes."""
    return struct.pack(">BL", 0, len(data)) + data


class Line:
    """One connection. It acknowledges SETTINGS and PING, so that it is not cut for silence, unless told not to.

    Attributes:
        seen: frames that came, by name; statuses of calls as "grpc-status N".
        over: whether the other side has closed it.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Counter[str]) -> None:
        self._reader = reader
        self._writer = writer
        self._next = 1
        self.seen = seen
        self.over = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, address: str, seen: Counter[str], settings: bytes = b"", *, tls: ssl.SSLContext | None = None
    ) -> "Line":
        """Connects and says what a client says first. Raises OSError if it is not let in."""
        host, _, port = address.rpartition(":")
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                host, int(port), ssl=tls, server_hostname="localhost" if tls else None
            )
        line = cls(reader, writer, seen)
        await line.send(PREFACE + frame(SETTINGS, 0, 0, setting(1, 0) + settings))
        return line

    def stream(self) -> int:
        """The number of the next stream."""
        number, self._next = self._next, self._next + 2
        return number

    async def send(self, data: bytes) -> bool:
        """Sends bytes; False = the other side has closed it."""
        if self.over:
            return False
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (OSError, ssl.SSLError):
            self.over = True
        return not self.over

    async def _read(self) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                self._take(head[3], head[4], payload)
        self.over = True

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self._writer.write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._writer.write(frame(PING, ACK, 0, payload))
        if kind in _NAMES:
            self.seen[_NAMES[kind]] += 1
        if kind == HEADERS and (found := _STATUS.search(payload)):
            self.seen[f"grpc-status {int(found[1])}"] += 1

    async def ended(self, within_s: float) -> bool:
        """Whether the other side closes it in time."""
        await asyncio.wait({self._reading}, timeout=within_s)
        return self.over

    async def close(self) -> None:
        """Goes away without a word."""
        self._reading.cancel()
        self._writer.transport.abort()
        await asyncio.wait({self._reading})
