"""Heartbeat streams that are open: what each brings beside its beats, and how it ends."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

from orion_registry.core.commands import Command, Remove, Result
from orion_registry.core.frames import (
    AgentFrame,
    Attach,
    GoAway,
    GoAwayReason,
    Goodbye,
    GoodbyeReason,
    Hello,
    Sessions,
)
from orion_registry.core.model import Actor, RemovalReason
from orion_registry.core.registry import Registry
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.runtime.audit import AuditTrail
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.detection import Detection
from orion_registry.runtime.writer import Writer


class Streams:
    """Those that are open. Beats go past it, straight to their session: see `Coordinator.beat`."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        writer: Writer,
        audit: AuditTrail,
        detection: Detection,
        execute: Callable[[Command, Actor], Awaitable[Result]],
    ) -> None:
        """Args: registry; clock; writer: what hellos wait for; audit: hears what they are refused; detection: hears of
        ends; execute: unregisters those that part for good.
        """
        self._registry = registry
        self._clock = clock
        self._writer = writer
        self._audit = audit
        self._detection = detection
        self._execute = execute
        self._sessions: set[HeartbeatSession] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[HeartbeatSession]:
        return iter(tuple(self._sessions))  # some of them may end meanwhile

    def open(self, actor: Actor, wake: Callable[[], None]) -> HeartbeatSession:
        """A session for a new stream; see `Coordinator.open_stream`."""
        session = self._registry.open_stream(actor, wake)
        self._sessions.add(session)
        return session

    def close(self, session: HeartbeatSession) -> None:
        """The stream is over, however it ended. Calling it again does nothing."""
        if session in self._sessions:
            self._sessions.discard(session)
            now = self._clock.now()
            self._detection.heard_at = now.mono
            self._registry.close_stream(session, now)
            self._detection.heard_at = None

    async def receive(self, session: HeartbeatSession, frame: AgentFrame) -> None:
        """Takes a frame; answers land in the session's outbox.

        A hello or attach for a service that is being claimed or removed waits for that to be over. If the store takes
        too long that service is refused, alone.
        """
        if isinstance(frame, Hello | Attach):
            await self._writer.settled([request.ref.service_id for request in frame.sessions])
        if session not in self._sessions:
            return  # its stream ended while the frame waited
        unsent = len(session.outbox)
        session.receive(frame, self._clock.now())
        for answer in itertools.islice(session.outbox, unsent, None):
            if isinstance(answer, Sessions):
                self._note_refusals(session, answer)
        if isinstance(frame, Goodbye) and not session.ended:
            await self._part(session)

    def _note_refusals(self, session: HeartbeatSession, answer: Sessions) -> None:
        for result in answer.results:
            if result.error is not None:
                self._audit.refused(session.actor, "Heartbeat", result.error)

    async def _part(self, session: HeartbeatSession) -> None:
        """After a goodbye: unregisters what is to go for good, then ends the stream."""
        outcome: RegistryError | None = None
        if session.goodbye is GoodbyeReason.STOPPING:
            removals = [
                self._execute(_farewell(service_id, entry.streams[session]), session.actor)
                for service_id, entry in session.services.items()
            ]
            for result in await asyncio.gather(*removals, return_exceptions=True):
                if isinstance(result, RegistryError):
                    outcome = result
                elif isinstance(result, BaseException):
                    raise result
        session.finish(outcome)

    def send_away(self, why: str, reconnect_after_s: float, alternates: Callable[[int], tuple[str, ...]]) -> None:
        """Ends all of them, for nobody is served here any more. alternates: where the nth may go instead."""
        for turn, session in enumerate(self):
            elsewhere = alternates(turn)
            away = GoAway(reason=GoAwayReason.SHUTDOWN, reconnect_after_s=reconnect_after_s, alternates=elsewhere)
            session.go_away(away)
            session.finish(Unavailable(Reason.NOT_SERVING, why, retry_after_s=1.0))


def _farewell(service_id: str, epoch: int) -> Remove:
    return Remove(service_id=service_id, reason=RemovalReason.UNREGISTERED, at_epoch=epoch)
