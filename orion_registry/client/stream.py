"""One heartbeat stream, from hello to its end: one task reads, one writes, and neither waits for the other.

The writer alone writes. It sends frames in order, and a beat when one is due; a beat is made when it is written, so
beats never queue. A read is never cancelled by a timeout (that destroys the stream): timers give up the whole call.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import grpc.aio

from orion_registry.client.calls import error_of
from orion_registry.client.channel import Connection
from orion_registry.client.environment import Environment
from orion_registry.client.failures import Unreachable
from orion_registry.client.guard import Guard
from orion_registry.client.options import SessionOptions
from orion_registry.client.pacing import block_advice, first_gap, next_due, was_blocked
from orion_registry.core.frames import (
    Ack,
    AgentFrame,
    Beat,
    Drain,
    GoAway,
    Goodbye,
    Hello,
    Lost,
    RegistryFrame,
    ServiceBeat,
    Sessions,
    Welcome,
)
from orion_registry.errors import RegistryError
from orion_registry.wire.requests import decode_registry_frame, encode_agent_frame
from orion_registry_pb.v1.heartbeat_pb2 import HeartbeatRequest, HeartbeatResponse

logger = logging.getLogger(__name__)


class StreamOwner(Protocol):
    """What a stream asks of its session. All calls are quick and synchronous."""

    def on_sessions(self, sessions: Sessions) -> bool:
        """Takes the results; returns whether at least one service is on the stream."""
        ...

    def on_lost(self, lost: Lost) -> None:
        """A service left the stream."""
        ...

    def on_command(self, command: Drain) -> None:
        """The registry asks for something; the owner acknowledges."""
        ...

    def service_beats(self, loop_lag_s: float | None) -> tuple[ServiceBeat, ...]:
        """What the beat that is about to be written says of single services."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnd:
    """How a stream ended.

    address: where it was. error: None for a clean end. go_away: what the registry announced. served_s: seconds since
    its first answer, 0 without one.
    """

    address: str

    error: RegistryError | None
    go_away: GoAway | None
    served_s: float


class BeatStream:
    """One life of a heartbeat stream. `run` once; the other methods act on the running stream."""

    def __init__(
        self, connection: Connection, owner: StreamOwner, options: SessionOptions, environment: Environment
    ) -> None:
        self._connection = connection
        self._address = connection.address
        self._owner = owner
        self._options = options
        self._env = environment
        self._loop = asyncio.get_running_loop()
        self._call: grpc.aio.StreamStreamCall[HeartbeatRequest, HeartbeatResponse] | None = None
        self._outbox: deque[AgentFrame] = deque()
        self._wake = asyncio.Event()
        self._abandoned = ""
        self._answer_guard = Guard(self._loop, self._abandon)
        self._write_guard = Guard(self._loop, self._abandon)
        self._timer: asyncio.TimerHandle | None = None
        self._beat_due = False
        self._due = 0.0
        self._last_sent = 0.0
        self._loop_lag_s: float | None = None
        self._seq = 0
        self._interval_s = 1.0
        self._timeout_s = 3.0
        self._go_away: GoAway | None = None
        self._first_answer: float | None = None
        self._saying_goodbye = False

    @property
    def is_answered(self) -> bool:
        """Whether the registry has answered hello."""
        return self._first_answer is not None

    @property
    def is_leaving(self) -> bool:
        """Whether a goodbye was said, or the registry has sent it away."""
        return self._saying_goodbye or self._go_away is not None

    def send(self, frame: AgentFrame) -> None:
        """Puts a frame in line; it goes out as soon as those before it have."""
        self._outbox.append(frame)
        self._wake.set()

    def beat_now(self) -> None:
        """Sends the next beat at once, for there is news; without effect before the registry answered hello."""
        if self.is_answered and self._timer is not None:
            self._beat_due = True
            self._wake.set()

    def say_goodbye(self, goodbye: Goodbye) -> None:
        """The last frame: nothing is sent after it, and the registry ends the stream."""
        self._saying_goodbye = True
        self.send(goodbye)

    async def run(self, hello: Hello) -> StreamEnd:
        """Opens the stream and serves it until it ends, however it ends.

        Raises:
            asyncio.CancelledError: the caller was cancelled; the stream is gone then too.
        """
        self.send(hello)
        try:
            self._call = self._connection.stub.Heartbeat()
        except (Unreachable, grpc.aio.UsageError):
            return self._end(Unreachable("the client is closed", address=self._address))
        self._answer_guard.arm(self._options.handshake_timeout_s, "the registry did not answer hello")
        writer = self._loop.create_task(self._write_all(self._call), name="orion-beats")
        try:
            return self._end(await self._read_all(self._call))
        finally:
            self._answer_guard.disarm()
            if self._timer is not None:
                self._timer.cancel()
            writer.cancel()
            self._call.cancel()
            with suppress(asyncio.CancelledError):
                await writer

    def _end(self, error: RegistryError | None) -> StreamEnd:
        served_s = 0.0 if self._first_answer is None else self._env.now() - self._first_answer
        return StreamEnd(address=self._address, error=error, go_away=self._go_away, served_s=served_s)

    # Reading.

    async def _read_all(
        self, call: grpc.aio.StreamStreamCall[HeartbeatRequest, HeartbeatResponse]
    ) -> RegistryError | None:
        try:
            while True:
                message = await call.read()
                if not isinstance(message, HeartbeatResponse):
                    return None
                frame = decode_registry_frame(message)
                if frame is not None:  # of a kind that this version does not know
                    self._receive(frame)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            cut_off = f"{self._address}: {self._abandoned or 'the stream was cut off'}"
            return error_of(failure, self._connection, self._address, cut_off)

    def _receive(self, frame: RegistryFrame) -> None:
        match frame:
            case Welcome() | Ack():
                self._interval_s, self._timeout_s = frame.interval_s, frame.timeout_s
            case Sessions():
                if self._first_answer is None:
                    self._first_answer = self._env.now()
                    self._answer_guard.disarm()
                if self._owner.on_sessions(frame):
                    self._beat_for_new_sessions()
            case Lost():
                self._owner.on_lost(frame)
            case Drain():
                self._owner.on_command(frame)
            case GoAway():
                self._go_away = frame
                self._answer_guard.arm(self._options.handshake_timeout_s, "the registry said go_away and stayed")

    # Writing.

    async def _write_all(self, call: grpc.aio.StreamStreamCall[HeartbeatRequest, HeartbeatResponse]) -> None:
        """Writes until the stream ends; its end is the reader's to tell."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                frame = self._next_frame()
                if frame is None:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                self._write_guard.arm(self._options.write_timeout_s, "a write was blocked for too long")
                try:
                    await call.write(encode_agent_frame(frame))
                finally:
                    self._write_guard.disarm()
                if isinstance(frame, Goodbye):
                    await call.done_writing()
                    return

    def _next_frame(self) -> AgentFrame | None:
        if self._outbox:
            return self._outbox.popleft()
        if not self._beat_due or self._saying_goodbye:
            return None
        self._beat_due = False
        lag_s, self._loop_lag_s = self._loop_lag_s, None
        self._last_sent = self._env.now()
        self._seq += 1
        return Beat(seq=self._seq, services=self._owner.service_beats(lag_s))

    # Timers.

    def _beat_for_new_sessions(self) -> None:
        """Beats at once: that is what makes new epochs count as used, and services HEALTHY."""
        if self._timer is None:
            self._due = self._loop.time() + first_gap(self._interval_s, self._env.draw())
            self._timer = self._loop.call_at(self._due, self._tick)
        self._beat_due = True
        self._wake.set()

    def _tick(self) -> None:
        now = self._loop.time()
        lag_s = now - self._due
        if was_blocked(lag_s):
            self._loop_lag_s = lag_s
            logger.warning(block_advice(lag_s, self._env.now() - self._last_sent, self._timeout_s))
        self._due = next_due(self._due, now, self._interval_s)
        self._timer = self._loop.call_at(self._due, self._tick)
        self._beat_due = True
        self._wake.set()

    def _abandon(self, why: str) -> None:
        self._abandoned = why
        if self._call is not None:
            self._call.cancel()
