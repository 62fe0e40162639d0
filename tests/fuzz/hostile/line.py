"""One connection of raw HTTP/2 bytes to the daemon's Unix socket, and what it answers."""

import asyncio
from dataclasses import dataclass, field

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRAME_MAX = 16_384
SEEN = b"seen-all"
ROOM = 1 << 20
UNKNOWN, INTERNAL = 2, 13


@dataclass(slots=True)
class Answer:
    """How a call, or its connection, ended.

    Attributes:
        status: grpc-status; None = there was none. http: the HTTP status; empty = there was none.
        end: "status", "reset", "goaway", "closed", or "open": it answered a PING and went on.
        message: grpc-message, as it came.
    """

    status: int | None = None
    http: str = ""
    end: str = "open"
    message: bytes = b""

    @property
    def is_ours(self) -> bool:
        """Whether an INTERNAL or UNKNOWN was made above C-core: by a handler, the wrapper, or grpc.aio."""
        above = self.message.startswith((b"internal error", b"Unexpected "))
        return self.status == UNKNOWN or (self.status == INTERNAL and above)

    @property
    def told(self) -> str:
        """For the tally."""
        if self.status is not None:
            return f"grpc-status {self.status}"
        return f"HTTP {self.http}" if self.http not in {"", "200"} else self.end


@dataclass(slots=True)
class Line:
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    decoder: hpack.Decoder = field(default_factory=hpack.Decoder)

    async def send(self, data: bytes, timeout_s: float) -> Answer:
        """Sends bytes, then a PING; reads until a status, an end, the PING's answer and a little more, or the time."""
        answer = Answer()
        try:
            self.writer.write(data)
            await asyncio.wait_for(self._read(answer), timeout_s)
        except (ConnectionError, asyncio.IncompleteReadError):
            answer.end = "closed" if answer.end == "open" else answer.end
        except TimeoutError:
            pass
        finally:
            self.writer.close()
        return answer

    async def _read(self, answer: Answer) -> None:
        while True:
            head = await self.reader.readexactly(9)
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            payload = await self.reader.readexactly(size)
            match kind:
                case 1 if flags & END_HEADERS:  # HEADERS
                    self._headers(answer, payload)
                    if answer.status is not None or flags & END_STREAM:
                        answer.end = "status"
                        return
                case 3:  # RST_STREAM
                    answer.end = "reset"
                    return
                case 4 if not flags & ACK:  # SETTINGS
                    self.writer.write(frame(SETTINGS, ACK, 0, b""))
                case 6 if flags & ACK and payload == SEEN:  # PING
                    return
                case 7:  # GOAWAY
                    answer.end = "goaway"
                    return

    def _headers(self, answer: Answer, payload: bytes) -> None:
        for name, value in self.decoder.decode(payload, raw=True):
            if name == b"grpc-status":
                answer.status = int(value)
            elif name == b"grpc-message":
                answer.message = value
            elif name == b":status":
                answer.http = value.decode()


async def opened(socket: str) -> Line:
    """Connects."""
    reader, writer = await asyncio.open_unix_connection(socket, limit=ROOM)
    return Line(reader, writer)


def begun() -> bytes:
    """What a connection begins with."""
    return PREFACE + frame(SETTINGS, 0, 0, b"")


def ping() -> bytes:
    """What is answered once all before it has been seen to."""
    return frame(PING, 0, 0, SEEN)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame (RFC 9113 section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def request(headers: list[tuple[bytes, bytes]], body: bytes, stream: int = 1) -> bytes:
    """A call: its headers, as many frames as they need, and one message."""
    block = b"".join(literal(name, value) for name, value in headers)
    pieces = [block[at : at + FRAME_MAX] for at in range(0, len(block), FRAME_MAX)] or [b""]
    sent = b""
    for number, piece in enumerate(pieces):
        kind, last = (CONTINUATION if number else HEADERS), number == len(pieces) - 1
        sent += frame(kind, END_HEADERS if last else 0, stream, piece)
    return sent + frame(DATA, END_STREAM, stream, message(body))


def message(data: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message: flag, length, bytes."""
    return bytes((compressed,)) + len(data).to_bytes(4, "big") + data


def literal(name: bytes, value: bytes) -> bytes:
    """A header that is not indexed, without Huffman (RFC 7541 section 6.2.2)."""
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def _length(size: int) -> bytes:
    """An integer with a prefix of 7 bits (RFC 7541 section 5.1)."""
    if size < 127:
        return bytes((size,))
    rest, sent = size - 127, bytearray((127,))
    while rest >= 128:
        sent.append(rest % 128 + 128)
        rest //= 128
    sent.append(rest)
    return bytes(sent)
