"""The gRPC server that the daemon runs, hardened where one call could end it.

grpc.aio decodes the path of each call as UTF-8 in the loop that accepts calls, before any handler: a path that is not
UTF-8 raises there, and the whole server shuts down (seen with grpcio 1.85.1; nobody has to be known for that). So the
methods are registered, which C-core finds by their bytes, and every other path is answered UNIMPLEMENTED unread.

That takes parts of grpcio that are its own. With a grpcio that has others the daemon serves as gRPC does, and says so.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined] # it has no types

Handlers = Mapping[str, Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]]
"""By full service name, then by method name."""

_UNREAD = "/"
_PARTS = ("_handle_rpc", "_schedule_rpc_coro")

log = logging.getLogger("orion_registry")


def open_server(options: Sequence[tuple[str, Any]]) -> grpc.aio.Server:
    """A server that serves nothing yet. Must be called in the event loop that it is to run in."""
    plain = cygrpc.AioServer
    if not (hasattr(plain, "_request_call") and all(hasattr(cygrpc, part) for part in _PARTS)):
        log.warning("not guarded against paths that are not UTF-8", extra={"grpcio": grpc.__version__})
        return grpc.aio.server(options=options)
    cygrpc.AioServer = _Server  # its class cannot be chosen otherwise; nothing runs between these lines
    try:
        return grpc.aio.server(options=options)
    finally:
        cygrpc.AioServer = plain


def serve(server: grpc.aio.Server, handlers: Handlers) -> None:
    """From its start on the server serves these methods, and no others."""
    for service, methods in handlers.items():
        server.add_registered_method_handlers(service, dict(methods))


class _Nothing:
    """Finds no handler."""

    def resolve_handler(self, *_: Any) -> None:
        """Answered UNIMPLEMENTED by gRPC."""


class _Server(cygrpc.AioServer):  # type: ignore[misc] # it has no types
    """Never lets the accepting loop see a call that is of no registered method."""

    async def _request_call(self) -> Any:
        loop, nothing = asyncio.get_running_loop(), _Nothing()
        while True:
            call = await super()._request_call()
            try:
                answer = cygrpc._handle_rpc(_UNREAD, nothing, (), call, loop, False)
                loop.create_task(cygrpc._schedule_rpc_coro(answer, call, loop, _UNREAD))
            except Exception:  # whatever raises here ends the server: this call alone stays unanswered
                log.exception("a call of a method that is not served was not answered")
