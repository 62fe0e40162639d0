"""The one wrapper around every RPC: bytes -> request -> Actor -> handler -> bytes, and errors -> statuses.

Handlers are registered with identity (de)serialisers: with stock ones, bytes that are no protobuf are answered UNKNOWN
and a traceback before any code of ours runs.
"""

from __future__ import annotations  # grpc.RpcMethodHandler is generic for type checkers alone

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from orion_registry.core.model import Actor
from orion_registry.errors import InvalidArgument, Reason, RegistryError, Unavailable
from orion_registry.runtime.clock import stopwatch
from orion_registry.server.door import NOT_SERVING_RETRY_S, Check, Context, Door
from orion_registry.server.methods import Kind, Method
from orion_registry.server.rpc_tally import CANCELLED, INTERNAL, OK, MethodTally, RpcTally
from orion_registry.wire.status import DETAILS_KEY, status_of

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
Handlers = Mapping[str, Mapping[str, Handler]]
"""Handlers by full service name, then by method name."""

logger = logging.getLogger("orion_registry")

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Stream:
    """What a stream handler reads from and writes to.

    The waits of `read` and `write` are never to be cancelled by a timeout: that destroys the stream (and leaks).
    """

    __slots__ = ("_actor", "_check", "_parse", "context")

    def __init__(self, context: Context, parse: Callable[[bytes], Any], check: Check, actor: Actor) -> None:
        self.context = context
        self._parse = parse
        self._check = check
        self._actor = actor

    async def read(self) -> Any:
        """The next request, None at the end.

        Raises:
            InvalidArgument: the bytes are not such a message.
            PermissionDenied: its sender may not do that there.
        """
        data = await self.context.read()
        if data is grpc.aio.EOF:
            return None
        request = parse_request(self._parse, data)
        self.check(request)
        return request

    def check(self, request: Any) -> None:
        """What each message passes; for those who read the context themselves.

        Raises:
            RegistryError: its sender may not do that there.
        """
        self._check(request, self._actor)

    async def write(self, data: bytes) -> None:
        """Sends one serialised message; returns once it is on its way."""
        await self.context.write(data)


def build_handlers(
    table: Iterable[Method],
    handlers: Handlers,
    door: Door,
    tally: RpcTally | None = None,
    tracing: Tracing | None = None,
) -> tuple[grpc.GenericRpcHandler, ...]:
    """One generic handler that serves the table. tally: counts calls, tracing: makes spans of them; None = nobody does.

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
    return (
        _Router(
            {
                method.path: _wrap(method, given[key], door, counts.get(method), tracing)
                for key, method in methods.items()
            }
        ),
    )


class _Router(grpc.GenericRpcHandler):
    """Finds handlers by path."""

    def __init__(self, handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a path; None is answered UNIMPLEMENTED by gRPC."""
        return self._handlers.get(handler_call_details.method)


def stopping() -> Unavailable:
    """What a stream that would go on for ever ends with when the registry stops."""
    return Unavailable(Reason.NOT_SERVING, "the registry is stopping", retry_after_s=NOT_SERVING_RETRY_S)


def parse_request(parse: Callable[[bytes], Any], data: bytes) -> Any:
    """Parses a message that came in.

    Raises:
        InvalidArgument: BAD_FIELD, the bytes are not such a message.
    """
    try:
        return parse(data)
    except DecodeError:
        raise not_a_message(data) from None


def not_a_message(data: bytes) -> InvalidArgument:
    """The error for bytes that do not parse."""
    message = f"the request's {len(data)} bytes are not a message of the type that this method takes"
    return InvalidArgument(Reason.BAD_FIELD, message)


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
    admit, check, parse = door.admission(method), door.check(method), _parser(method)
    is_async = inspect.iscoroutinefunction(handler)

    async def call(data: bytes, context: Context) -> bytes:
        began, code = stopwatch(), CANCELLED
        try:
            actor = admit(context)
            request = parse_request(parse, data)
            check(request, actor)
            answer: bytes = (await handler(request, actor)) if is_async else handler(request, actor)
            code = OK
            return answer
        except Exception as error:  # noqa: BLE001 - the one place where every failure becomes a status
            code = _code_of(error, counts)
            await _fail(method, door, context, error)
        finally:
            if counts is not None:
                counts.ended(code, stopwatch() - began)

    return call


def _server_stream(
    method: Method, handler: Handler, door: Door, counts: MethodTally | None
) -> Callable[[bytes, Context], Awaitable[None]]:
    admit, check, parse = door.admission(method), door.check(method), _parser(method)

    async def call(data: bytes, context: Context) -> None:
        code = _open(counts)
        try:
            actor = admit(context)
            request = parse_request(parse, data)
            check(request, actor)
            # Else the first write carries the metadata, and while it is blocked no status can be sent: gRPC's core
            # refuses a second batch with metadata in it (TOO_MANY_OPERATIONS).
            await context.send_initial_metadata(())
            await handler(request, actor, Stream(context, parse, check, actor))
            code = OK
        except Exception as error:  # noqa: BLE001 - see _unary
            code = _code_of(error, counts)
            await _fail(method, door, context, error)
        finally:
            _close(counts, code)

    return call


def _client_stream(
    method: Method, handler: Handler, door: Door, counts: MethodTally | None
) -> Callable[[Any, Context], Awaitable[bytes]]:
    admit, check, parse = door.admission(method), door.check(method), _parser(method)

    async def call(_messages: Any, context: Context) -> bytes:
        code = _open(counts)
        try:
            actor = admit(context)
            answer: bytes = await handler(actor, Stream(context, parse, check, actor))
            code = OK
            return answer
        except Exception as error:  # noqa: BLE001 - see _unary
            code = _code_of(error, counts)
            await _fail(method, door, context, error)
        finally:
            _close(counts, code)

    return call


def _bidi(
    method: Method, handler: Handler, door: Door, counts: MethodTally | None
) -> Callable[[Any, Context], Awaitable[None]]:
    admit, check, parse = door.admission(method), door.check(method), _parser(method)

    async def call(_messages: Any, context: Context) -> None:
        code = _open(counts)
        try:
            actor = admit(context)
            await handler(actor, Stream(context, parse, check, actor))
            code = OK
        except Exception as error:  # noqa: BLE001 - see _unary
            code = _code_of(error, counts)
            await _fail(method, door, context, error)
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
    """The code that a call ends with, as `_fail` sees to; counts why, if it was refused."""
    if isinstance(error, RegistryError):
        if counts is not None:
            counts.refused[error.reason] += 1
        return error.code
    return CANCELLED if isinstance(error, grpc.aio.BaseError) else INTERNAL


def _parser(method: Method) -> Callable[[bytes], Message]:
    parse: Callable[[bytes], Message] = method.request.FromString
    return parse


async def _fail(method: Method, door: Door, context: Context, error: Exception) -> NoReturn:
    """Ends a call with the status of its error."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, grpc.aio.BaseError):
        # An operation failed because the peer is gone, or the server has stopped: nobody is left to be told, and
        # any other end than this would be logged by grpc as an error of ours.
        raise asyncio.CancelledError from error
    if isinstance(error, RegistryError):
        door.refused(method, context, error)
        await abort(context, error)
    logger.error("handler failed", extra={"rpc": method.path}, exc_info=error)
    await _abort(context, grpc.StatusCode.INTERNAL, "internal error; the registry's log has the details", ())


async def abort(context: Context, error: RegistryError) -> NoReturn:
    """Ends a call with an error's status; always raises. May be called from a task beside the handler's."""
    status = status_of(error)
    await _abort(context, _CODES[status.code], status.message, ((DETAILS_KEY, status.details),))


async def _abort(
    context: Context, code: grpc.StatusCode, message: str, trailers: tuple[tuple[str, bytes], ...]
) -> NoReturn:
    try:
        await context.abort(code, message, trailers)
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError as gone:
        raise asyncio.CancelledError from gone
    raise AssertionError  # abort always raises
