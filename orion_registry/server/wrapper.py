"""The one wrapper around every RPC: bytes -> request -> Actor -> handler -> bytes, and errors -> statuses.

Handlers are registered with identity (de)serialisers: with stock ones, bytes that are no protobuf are answered UNKNOWN
and a traceback before any code of ours runs.
"""

from __future__ import annotations  # grpc.RpcMethodHandler is generic for type checkers alone

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.runtime.clock import stopwatch
from orion_registry.server.accepting import Handlers as Served
from orion_registry.server.door import NOT_SERVING_RETRY_S, Door
from orion_registry.server.identity import Context
from orion_registry.server.methods import Kind, Method
from orion_registry.server.rpc_tally import CANCELLED, INTERNAL, OK, MethodTally, RpcTally
from orion_registry.server.stream import Stream, fail, parse_request, parser_of

if TYPE_CHECKING:
    from orion_registry.server.tracing import Tracing

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


def build_handlers(
    table: Iterable[Method],
    handlers: Handlers,
    door: Door,
    tally: RpcTally | None = None,
    tracing: Tracing | None = None,
) -> Served:
    """What serves the table: for `accepting.open_server`. tally counts calls, tracing makes spans; None = nobody does.

    Raises:
        ValueError: a method of the table has no handler, or a handler no method.
    """
    methods = {(method.service, method.name): method for method in table}
    given = {(service, name): handler for service, named in handlers.items() for name, handler in named.items()}
    if missing := sorted(methods.keys() - given.keys()):
        raise ValueError(f"methods without a handler: {missing}")
    if unknown := sorted(given.keys() - methods.keys()):
        raise ValueError(f"handlers without a method: {unknown}")
    counts = {} if tally is None else tally.methods
    served: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {service: {} for service, _ in methods}
    for (service, name), method in methods.items():
        served[service][name] = _wrap(method, given[service, name], door, counts.get(method), tracing)
    return served


def stopping() -> Unavailable:
    """What a stream that would go on for ever ends with when the registry stops."""
    return Unavailable(Reason.NOT_SERVING, "the registry is stopping", retry_after_s=NOT_SERVING_RETRY_S)


def _wrap(
    method: Method, handler: Handler, door: Door, counts: MethodTally | None, tracing: Tracing | None
) -> grpc.RpcMethodHandler[bytes, bytes]:
    match method.kind:
        case Kind.UNARY:
            call = _unary(method, handler, door, counts)
            return grpc.unary_unary_rpc_method_handler(call if tracing is None else tracing.unary(method, call))
        case Kind.SERVER_STREAM:
            return grpc.unary_stream_rpc_method_handler(_server_stream(method, handler, door, counts))
        case Kind.CLIENT_STREAM:
            return grpc.stream_unary_rpc_method_handler(_client_stream(method, handler, door, counts))
        case Kind.BIDI:
            return grpc.stream_stream_rpc_method_handler(_bidi(method, handler, door, counts))


def _unary(
    method: Method, handler: Handler, door: Door, counts: MethodTally | None
) -> Callable[[bytes, Context], Awaitable[bytes]]:
    admit, check, parse = door.admission(method), door.check(method), parser_of(method)
    is_async = inspect.iscoroutinefunction(handler)
    may_wait = WAIT in method.request.DESCRIPTOR.fields_by_name

    async def call(data: bytes, context: Context) -> bytes:
        began, code = stopwatch(), CANCELLED
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
            code = OK
            return answer
        except Exception as error:  # noqa: BLE001 - the one place where every failure becomes a status
            code = _code_of(error, counts)
            await fail(method, door, context, error)
        finally:
            if counts is not None:
                counts.ended(code, stopwatch() - began)

    return call


def _server_stream(
    method: Method, handler: Handler, door: Door, counts: MethodTally | None
) -> Callable[[bytes, Context], Awaitable[None]]:
    admit, check, parse = door.admission(method), door.check(method), parser_of(method)

    async def call(data: bytes, context: Context) -> None:
        code = _open(counts)
        try:
            actor = admit(context)
            request = parse_request(parse, data)
            check(request, actor)
            # Else the first write carries the metadata, and while it is blocked no status can be sent: gRPC's core
            # refuses a second batch with metadata in it (TOO_MANY_OPERATIONS).
            await context.send_initial_metadata(())
            stream = Stream(method, door, check, context, actor, request)
            with door.holding(stream):
                stream.judge_again()  # what it was let in with may have been revoked while the metadata was sent
                await handler(request, actor, stream)
            code = OK
        except Exception as error:  # noqa: BLE001 - see _unary
            code = _code_of(error, counts)
            await fail(method, door, context, error)
        finally:
            _close(counts, code)

    return call


def _client_stream(
    method: Method, handler: Handler, door: Door, counts: MethodTally | None
) -> Callable[[Any, Context], Awaitable[bytes]]:
    admit, check = door.admission(method), door.check(method)

    async def call(_messages: Any, context: Context) -> bytes:
        code = _open(counts)
        try:
            actor = admit(context)
            stream = Stream(method, door, check, context, actor)
            with door.holding(stream):
                answer: bytes = await handler(actor, stream)
            code = OK
            return answer
        except Exception as error:  # noqa: BLE001 - see _unary
            code = _code_of(error, counts)
            await fail(method, door, context, error)
        finally:
            _close(counts, code)

    return call


def _bidi(
    method: Method, handler: Handler, door: Door, counts: MethodTally | None
) -> Callable[[Any, Context], Awaitable[None]]:
    admit, check = door.admission(method), door.check(method)

    async def call(_messages: Any, context: Context) -> None:
        code = _open(counts)
        try:
            actor = admit(context)
            stream = Stream(method, door, check, context, actor)
            with door.holding(stream):
                await handler(actor, stream)
            code = OK
        except Exception as error:  # noqa: BLE001 - see _unary
            code = _code_of(error, counts)
            await fail(method, door, context, error)
        finally:
            _close(counts, code)

    return call


def _open(counts: MethodTally | None) -> int:
    """A stream begins; returns what it ends with if nobody says otherwise: its client has gone."""
    if counts is not None:
        counts.open += 1
    return CANCELLED


def _close(counts: MethodTally | None, code: int) -> None:
    if counts is not None:
        counts.open -= 1
        counts.codes[code] += 1


def _code_of(error: Exception, counts: MethodTally | None) -> int:
    """The code that a call ends with, as `fail` sees to; counts why, if it was refused."""
    if isinstance(error, RegistryError):
        if counts is not None:
            counts.refused[error.reason] += 1
        return error.code
    return CANCELLED if isinstance(error, grpc.aio.BaseError) else INTERNAL
