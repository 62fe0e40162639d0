"""Promise 11's exceptions: five framings that gRPC's C-core answers itself, before any code of ours runs.

They are listed so that a change of the library is noticed. What reaches our code is never INTERNAL or UNKNOWN.
"""

import pytest

from orion_registry.testing.daemon import running_daemon
from tests.fuzz.raw_http2 import call, message

PATH = "/orion.registry.v1.RegistryService/GetService"
ASK = b"\n\x01a"  # service_id "a"
NOT_FOUND, INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL = 5, 3, 12, 13

BY_C_CORE = {
    "compressed flag without an encoding": ({}, message(ASK, compressed=True), INTERNAL),
    "bad gzip": ({"grpc-encoding": "gzip"}, message(b"no gzip", compressed=True), INTERNAL),
    "unknown encoding": ({"grpc-encoding": "rot13"}, message(ASK, compressed=True), INTERNAL),
    "bad timeout": ({"grpc-timeout": "soon"}, message(ASK), INTERNAL),
    "bad base64": ({"x-bin": "%%%"}, message(ASK), INTERNAL),
}


async def test_a_framing_that_is_fine_reaches_the_registry() -> None:
    async with running_daemon() as daemon:
        assert await call(daemon.address, PATH, message(ASK), {}) == NOT_FOUND
        assert await call(daemon.address, PATH, message(b"\xff"), {}) == INVALID_ARGUMENT


@pytest.mark.parametrize("name", BY_C_CORE)
async def test_c_core_answers_malformed_framings_itself(name: str) -> None:
    headers, body, status = BY_C_CORE[name]
    async with running_daemon() as daemon:
        assert await call(daemon.address, PATH, body, headers) == status
        assert await call(daemon.address, PATH, message(ASK), {}) == NOT_FOUND  # and goes on
