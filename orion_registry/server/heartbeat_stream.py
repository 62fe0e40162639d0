"""The pump between one Heartbeat call and its session object.

Two tasks. The handler's waits for the end only; a second one reads. So the end may come from outside at any time, as
any status, and no pending read is ever cancelled (that destroys the stream, and leaks in gRPC's core): where gRPC
cancels the handler because the peer is gone, the read ends by itself. The price is 1 kB a stream (grpcio 1.85).
Sending is done by whoever has cause: the reader for answers, a passing task for mail from outside; never two at once.
"""

import asyncio

import grpc.aio
from google.protobuf.message import DecodeError

from orion_registry.core.frames import Beat
from orion_registry.core.model import Actor
from orion_registry.errors import RegistryError
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.wrapper import Context, Stream, not_a_message
from orion_registry.wire.agent_frames import decode_agent_frame
from orion_registry.wire.registry_frames import encode_registry_frame
from orion_registry_pb.v1.heartbeat_pb2 import HeartbeatRequest

LAST_WORDS_S = 1.0
"""How long an agent that does not read may hold up the end of its stream."""


class HeartbeatStreams:
    """Serves Heartbeat calls."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    async def serve(self, actor: Actor, stream: Stream) -> None:
        """One call, to its end."""
        await _Pump(self._coordinator, actor, stream.context).run()


class _Pump:
    """One call.

    After `_closed` is set nothing may be read or written: gRPC has let go of the call, and a batch on it would crash.
    """

    __slots__ = (
        "_closed",
        "_context",
        "_coordinator",
        "_end",
        "_last_words",
        "_loop",
        "_reader",
        "_sender",
        "_sending",
        "_session",
    )

    def __init__(self, coordinator: Coordinator, actor: Actor, context: Context) -> None:
        self._loop = asyncio.get_running_loop()
        self._coordinator = coordinator
        self._context = context
        self._end: asyncio.Future[RegistryError | None] = self._loop.create_future()
        self._last_words: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._sending = False
        self._closed = False
        self._session = coordinator.open_stream(actor, self._wake)

    async def run(self) -> None:
        """Serves until the end, and raises what it ends with."""
        try:
            self._reader = self._loop.create_task(self._read())
            error = await self._end
        finally:
            self._closed = True
            if self._last_words is not None:
                self._last_words.cancel()
            self._coordinator.close_stream(self._session)
            self._session.finish(None)  # a frame that is still waiting for the store must take no effect any more
        if error is not None:
            raise error

    def _finish(self, error: RegistryError | None) -> None:
        if not self._end.done():
            self._end.set_result(error)

    # Reading.

    async def _read(self) -> None:
        """Reads to the end. What goes wrong here is the handler's to report."""
        try:
            await self._receive_all()
            self._finish(self._session.end)
        except RegistryError as error:
            self._finish(error)
        except grpc.aio.BaseError:
            self._finish(None)  # the call is over already
        except Exception as error:  # noqa: BLE001 - a fault of ours, logged by the wrapper
            if not self._end.done():
                self._end.set_exception(error)

    async def _receive_all(self) -> None:
        # Everything that a beat touches is at hand: of 10,000 agents, each beat finds cold caches.
        coordinator, session, read, eof = self._coordinator, self._session, self._context.read, grpc.aio.EOF
        beat, outbox, parse = coordinator.beat, session.outbox, HeartbeatRequest.FromString
        while True:
            data = await read()
            if self._closed:
                return
            if data is eof:
                coordinator.close_stream(session)  # at once: watchers are waiting for this news
                return
            try:
                frame = decode_agent_frame(parse(data))
            except DecodeError:
                raise not_a_message(data) from None
            if type(frame) is Beat:
                beat(session, frame)
            else:
                await coordinator.receive(session, frame)
            if outbox or self._sending:
                await self._send_before_reading_on()
            if session.ended or self._closed:
                return

    # Writing.

    def _wake(self) -> None:
        """There is mail, or an end, from outside the stream's own frames."""
        if self._closed:
            return
        if self._session.ended and self._last_words is None:
            self._last_words = self._loop.call_later(LAST_WORDS_S, self._finish, self._session.end)
        if not self._sending:
            self._sending = True
            self._sender = self._loop.create_task(self._send())

    async def _send_before_reading_on(self) -> None:
        """While frames cannot be sent none is read: so the outbox of an agent that does not read stays short."""
        if self._sending and self._sender is not None:
            await self._sender
        if self._session.outbox:
            self._sending = True
            await self._send()

    async def _send(self) -> None:
        """Sends what is in the outbox; `_sending` was set by the caller."""
        outbox = self._session.outbox
        try:
            while outbox and not self._closed:
                await self._context.write(encode_registry_frame(outbox.popleft()))
        except grpc.aio.BaseError:
            outbox.clear()  # the call is over: its reader knows, or learns with the next read
        except Exception as error:  # noqa: BLE001 - a fault of ours, logged by the wrapper
            if not self._end.done():
                self._end.set_exception(error)
        finally:
            self._sending = False
        if self._session.ended:
            self._finish(self._session.end)
