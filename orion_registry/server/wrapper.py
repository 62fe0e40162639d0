"""The one wrapper around every RPC: bytes -> request -> Actor -> handler -> bytes, and errors -> statuses.

Handlers are registered with identity (de)serialisers: with stock ones, bytes that are no protobuf are answered UNKNOWN
and a traceback before any code of ours runs.
"""

from __future__ import annotations  # grpc.RpcMethodHandler is generic for type checkers alone

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc

from orion_registry.errors import Reason, Unavailable
from orion_registry.server.accepting import Handlers as Served
from orion_registry.server.door import NOT_SERVING_RETRY_S, Door
from orion_registry.server.identity import Context
from orion_registry.server.methods import Kind, Method
from orion_registry.server.stream import Stream, fail, parse_request, parser_of

Handler = Callable[..., Any]
"""By the method's kind; `request` is of the method's class, answers are serialised messages:

UNARY          handler(request, actor) -> bytes or Awaitable[bytes]
SERVER_STREAM  async handler(request, actor, stream) -> None
CLIENT_STREAM  async handler(actor, stream) -> bytes; the stream is for reading alone
BIDI           async handler(actor, stream) -> None

All may raise RegistryError. Returning from a stream handler ends the stream with OK.
"""
WAIT = "wait_timeout"
"""Field of requests whose answer may take as long as it says; their handlers are async."""
Handlers = Mapping[str, Mapping[str, Handler]]
"""Handlers by full service name, then by method name."""


def build_handlers(table: Iterable[Method], handlers: Handlers, door: Door) -> Served:
    """What serves the table: for `accepting.open_server`.

    Raises:
        ValueError: a method of the table has no handler, or a handler no method.
    """
    methods = {(method.service, method.name): method for method in table}
    given = {(service, name): handler for service, named in handlers.items() for name, handler in named.items()}
    if missing := sorted(methods.keys() - given.keys()):
        raise ValueError(f"methods without a handler: {missing}")
    if unknown := sorted(given.keys() - methods.keys()):
        raise ValueError(f"handlers without a method: {unknown}")
    served: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {service: {} for service, _ in methods}
    for (service, name), method in methods.items():
        served[service][name] = _wrap(method, given[service, name], door)
    return served


def stopping() -> Unavailable:
    """What a stream that would go on for ever ends with when the registry stops."""
    return Unavailable(Reason.NOT_SERVING, "the registry is stopping", retry_after_s=NOT_SERVING_RETRY_S)


def _wrap(method: Method, handler: Handler, door: Door) -> grpc.RpcMethodHandler[bytes, bytes]:
    match method.kind:
        case Kind.UNARY:
            return grpc.unary_unary_rpc_method_handler(_unary(method, handler, door))
        case Kind.SERVER_STREAM:
            return grpc.unary_stream_rpc_method_handler(_server_stream(method, handler, door))
        case Kind.CLIENT_STREAM:
            return grpc.stream_unary_rpc_method_handler(_client_stream(method, handler, door))
        case Kind.BIDI:
            return grpc.stream_stream_rpc_method_handler(_bidi(method, handler, door))


def _unary(method: Method, handler: Handler, door: Door) -> Callable[[bytes, Context], Awaitable[bytes]]:
    admit, check, parse = door.admission(method), door.check(method), parser_of(method)
    is_async = inspect.iscoroutinefunction(handler)
    may_wait = WAIT in method.request.DESCRIPTOR.fields_by_name

    async def call(data: bytes, context: Context) -> bytes:
        try:
            actor = admit(context)
            request = parse_request(parse, data)
            check(request, actor)
            answer: bytes
            if may_wait and request.HasField(WAIT):  # as long as a stream: who may do it no more is not to wait on
                with door.holding(Stream(method, door, check, context, actor, request)):
                    answer = await handler(request, actor)
            else:
                answer = (await handler(request, actor)) if is_async else handler(request, actor)
            return answer
        except Exception as error:  # noqa: BLE001 - the one place where every failure becomes a status
            await fail(method, door, context, error)

    return call


def _server_stream(method: Method, handler: Handler, door: Door) -> Callable[[bytes, Context], Awaitable[None]]:
    admit, check, parse = door.admission(method), door.check(method), parser_of(method)

    async def call(data: bytes, context: Context) -> None:
        try:
            actor = admit(context)
            request = parse_request(parse, data)
            check(request, actor)
            # Else the first write carries the metadata, and while it is blocked no status can be sent: gRPC's core
            # refuses a second batch with metadata in it (TOO_MANY_OPERATIONS).
            await context.send_initial_metadata(())
            stream = Stream(method, door, check, context, actor, request)
            with door.holding(stream):
                door.judge(stream)  # what it was let in with may have been revoked while the metadata was sent
                await handler(request, actor, stream)
        except Exception as error:  # noqa: BLE001 - see _unary
            await fail(method, door, context, error)

    return call


def _client_stream(method: Method, handler: Handler, door: Door) -> Callable[[Any, Context], Awaitable[bytes]]:
    admit, check = door.admission(method), door.check(method)

    async def call(_messages: Any, context: Context) -> bytes:
        try:
            actor = admit(context)
            stream = Stream(method, door, check, context, actor)
            with door.holding(stream):
                answer: bytes = await handler(actor, stream)
            return answer
        except Exception as error:  # noqa: BLE001 - see _unary
            await fail(method, door, context, error)

    return call


def _bidi(method: Method, handler: Handler, door: Door) -> Callable[[Any, Context], Awaitable[None]]:
    admit, check = door.admission(method), door.check(method)

    async def call(_messages: Any, context: Context) -> None:
        try:
            actor = admit(context)
            stream = Stream(method, door, check, context, actor)
            with door.holding(stream):
                await handler(actor, stream)
        except Exception as error:  # noqa: BLE001 - see _unary
            await fail(method, door, context, error)

    return call
