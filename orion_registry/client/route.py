"""A Route stream that heals itself: commands go in, each is answered once, whatever happens to the stream.

Commands that are not answered when a stream breaks go out again on the next one, in their order; only those that may
not be done twice fail. A select whose answer was lost with its stream may have got a slot: the registry frees it when
the stream's leases end, 10 s after it broke.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc.aio

from orion_registry.client.backoff import Backoff
from orion_registry.client.calls import error_of
from orion_registry.client.channel import Connection
from orion_registry.client.environment import Environment
from orion_registry.client.failures import NoAnswerInTime, Unreachable
from orion_registry.client.holding import is_lasting
from orion_registry.core import limits
from orion_registry.errors import Reason, RegistryError
from orion_registry.wire.spans import span_of
from orion_registry.wire.status import decode_error
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub

if TYPE_CHECKING:  # it exists for type checkers only
    from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceAsyncStub

logger = logging.getLogger(__name__)

MESSAGE_BYTES = 60 * 1024
"""Of one message at most, unless a single command has more: it fits into the smallest max_message_size, 64 KiB."""
FLUSH_S = 1.0
"""How long the end of the client waits for releases to be taken note of."""

SILENT_S = 2.0
"""A stream this old on which nothing ever came hangs if a command on it ran out of time."""

RouteCall = grpc.aio.StreamStreamCall[pb.RouteRequest, pb.RouteResponse]


class Pending:
    """A command that is not answered yet. wait_until: when a select stops waiting, by the environment's clock; again:
    whether it went to an earlier stream as well, and may have been done there.
    """

    __slots__ = ("again", "answered", "message", "once", "wait_until")

    def __init__(self, message: pb.RouteCommand, answered: "asyncio.Future[pb.RouteResult]", once: bool) -> None:
        self.message = message
        self.answered = answered
        self.once = once
        self.again = False
        self.wait_until: float | None = None


class Route:
    """The stream and what is under way on it. Belongs to one event loop.

    Args:
        connection: to the registry.
        environment: where time and randomness come from.
        hello: what the stream says of all its selects.
        connected: called whenever a stream has begun: what lives on a stream is to be renewed then.
        noticed: called with each notice.
    """

    def __init__(
        self,
        connection: Connection,
        environment: Environment,
        hello: pb.RouteHello,
        connected: Callable[[], None],
        noticed: Callable[[pb.SelectionNotice], None],
    ) -> None:
        self._connection = connection
        self._env = environment
        self._hello = hello
        self._connected = connected
        self._noticed = noticed
        self._numbers = 0
        self._pending: dict[int, Pending] = {}
        self._outbox: deque[pb.RouteCommand] = deque()
        self._wake = asyncio.Event()
        self._error: RegistryError | None = None
        self._closed: RegistryError | None = None
        self._unheard: RouteCall | None = None  # the stream of now, until something comes on it
        self._opened = 0.0
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="orion-route")

    async def ask(
        self, message: pb.RouteCommand, timeout_s: float, *, once: bool = False, done: Reason | None = None
    ) -> pb.RouteResult:
        """Sends a command and returns its answer. Who is cancelled meanwhile, or times out, takes it back.

        Args:
            message: the command.
            timeout_s: seconds.
            once: it may not be sent again if its stream breaks.
            done: the refusal that says, of one that was sent again, that it was done the first time.

        Raises:
            RegistryError: the registry's refusal; `NoAnswerInTime`, or why there is no stream, if none came in time;
                `Unreachable` for a command to be sent `once` if the stream broke.
        """
        pending = self.send(message, once=once)
        try:
            async with asyncio.timeout(timeout_s):
                result = await pending.answered
        except TimeoutError:
            self._take_back(pending)
            self._give_up_if_silent()
            raise self.late(timeout_s) from None
        except asyncio.CancelledError:
            self._take_back(pending)
            raise
        if result.WhichOneof("result") == "error":
            error = decode_error(result.error)
            if not pending.again or error.reason is not done:
                raise error
        return result

    def late(self, timeout_s: float) -> RegistryError:
        """Why nothing was answered in so many seconds."""
        address = self._connection.address
        said = f"no answer from the registry at {address} in {timeout_s:g} s"
        return self._error or NoAnswerInTime(said, address=address)

    def send(self, message: pb.RouteCommand, *, once: bool = False) -> Pending:
        """Sends a command whose answer nobody has to wait for. Raises RegistryError if the stream is over for good."""
        if self._closed is not None:
            raise self._closed
        self._numbers += 1
        message.id = self._numbers
        pending = self._pending[message.id] = Pending(message, asyncio.get_running_loop().create_future(), once)
        if message.select.HasField("wait_timeout"):
            pending.wait_until = self._env.now() + message.select.wait_timeout.ToTimedelta().total_seconds()
        self._put(message)
        return pending

    async def close(self) -> None:
        """Lets what is under way be answered, for a second at most, then ends the stream. Idempotent."""
        waits = [pending.answered for pending in self._pending.values() if not pending.answered.done()]
        try:
            if waits and self._error is None and self._closed is None:
                await asyncio.wait(waits, timeout=FLUSH_S)
        finally:  # who is cancelled meanwhile leaves no stream either
            self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled() and (fault := self._task.exception()) is not None:
            raise fault

    def _put(self, message: pb.RouteCommand) -> None:
        self._outbox.append(message)
        self._wake.set()

    def _take_back(self, pending: Pending) -> None:
        """Nobody wants the answer any more: what it brings, or has brought in this very turn, must not be kept."""
        answered = pending.answered
        if answered.done() and not answered.cancelled():
            if answered.exception() is None:
                self._give_back(answered.result())
            return
        answered.cancel()
        if pending.wait_until is not None and self._closed is None:
            self._put(pb.RouteCommand(id=0, cancel=pb.CancelWait(id=pending.message.id)))

    def _give_up_if_silent(self) -> None:
        """The connection, or a proxy on the way, may be well while the registry hangs: no PING tells."""
        if self._unheard is not None and self._env.now() - self._opened >= SILENT_S:
            self._unheard.cancel()

    # Streams.

    async def _follow(self) -> None:
        """Opens stream after stream until closed, or refused for good."""
        backoff = Backoff(self._env.draw)
        closed: RegistryError = Unreachable("the client is closed", address=self._connection.address)
        try:
            while True:
                began, address = self._env.now(), self._connection.address
                error = await self._stream()
                if error is not None and is_lasting(error):
                    closed = error
                    return
                backoff.lived(self._env.now() - began)
                self._error = error or Unreachable("the stream ended", address=self._connection.address)
                asked_s = (error.retry_after_s or 0.0) if error is not None else 0.0
                # The wait was asked for by whoever is left: another address is to be tried at once.
                delay = backoff.next(asked_s if self._connection.address == address else 0.0)
                logger.debug("route ended (%s), next attempt in %.2f s", self._error, delay)
                await self._env.sleep(delay)
        finally:
            self._closed = closed
            self._fail(closed, every=True)

    async def _stream(self) -> RegistryError | None:
        """One stream, to its end. Returns the error that ended it, if any."""
        address = self._connection.address
        stub: BalancerServiceAsyncStub = BalancerServiceStub(self._connection.channel)
        call = self._unheard = stub.Route()
        self._opened = self._env.now()
        writer = asyncio.get_running_loop().create_task(self._write_all(call), name="orion-route-writer")
        try:
            while isinstance(response := await call.read(), pb.RouteResponse):
                self._error = self._unheard = None
                self._take(response)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            return error_of(failure, self._connection, address, f"{address}: the stream was cut off")
        finally:
            self._unheard = None
            writer.cancel()
            call.cancel()
            with suppress(asyncio.CancelledError):
                await writer
            self._fail(Unreachable(f"{address}: the stream ended before the answer", address=address))
        return None

    def _fail(self, error: RegistryError, *, every: bool = False) -> None:
        """Drops what nobody waits for, and fails what may not be sent again."""
        for number, pending in list(self._pending.items()):
            if every or pending.once or pending.answered.done():
                del self._pending[number]
                if not pending.answered.done():
                    pending.answered.set_exception(error)
                    pending.answered.exception()  # whoever only sent it does not look

    # Writing.

    async def _write_all(self, call: RouteCall) -> None:
        """Writes until the stream ends; its end is the reader's to tell."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(pb.RouteRequest(hello=self._hello))
            self._outbox.clear()
            for pending in list(self._pending.values()):
                self._put_again(pending)
            self._connected()
            while True:
                if not self._outbox:
                    self._wake.clear()
                    await self._wake.wait()
                await call.write(self._batch())

    def _batch(self) -> pb.RouteRequest:
        outbox = self._outbox
        batch = pb.RouteRequest(commands=[outbox.popleft()])
        size = batch.ByteSize()
        while outbox and len(batch.commands) < limits.COMMANDS and size + outbox[0].ByteSize() + 8 < MESSAGE_BYTES:
            size += outbox[0].ByteSize() + 8
            batch.commands.append(outbox.popleft())
        return batch

    def _put_again(self, pending: Pending) -> None:
        """On a new stream: unless nobody wants it any more; a wait that goes on ends when it was to end."""
        if pending.answered.done():
            del self._pending[pending.message.id]
            return
        if pending.wait_until is not None:
            left_s = max(0.0, pending.wait_until - self._env.now())
            pending.message.select.wait_timeout.CopyFrom(span_of(left_s))
        pending.again = True
        self._put(pending.message)

    # Reading.

    def _take(self, response: pb.RouteResponse) -> None:
        for result in response.results:
            if result.WhichOneof("result") == "waiting":
                continue
            pending = self._pending.pop(result.id, None)
            if pending is None:
                continue
            if not pending.answered.done():
                pending.answered.set_result(result)
            else:
                self._give_back(result)
        for notice in response.notices:  # once whoever was answered above has what it is about
            asyncio.get_running_loop().call_soon(self._noticed, notice)

    def _give_back(self, result: pb.RouteResult) -> None:
        """Releases what nobody came to hold."""
        for selection in result.select.selections:
            self.send(pb.RouteCommand(release=pb.ReleaseServiceRequest(selection_id=selection.selection_id)))
