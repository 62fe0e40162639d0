"""Connections of malformed HTTP/2 frames: of every type, with lengths, flags and streams that do not belong."""

import random

from tests.fuzz.hostile import line
from tests.fuzz.hostile.headers import PATH

_STREAMS = (0, 1, 1, 3, 5, 2, 0x7FFFFFFF, 0x80000001)
_CALL = [
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", PATH), (b":authority", b"x"),
    (b"content-type", b"application/grpc"), (b"te", b"trailers"),
]  # fmt: skip


class FrameMaker:
    """Makes connections from a seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def make(self) -> tuple[bytes, int]:
        """The bytes of one connection, and how many frames are in it."""
        rng = self._rng
        frames = [self._frame() for _ in range(rng.randrange(1, 9))]
        begin = line.begun()
        if rng.random() < 0.05:  # no preface, a broken one, HTTP/1
            begin = rng.choice((b"", line.PREFACE[:-1], b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", rng.randbytes(24)))
        return begin + b"".join(frames), len(frames)

    def _frame(self) -> bytes:
        rng = self._rng
        match rng.randrange(8):
            case 0:  # a good call among the bad frames
                return line.request(_CALL, b"", rng.choice((1, 3, 5)))
            case 1:  # a good call, broken
                broken = bytearray(line.request(_CALL, b"", 1))
                for _ in range(rng.randrange(1, 4)):
                    broken[rng.randrange(len(broken))] = rng.randrange(256)
                return bytes(broken)
            case 2:  # cut short, so that the next frame stands within this one
                data = line.request(_CALL, b"", 1)
                return data[: rng.randrange(len(data))]
            case 3:  # settings of any sort
                pairs = b"".join(
                    rng.randrange(1, 9).to_bytes(2, "big") + rng.randbytes(4) for _ in range(rng.randrange(5))
                )
                return line.frame(
                    line.SETTINGS,
                    rng.choice((0, 1)),
                    rng.choice((0, 0, 1)),
                    pairs + rng.randbytes(rng.choice((0, 0, 1))),
                )
            case 4:  # HPACK that is none
                return line.frame(
                    line.HEADERS, rng.choice((4, 5, 0, 0x2D)), rng.choice((1, 3)), rng.randbytes(rng.randrange(60))
                )
            case 5:  # a length that lies
                size = rng.choice((0, 1, 16_385, 2**24 - 1))
                return (
                    size.to_bytes(3, "big")
                    + bytes((rng.randrange(12), rng.randrange(256)))
                    + rng.randbytes(4 + rng.randrange(9))
                )
            case _:
                payload = rng.randbytes(rng.choice((0, 1, 4, 5, 8, 9, rng.randrange(200))))
                return line.frame(
                    rng.randrange(12), rng.choice((0, 1, 4, 8, 0x20, rng.randrange(256))), rng.choice(_STREAMS), payload
                )
