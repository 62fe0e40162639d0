"""The pump between one Heartbeat call and its session object."""

import grpc.aio
from google.protobuf.message import DecodeError

from orion_registry.core.frames import Beat
from orion_registry.core.model import Actor
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.duplex import Duplex
from orion_registry.server.stream import Stream, not_a_message
from orion_registry.wire.agent_frames import decode_agent_frame
from orion_registry.wire.registry_frames import encode_registry_frame
from orion_registry_pb.v1.heartbeat_pb2 import HeartbeatRequest


class HeartbeatStreams:
    """Serves Heartbeat calls."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    async def serve(self, actor: Actor, stream: Stream) -> None:
        """One call, to its end."""
        pump = _Pump(self._coordinator, actor, stream)
        stream.belongs_to(pump)
        await pump.run()


class _Pump(Duplex):
    """One call."""

    __slots__ = ("_check", "_coordinator", "_session")

    def __init__(self, coordinator: Coordinator, actor: Actor, stream: Stream) -> None:
        super().__init__(stream.context)
        self._check = stream.check
        self._coordinator = coordinator
        self._session = coordinator.open_stream(actor, self._woken)

    def _woken(self) -> None:
        """There is mail, or an end; not always from outside the stream's own frames."""
        if self._session.ended:
            self._finish_once_sent(self._session.end)
        self._wake()

    def go_on_as(self, actor: Actor) -> None:
        """Its services are judged as if they were attached anew."""
        self._session.go_on_as(actor)

    async def _take_all(self) -> None:
        # Everything that a beat touches is at hand: of 10,000 agents, each beat finds cold caches.
        coordinator, session, read, eof = self._coordinator, self._session, self._context.read, grpc.aio.EOF
        beat, outbox, parse = coordinator.beat, session.outbox, HeartbeatRequest.FromString
        while True:
            data = await read()
            if self._closed:
                return
            if data is eof:
                coordinator.close_stream(session)  # at once: watchers are waiting for this news
                break
            try:
                request = parse(data)
                frame = decode_agent_frame(request)
            except DecodeError:
                raise not_a_message(data) from None
            if type(frame) is Beat:
                beat(session, frame)
            else:
                self._check(request)
                await coordinator.receive(session, frame)
            if outbox or self._sending:
                await self._send_before_reading_on()
            if session.ended or self._closed:
                break
        self._finish(session.end)

    def _next_message(self) -> bytes | None:
        outbox = self._session.outbox
        return encode_registry_frame(outbox.popleft()) if outbox else None

    def _drop_messages(self) -> None:
        self._session.outbox.clear()

    def _over(self) -> None:
        self._coordinator.close_stream(self._session)
        self._session.finish(None)  # a frame that is still waiting for the store must take no effect any more
