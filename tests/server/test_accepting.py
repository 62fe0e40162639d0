"""A path that is not UTF-8 ends its call, and nothing else: grpc.aio's own server shuts down over it."""

from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined] # it has no types

from orion_registry.server.accepting import open_server
from orion_registry.testing.daemon import running_daemon
from tests.fuzz.hostile import line
from tests.server.serving import OWN_CONNECTION

OK, UNIMPLEMENTED = 0, 12
SERVED = b"/orion.registry.v1.RegistryService/DiscoverServices"


def asking(path: bytes) -> bytes:
    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x")]
    headers += [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    return line.begun() + line.request(headers, b"")


@pytest.mark.parametrize("path", [b"/\xff", b"\xff", SERVED + b"\xff", b"/no.Such/Method", b"/"])
async def test_a_path_that_nothing_has_is_unimplemented_whatever_its_bytes(path: bytes, tmp_path: Path) -> None:
    async with running_daemon(listen=("127.0.0.1:0", f"unix:{tmp_path}/s")) as daemon:
        for sent, status in ((path, UNIMPLEMENTED), (SERVED, OK), (path, UNIMPLEMENTED)):
            answer = await (await line.opened(f"{tmp_path}/s")).send(asking(sent), 10.0)
            assert answer.status == status
        async with grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel:
            call: Any = channel.unary_unary(SERVED.decode())
            await call(b"", timeout=10)


@pytest.mark.parametrize("part", ["_handle_rpc", "_schedule_rpc_coro"])
async def test_with_a_grpcio_of_other_parts_the_daemon_serves_and_says_so(
    part: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(cygrpc, part)
    server = open_server(())
    assert type(server._server) is cygrpc.AioServer  # type: ignore[attr-defined]
    assert "not guarded against paths that are not UTF-8" in caplog.text
    await server.stop(None)


async def test_what_fails_for_an_unknown_method_fails_for_that_call_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async with running_daemon(listen=("127.0.0.1:0", f"unix:{tmp_path}/s")) as daemon:
        monkeypatch.setattr(cygrpc, "_handle_rpc", lambda *_: 1 / 0)
        async with grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel:
            unknown: Any = channel.unary_unary("/no.Such/Method")
            with pytest.raises(grpc.aio.AioRpcError):
                await unknown(b"", timeout=0.5)
            monkeypatch.undo()
            call: Any = channel.unary_unary(SERVED.decode())
            await call(b"", timeout=10)
    assert "was not answered" in caplog.text
