"""Promise 11's exceptions: three classes of framings that gRPC's C-core answers INTERNAL, before any code of ours runs.

They are what no client library sends: messages whose compression is not as they say; headers that gRPC reads, with a
value that it cannot read; names that are none. Each is listed so that a change of the library is noticed. What reaches
our code is never INTERNAL or UNKNOWN.
"""

from pathlib import Path

import pytest

from orion_registry.testing.daemon import running_daemon
from tests.fuzz.hostile import line
from tests.fuzz.raw_http2 import call, message

PATH = "/orion.registry.v1.RegistryService/GetService"
ASK = b"\n\x01a"  # service_id "a"
NOT_FOUND, INVALID_ARGUMENT, INTERNAL = 5, 3, 13

COMPRESSION = {
    "compressed flag without an encoding": ({}, message(ASK, compressed=True)),
    "bad gzip": ({"grpc-encoding": "gzip"}, message(b"no gzip", compressed=True)),
    "unknown encoding": ({"grpc-encoding": "rot13"}, message(ASK, compressed=True)),
}
VALUES = {
    "timeout": {"grpc-timeout": "soon"},
    "attempts": {"grpc-previous-rpc-attempts": "x"},
    "base64": {"x-bin": "%%%"},
    "te": {"te": "gzip"},
    "empty te": {"te": ""},
    "scheme": {":scheme": "ftp"},
    "method": {":method": "post"},
}
NAMES = {
    "upper case": {"X-Upper": "v"},
    "space": {"x y": "v"},
    "NUL": {"x\0": "v"},
    "not ASCII": {"x\xe4": "v"},
    "empty": {"": "v"},
    "unknown pseudo-header": {":x": "v"},
}
BY_C_CORE = {
    **{f"compression: {name}": framing for name, framing in COMPRESSION.items()},
    **{f"value: {name}": (headers, message(ASK)) for name, headers in VALUES.items()},
    **{f"name: {name}": (headers, message(ASK)) for name, headers in NAMES.items()},
}
NEEDED = (b":method", b":scheme", b":path", b":authority", b"te")


async def test_a_framing_that_is_fine_reaches_the_registry() -> None:
    async with running_daemon() as daemon:
        assert await call(daemon.address, PATH, message(ASK), {}) == NOT_FOUND
        assert await call(daemon.address, PATH, message(b"\xff"), {}) == INVALID_ARGUMENT


@pytest.mark.parametrize("name", BY_C_CORE)
async def test_c_core_answers_malformed_framings_itself(name: str) -> None:
    headers, body = BY_C_CORE[name]
    async with running_daemon() as daemon:
        assert await call(daemon.address, PATH, body, headers) == INTERNAL
        assert await call(daemon.address, PATH, message(ASK), {}) == NOT_FOUND  # and goes on


async def test_what_lacks_a_header_that_every_call_has_is_no_call(tmp_path: Path) -> None:
    """It is reset, without a status: a web page, which cannot send te, gets as far as this (threat 7)."""
    whole = {b":method": b"POST", b":scheme": b"http", b":path": PATH.encode(), b":authority": b"x", b"te": b"trailers"}
    async with running_daemon(listen=(f"unix:{tmp_path}/s",)):
        for lacking in NEEDED:
            headers = [item for item in whole.items() if item[0] != lacking]
            answer = await (await line.opened(f"{tmp_path}/s")).send(line.begun() + line.request(headers, ASK), 10.0)
            assert (answer.status, answer.end) == (None, "reset"), lacking
        answer = await (await line.opened(f"{tmp_path}/s")).send(
            line.begun() + line.request([*whole.items()], ASK), 10.0
        )
        assert answer.status == NOT_FOUND
