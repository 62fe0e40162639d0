"""What a stream handler reads from and writes to, and how calls end with the status of an error."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from orion_registry.core.model import Actor
from orion_registry.errors import InvalidArgument, Reason, RegistryError, Unauthenticated
from orion_registry.server.door import Check, Door
from orion_registry.server.identity import Context
from orion_registry.server.methods import Method
from orion_registry.server.scopes import judge_as_begun
from orion_registry.wire.status import DETAILS_KEY, status_of

logger = logging.getLogger("orion_registry")

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Owner(Protocol):
    """Who reads and writes the context of a stream itself; see `Stream.belongs_to`."""

    def end(self, error: RegistryError) -> None:
        """Ends the call from outside."""

    def go_on_as(self, actor: Actor) -> None:
        """What its caller may do has changed. Raises RegistryError if the call needs more than that."""


class Stream:
    """What a stream handler reads from and writes to. It may be ended from outside: see `end`.

    The waits of `read` and `write` are never to be cancelled by a timeout: that destroys the stream (and leaks).
    """

    __slots__ = (
        "_actor",
        "_busy",
        "_check",
        "_door",
        "_ending",
        "_owner",
        "_request",
        "_task",
        "context",
        "method",
    )

    def __init__(
        self, method: Method, door: Door, check: Check, context: Context, actor: Actor, request: Any = None
    ) -> None:
        self.method = method
        self.context = context
        self._door = door
        self._check = check
        self._actor = actor
        self._request = request
        self._owner: Owner | None = None
        self._task = asyncio.current_task()
        self._busy = False
        self._ending: asyncio.Task[None] | None = None

    async def read(self) -> Any:
        """The next request, None at the end.

        Raises:
            InvalidArgument: the bytes are not such a message.
            PermissionDenied: its sender may not do that there.
        """
        self._busy = True
        try:
            data = await self.context.read()
        finally:
            self._leave()
        if data is grpc.aio.EOF:
            return None
        request = parse_request(parser_of(self.method), data)
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
        self._busy = True
        try:
            await self.context.write(data)
        finally:
            self._leave()

    def _leave(self) -> None:
        self._busy = False
        if self._ending is not None:
            raise asyncio.CancelledError  # the status was sent: nobody is left to serve

    # `door.OpenCall`.

    def belongs_to(self, owner: Owner) -> None:
        """From now on somebody else ends it, who reads and writes the context itself."""
        self._owner = owner

    def go_on_as(self, actor: Actor) -> None:
        """See `door.OpenCall`."""
        if actor.identity != self._actor.identity:
            raise Unauthenticated(Reason.NO_IDENTITY, "what this stream was opened with names another identity now")
        if actor.rights == self._actor.rights:
            return
        if self._request is not None:
            judge_as_begun(self.method.name, self._request, lambda request: self._check(request, actor))
        if self._owner is not None:
            self._owner.go_on_as(actor)
        self._actor = actor

    def judge_again(self) -> None:
        """Raises RegistryError, as a denial of who opened it: its caller may not go on."""
        try:
            self._door.judge(self)
        except RegistryError as error:
            self._door.ends(self._actor, error, self.method)
            raise

    def end(self, error: RegistryError) -> None:
        """Ends the call from outside, once: its status is sent beside the handler, which is cancelled then; or once the
        read or write that it waits for is over, as these must not be cancelled.
        """
        self._door.ends(self._actor, error, self.method)
        if self._owner is not None:
            self._owner.end(error)
        elif self._ending is None:
            self._ending = asyncio.create_task(self._end(error))

    async def _end(self, error: RegistryError) -> None:
        with suppress(grpc.aio.AbortError, asyncio.CancelledError):  # that is how it returns
            await fail(self.method, self._door, self.context, error)
        if not self._busy and self._task is not None:
            self._task.cancel()


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


def parser_of(method: Method) -> Callable[[bytes], Message]:
    """What makes a request of a method out of its bytes."""
    parse: Callable[[bytes], Message] = method.request.FromString
    return parse


async def fail(method: Method, door: Door, context: Context, error: Exception) -> NoReturn:
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
