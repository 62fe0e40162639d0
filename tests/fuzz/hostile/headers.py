"""Calls with headers that no client library sends: metadata, pseudo-headers, and what gRPC and tokens are made of."""

import random
from dataclasses import dataclass

from tests.fuzz.hostile import line

PATH = b"/orion.registry.v1.RegistryService/DiscoverServices"
Headers = list[tuple[bytes, bytes]]
_ODD = (b"\x00", b"\r\n", b"\n", b"\xff", b"\xc3\xa4", b"\xe2\x80\xae", b" ", b"\t", b"", b"\x7f", b"%00", b",", b";")
_SPOOFED = (b"x-forwarded-for", b"forwarded", b"x-real-ip", b"x-orion-identity", b"x-forwarded-client-cert", b"host",
            b"user-agent", b"proxy-authorization", b"cookie", b"authorization-bin", b"x-authorization",
            b"grpc-previous-rpc-attempts", b"grpc-tags-bin", b"grpc-trace-bin")  # fmt: skip
_TIMEOUTS = (b"0n", b"-1S", b"99999999H", b"999999999S", b"1", b"S", b"1s", b"\xff", b"1 S", b"", b"00000001S", b"1e3S")
_TYPES = (b"application/grpc+proto", b"application/grpc+json", b"text/html", b"", b"application/grpc;x",
          b"application/grpc-web", b"APPLICATION/GRPC", b"application/grpc" * 99)  # fmt: skip
_ENCODINGS = (b"gzip", b"deflate", b"identity", b"rot13", b"", b"gzip,gzip", b"\xff")
_TES = (b"", b"trailers, deflate", b"gzip", b"TRAILERS", b"\xff")
_METHODS = (b"GET", b"PUT", b"", b"POST ", b"CONNECT", b"OPTIONS", b"post")
_PATHS = (b"", b"/", b"//", b"*", PATH + b"/", PATH + b"?x=1", PATH.lower(), PATH.replace(b"/", b"//", 1),
          b"/../" + PATH,
          b"/grpc.health.v1.Health/Check" + b"\x00", b"http://x" + PATH, b"/" + b"a" * 9_000, b"\xff/\xfe")  # fmt: skip
_AUTHORITIES = (b"", b"localhost", b"127.0.0.1:1", b"evil.example", b"user@host", b"a" * 9_000, b"\xff", b"[::1]")


@dataclass(slots=True)
class Made:
    """A call. kind: what is odd; must_fail: it shows a token that is none."""

    kind: str
    data: bytes
    must_fail: bool = False


class HeaderMaker:
    """Makes calls from a seed."""

    def __init__(self, rng: random.Random, token: str, dead: tuple[str, ...]) -> None:
        self._rng = rng
        self._token = token.encode()
        self._dead = tuple(text.encode() for text in dead)
        self._kinds = (
            self._metadata, self._huge, self._duplicate, self._binary, self._authorization, self._timeout,
            self._encoding, self._content_type, self._te, self._pseudo, self._spoofed, self._many,
        )  # fmt: skip

    def make(self) -> Made:
        """The next one."""
        headers: Headers = [
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", PATH), (b":authority", b"x"),
            (b"content-type", b"application/grpc"), (b"te", b"trailers"),
        ]  # fmt: skip
        kind = self._rng.choice(self._kinds)
        made = Made(kind.__name__.strip("_"), b"")
        body = kind(headers, made) or b""
        made.data = line.begun() + line.request(headers, body)
        return made

    def _junk(self, most: int = 40) -> bytes:
        return self._rng.randbytes(self._rng.randrange(most + 1))

    def _text(self) -> bytes:
        rng = self._rng
        return rng.choice((self._junk(), b"v" * rng.randrange(200), rng.choice(_ODD), b"a" + rng.choice(_ODD) + b"b"))

    def _metadata(self, headers: Headers, _made: Made) -> None:
        name = self._rng.choice((self._text(), b"x-" + self._text(), b"X-Upper", b":unknown", b"grpc-unknown"))
        headers.append((name, self._text()))

    def _huge(self, headers: Headers, _made: Made) -> None:
        headers.append((b"x-huge", b"v" * self._rng.choice((8_000, 8_192, 16_384, 17_000, 70_000))))

    def _many(self, headers: Headers, _made: Made) -> None:
        headers.extend((f"x-{number}".encode(), b"v") for number in range(self._rng.choice((10, 100, 1_000))))

    def _duplicate(self, headers: Headers, _made: Made) -> None:
        name, value = self._rng.choice(headers)
        headers.insert(self._rng.randrange(len(headers) + 1), (name, self._rng.choice((value, self._text()))))

    def _binary(self, headers: Headers, made: Made) -> None:
        value = self._rng.choice((b"%%%", b"AAAA", b"A", self._junk(), b"AA==", b"A" * 4_000))
        headers.append((b"x-bin", value))

    def _authorization(self, headers: Headers, made: Made) -> None:
        rng, token = self._rng, self._token
        dead = rng.choice(self._dead)
        values = (
            b"", b"Bearer", b"Bearer ", token, b"bearer " + token, b"BEARER " + token, b"Basic " + token,
            b"Bearer  " + token, b"Bearer\t" + token, b" Bearer " + token + b"x", b"Bearer " + token + b"," + token,
            b"Bearer " + token[:-1], b"Bearer " + token + b"=", b"Bearer " + token.upper(), b"Bearer " + token[::-1],
            b"Bearer " + dead, b"Bearer " + self._junk(), b"Bearer " + b"A" * rng.choice((60, 4_000)),
            b"Token " + token,
            b"Bearer orion_" + token, b"Bearer orion__", b"Bearer " + token.replace(b"_", b"-"), self._text(),
        )  # fmt: skip
        headers.append((b"authorization", rng.choice(values)))
        if rng.random() < 0.1:  # twice, one of them good
            headers.append((b"authorization", b"Bearer " + token))
        made.must_fail = True

    def _timeout(self, headers: Headers, made: Made) -> None:
        headers.append((b"grpc-timeout", self._rng.choice((*_TIMEOUTS, self._text()))))

    def _encoding(self, headers: Headers, made: Made) -> bytes:
        name = self._rng.choice((b"grpc-encoding", b"grpc-accept-encoding", b"content-encoding"))
        headers.append((name, self._rng.choice((*_ENCODINGS, self._text()))))
        return self._junk(3)

    def _content_type(self, headers: Headers, _made: Made) -> None:
        headers[4] = (b"content-type", self._rng.choice((*_TYPES, self._text())))
        if self._rng.random() < 0.2:
            del headers[4]

    def _te(self, headers: Headers, _made: Made) -> None:
        headers[5] = (b"te", self._rng.choice((*_TES, self._text())))
        if self._rng.random() < 0.2:
            del headers[5]

    def _pseudo(self, headers: Headers, _made: Made) -> None:
        rng = self._rng
        at = rng.randrange(4)
        values = (_METHODS, (b"https", b"", b"ftp", b"\xff"), _PATHS, _AUTHORITIES)[at]
        headers[at] = (headers[at][0], rng.choice((*values, self._text())))
        if rng.random() < 0.2:
            del headers[at]
        if rng.random() < 0.2:
            rng.shuffle(headers)

    def _spoofed(self, headers: Headers, _made: Made) -> None:
        value = self._rng.choice(
            (b"127.0.0.1", b"for=127.0.0.1", b"URI=spiffe://fleet/right", b"Bearer " + self._token)
        )
        headers.append((self._rng.choice(_SPOOFED), value))
