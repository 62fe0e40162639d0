"""A hung process is found by HTTP/2 PING alone, and only because of an option that gRPC does not document.

`grpc.keepalive_timeout_ms` is what the documentation names; in grpcio 1.85.1 it is ignored for 60 s and
`grpc.http2.ping_timeout_ms` rules. Nothing but this test would say so if an upgrade changed that.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from orion_registry.server.options import server_options
from orion_registry.server.settings import Settings

PROMISE_S = 3.0
RULES = "grpc.http2.ping_timeout_ms"

CLIENT = """
import asyncio, sys
import grpc.aio

async def beat(address):
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream("/ping.Test/Stream")()
        while True:
            await call.write(b"beat")
            await asyncio.sleep(1.0)

async def main():
    await asyncio.gather(*map(beat, sys.argv[1:]))

asyncio.run(main())
"""


class Peer(grpc.GenericRpcHandler):
    """A server's view of its one client: whether it beats, and whether the stream has ended."""

    def __init__(self) -> None:
        self.beat = asyncio.Event()
        self.ended = asyncio.Event()

    def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def stream(requests: AsyncIterator[bytes], _context: Any) -> None:
            try:
                async for _ in requests:
                    self.beat.set()
            finally:
                self.ended.set()

        return grpc.stream_stream_rpc_method_handler(stream)


@asynccontextmanager
async def serving(options: list[tuple[str, int]]) -> AsyncIterator[tuple[str, Peer]]:
    """A bare server with these options."""
    peer = Peer()
    server = grpc.aio.server(handlers=[peer], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", peer
    await server.stop(None)


@asynccontextmanager
async def client(*addresses: str) -> AsyncIterator[int]:
    """A process that beats to each address; yields its pid."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, *addresses, env={**os.environ, "GRPC_VERBOSITY": "NONE"}
    )
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def test_a_frozen_peer_is_cut_in_time_and_only_because_of_the_ping_timeout() -> None:
    ours = list(server_options(Settings()))
    assert RULES in dict(ours)
    documented = [option for option in ours if option[0] != RULES]
    async with serving(ours) as (one, guarded), serving(documented) as (other, bare), client(one, other) as pid:
        for peer in (guarded, bare):
            peer.beat.clear()
            await asyncio.wait_for(peer.beat.wait(), 20.0)
        await asyncio.sleep(0.6)  # of the keepalive time of 1.2 s: half is over when it freezes, whatever the machine
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(PROMISE_S)
        assert guarded.ended.is_set(), (
            f"a frozen peer was not cut within {PROMISE_S:g} s. If grpcio was upgraded: {RULES} has another name or no "
            "effect now. Look for what sets the 'ping timeout' in chttp2_transport.cc, set it in server/options.py and "
            "client/channel.py, and do not release before this passes: hung agents would stay HEALTHY for a minute"
        )
        assert not bare.ended.is_set(), (
            f"a frozen peer was cut without {RULES}. If grpcio was upgraded: grpc.keepalive_timeout_ms works again as "
            "documented. Nothing is broken; the option and this test may go once every supported grpcio does that"
        )
