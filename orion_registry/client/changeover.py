"""A session's streams: one carries its services, and hands them over to the next when the client's token has changed.

A token that is revoked ends the streams that were opened with it. So when its file holds another one, a second stream
is opened with that and takes the services over: they are never without a stream, and nobody who watches sees a change.
"""

import asyncio
import logging
from collections.abc import Callable

from orion_registry.client.channel import Connection
from orion_registry.client.environment import Environment
from orion_registry.client.holding import Holding
from orion_registry.client.options import SessionOptions
from orion_registry.client.stream import BeatStream, StreamEnd, StreamOwner
from orion_registry.core.frames import Drain, Hello, Lost, ServiceBeat, Sessions

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the file of the token is looked at."""
AGAIN_S = 5.0
"""When to try again after the next stream was refused: the registry may not know the new token yet."""
LET_GO_S = 5.0
"""How long the registry may take to end a stream that has lost its services to the next."""


class Ear(StreamOwner):
    """Passes on what the stream in charge says; of one that waits for its turn, or has had it, nothing counts."""

    def __init__(self, owner: StreamOwner, take_over: Callable[["Ear"], None]) -> None:
        """take_over: called at once when the registry has accepted all that the stream asked for: from then on the
        stream before may hear that it has lost everything.
        """
        self._owner = owner
        self._take_over = take_over
        self.in_charge = False
        self.answered = asyncio.Event()

    def on_sessions(self, sessions: Sessions) -> bool:
        """Takes the results, if there is none against the stream."""
        self.answered.set()
        if not self.in_charge and any(result.error is not None for result in sessions.results):
            return False
        if not self.in_charge:
            self._take_over(self)
        return self._owner.on_sessions(sessions)

    def on_lost(self, lost: Lost) -> None:
        """See `StreamOwner`."""
        if self.in_charge:
            self._owner.on_lost(lost)

    def on_command(self, command: Drain) -> None:
        """See `StreamOwner`."""
        if self.in_charge:
            self._owner.on_command(command)

    def service_beats(self, loop_lag_s: float | None) -> tuple[ServiceBeat, ...]:
        """See `StreamOwner`."""
        return self._owner.service_beats(loop_lag_s) if self.in_charge else ()


class Changeover:
    """Runs one stream after the other for as long as each hands over to the next.

    Attributes:
        stream: the one in charge.
    """

    def __init__(
        self, connection: Connection, owner: StreamOwner, options: SessionOptions, environment: Environment
    ) -> None:
        self._connection = connection
        self._owner = owner
        self._options = options
        self._env = environment
        self._mark = connection.token_mark
        self._leaving: set[asyncio.Task[StreamEnd]] = set()
        self._ear = Ear(self._owner, self._take_over)
        self._ear.in_charge = True
        self._next: BeatStream | None = None
        self.stream = self._open(self._ear)

    def _open(self, ear: Ear) -> BeatStream:
        return BeatStream(self._connection, ear, self._options, self._env)

    def _take_over(self, ear: Ear) -> None:
        """The next stream is in charge."""
        assert self._next is not None
        self._ear.in_charge, ear.in_charge = False, True
        self._ear, self.stream = ear, self._next

    async def run(
        self, hello: Hello, again: Callable[[], tuple[Hello, list[Holding]]], taken_over: Callable[[], None]
    ) -> StreamEnd:
        """Until the stream in charge ends.

        again: what the next one says first, and the services that it asks for. taken_over: called when it has them;
        what was asked for on the stream before is answered no more.
        """
        running = asyncio.create_task(self.stream.run(hello), name="orion-stream")
        look_s = LOOK_S
        try:
            while True:
                changes = self._connection.token_may_change
                done, _ = await asyncio.wait({running}, timeout=look_s if changes else None)
                if done:
                    return running.result()
                look_s, mark = LOOK_S, self._connection.token_mark
                if mark != self._mark and self._ear.answered.is_set() and not self.stream.is_leaving:
                    taken = await self._hand_over(running, *again())
                    if taken is None:
                        look_s = AGAIN_S
                    else:
                        running, self._mark = taken, mark
                        taken_over()
        finally:
            leaving = {running, *self._leaving}
            for one in leaving:
                one.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)

    async def _hand_over(
        self, running: "asyncio.Task[StreamEnd]", hello: Hello, asked: list[Holding]
    ) -> "asyncio.Task[StreamEnd] | None":
        """The run of the next stream, once it carries what the present one did; None = it was refused."""
        ear = Ear(self._owner, self._take_over)
        self._next = stream = self._open(ear)
        following = asyncio.create_task(stream.run(hello), name="orion-stream")
        answered = asyncio.create_task(ear.answered.wait())
        self._leaving.add(following)
        following.add_done_callback(self._leaving.discard)
        try:
            await asyncio.wait({following, answered, running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
        if not ear.in_charge:
            for holding in asked:
                holding.asked = False
            following.cancel()
            logger.warning("the token has changed, and the new one opens no stream yet: trying again in %g s", AGAIN_S)
            return None
        self._leaving.discard(following)
        self._leave(running)
        logger.info("the token has changed: a stream that was opened with it carries the services now")
        return following

    def _leave(self, running: "asyncio.Task[StreamEnd]") -> None:
        """The registry ends a stream that has lost its services; if it does not, this side does."""
        self._leaving.add(running)
        running.add_done_callback(self._leaving.discard)
        timer = asyncio.get_running_loop().call_later(LET_GO_S, running.cancel)
        running.add_done_callback(lambda _: timer.cancel())
