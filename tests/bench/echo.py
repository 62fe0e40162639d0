"""The reference: a bare grpc.aio server in a process of its own, with the daemon's channel options and nothing else.

/bare/Unary   answers any request with N bytes; N is the method's argument: /bare/Unary/4096
/bare/Echo    a bidi stream that answers each message with N bytes: /bare/Echo/4096
/bare/Read    a bidi stream that reads to the end and answers nothing
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from orion_registry.server.daemon import settle_memory
from orion_registry.server.options import server_options
from orion_registry.server.settings import Settings

UNARY, READ, ECHO = "/bare/Unary", "/bare/Read", "/bare/Echo"


class Bare(grpc.GenericRpcHandler):
    """Identity (de)serialisers, like the daemon's."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {READ: grpc.stream_stream_rpc_method_handler(_read)}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Finds the handler by path, as the daemon does."""
        path = handler_call_details.method
        if path not in self._handlers:
            answer = bytes(int(path.rpartition("/")[2]))
            if path.startswith(ECHO):
                self._handlers[path] = grpc.stream_stream_rpc_method_handler(_echo(answer))
            else:
                self._handlers[path] = grpc.unary_unary_rpc_method_handler(_answer(answer))
        return self._handlers[path]


def _answer(answer: bytes) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def call(_data: bytes, _context: Any) -> bytes:
        return answer

    return call


def _echo(answer: bytes) -> Callable[[Any, Any], Awaitable[None]]:
    async def call(_messages: Any, context: Any) -> None:
        while await context.read() is not grpc.aio.EOF:
            await context.write(answer)

    return call


async def _read(_messages: Any, context: Any) -> None:
    while await context.read() is not grpc.aio.EOF:
        pass


async def serve() -> None:
    """Serves until it is killed."""
    server = grpc.aio.server(options=server_options(Settings()))
    server.add_generic_rpc_handlers((Bare(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settle_memory()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
