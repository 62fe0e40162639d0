"""A bidirectional call: one who reads, one who sends, and an end that may come from outside.

Two tasks. The handler's waits for the end only; a second one reads. So the end may come from outside at any time, as
any status, and no pending read is ever cancelled (that destroys the stream, and leaks in gRPC's core): where gRPC
cancels the handler because the peer is gone, the read ends by itself. The price is 1 kB a stream (grpcio 1.85).
Sending is done by whoever has cause: the reader for answers, a passing task for news from outside; never two at once.
"""

import asyncio
from abc import ABC, abstractmethod

import grpc.aio

from orion_registry.core.model import Actor
from orion_registry.errors import RegistryError
from orion_registry.server.identity import Context

LAST_WORDS_S = 1.0
"""How long a peer that does not read may hold up the end of its stream."""


class Duplex(ABC):
    """One call.

    After `_closed` is set nothing may be read or written: gRPC has let go of the call, and a batch on it would crash.
    """

    __slots__ = (
        "_closed",
        "_context",
        "_end",
        "_last_error",
        "_last_words",
        "_loop",
        "_reader",
        "_sender",
        "_sending",
    )

    def __init__(self, context: Context) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = context
        self._end: asyncio.Future[RegistryError | None] = self._loop.create_future()
        self._last_words: asyncio.TimerHandle | None = None
        self._last_error: RegistryError | None = None
        self._reader: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._sending = False
        self._closed = False

    # What a kind of call is made of.

    @abstractmethod
    async def _take_all(self) -> None:
        """Reads and takes what comes, until its end, `_closed`, or an end from outside. What it raises ends the call;
        else it finishes it, unless the sender is about to.
        """

    @abstractmethod
    def _next_message(self) -> bytes | None:
        """Takes the next message out of what there is to send; None = there is nothing."""

    @abstractmethod
    def _drop_messages(self) -> None:
        """Nobody can be sent anything any more."""

    @abstractmethod
    def _over(self) -> None:
        """The call is over, however it ended."""

    def go_on_as(self, actor: Actor) -> None:  # noqa: B027 - most are judged by their messages alone
        """What the caller may do has changed. Raises RegistryError if the call needs more than that."""

    # The end.

    def end(self, error: RegistryError) -> None:
        """Ends the call from outside, at once."""
        self._finish(error)

    async def run(self) -> None:
        """Serves until the end, and raises what it ends with."""
        try:
            self._reader = self._loop.create_task(self._read())
            error = await self._end
        finally:
            self._closed = True
            if self._last_words is not None:
                self._last_words.cancel()
            self._over()
        if error is not None:
            raise error

    def _finish(self, error: RegistryError | None) -> None:
        """Ends the call now."""
        if not self._end.done():
            self._end.set_result(error)

    @property
    def _ending(self) -> bool:
        """Whether it ends as soon as all is sent."""
        return self._last_words is not None

    def _finish_once_sent(self, error: RegistryError | None) -> None:
        """Ends the call as soon as all is sent. `_wake` has to follow."""
        if not self._ending and not self._closed:
            self._last_error = error
            self._last_words = self._loop.call_later(LAST_WORDS_S, self._finish, error)

    def _fail(self, error: Exception) -> None:
        """Ends the call by a fault of ours; the wrapper logs it."""
        if not self._end.done():
            self._end.set_exception(error)

    # Reading.

    async def _read(self) -> None:
        """Reads to the end. What goes wrong here is the handler's to report."""
        try:
            await self._take_all()
        except RegistryError as error:
            self._finish(error)
        except grpc.aio.BaseError:
            self._finish(None)  # the call is over already
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)

    async def _send_before_reading_on(self) -> None:
        """While nothing can be sent nothing is read: so the outbox of a peer that does not read stays short."""
        while self._sending and self._sender is not None:  # another may begin before this one hears of the end of one
            await self._sender
        self._sending = True
        await self._send()

    # Sending.

    def _wake(self) -> None:
        """There is something to send, or an end, that does not come of what is read."""
        if not self._closed and not self._sending:
            self._sending = True
            self._sender = self._loop.create_task(self._send())

    async def _send(self) -> None:
        """Sends what there is; `_sending` was set by the caller."""
        try:
            while not self._closed and (message := self._next_message()) is not None:
                await self._context.write(message)
        except grpc.aio.BaseError:
            self._drop_messages()  # the call is over: its reader knows, or learns with the next read
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)
        finally:
            self._sending = False
        if self._ending:
            self._finish(self._last_error)
