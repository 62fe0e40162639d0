"""A bare grpc.aio server with the registry's channel options: what a mass kill costs before any work of ours.

A child: prints {"address": ...}; for each line on stdin it prints {"ended": N, "last": MONO} for the streams that ended
since, and forgets them.
"""

import asyncio
import gc
import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio

from orion_registry.server.options import server_options
from orion_registry.server.settings import Settings
from tests.e2e.fleet import BARE_METHOD, raise_open_files_limit


class BareServer(grpc.GenericRpcHandler):
    """Reads frames; notes when each stream's handler ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self._handler: Any = grpc.stream_stream_rpc_method_handler(self._stream)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """See grpc."""
        return self._handler if handler_call_details.method == BARE_METHOD else None

    async def _stream(self, _messages: Any, context: Any) -> None:
        try:
            hello = await context.read()
            await context.write(hello)
            while await context.read() is not grpc.aio.EOF:
                pass
        finally:
            self.ends.append(time.monotonic())


async def run() -> None:
    """Serves until stdin ends."""
    bare = BareServer()
    server = grpc.aio.server(options=server_options(Settings()))
    server.add_generic_rpc_handlers((bare,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    gc.collect()
    gc.freeze()  # as the daemon does
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while await stdin.readline():
        ends, bare.ends = bare.ends, []
        print(json.dumps({"ended": len(ends), "last": max(ends, default=0.0)}), flush=True)
    await server.stop(None)


if __name__ == "__main__":
    raise_open_files_limit()
    asyncio.run(run())
