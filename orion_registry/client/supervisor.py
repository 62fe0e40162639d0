"""Keeps an agent's services on a heartbeat stream: connects again and again, registers again what was forgotten."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from orion_registry.client.backoff import Backoff
from orion_registry.client.changeover import Changeover
from orion_registry.client.channel import Connection
from orion_registry.client.claims import claim
from orion_registry.client.environment import Environment
from orion_registry.client.failures import Unreachable
from orion_registry.client.holding import Holding, HoldState, is_lasting
from orion_registry.client.holdings import Holdings
from orion_registry.client.options import SessionOptions
from orion_registry.client.state import ConnectionState, ObservableState
from orion_registry.client.stream import BeatStream, StreamEnd
from orion_registry.core.frames import (
    Attach,
    CommandAck,
    Drain,
    Hello,
    Lost,
    LostReason,
    ServiceBeat,
    Sessions,
)
from orion_registry.errors import Reason, RegistryError, Unauthenticated

logger = logging.getLogger(__name__)

SDK = "orion-registry-python/0.1"


class Supervisor:
    """The engine of a session; a `StreamOwner`.

    Attributes:
        state: the connection state that users see.
        failure: what ended it for good.
        last_error: why the last attempt or stream failed.
        stopping: set before a goodbye: the next end of the stream is wanted.
    """

    def __init__(
        self,
        connection: Connection,
        agent_id: str,
        holdings: Holdings,
        options: SessionOptions,
        environment: Environment,
        on_failure: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._agent_id = agent_id
        self._holdings = holdings
        self._options = options
        self._env = environment
        self._on_failure = on_failure
        self._instance_id = options.instance_id or environment.new_id()
        self._backoff = Backoff(environment.draw)
        self._unsettled = asyncio.Event()
        self._chores: set[asyncio.Task[None]] = set()
        self._streams: Changeover | None = None
        self.state = ObservableState()
        self.failure: Exception | None = None
        self.last_error: RegistryError | None = None
        self.stopping = False

    async def run(self) -> None:
        """Connects again and again until told to stop, or until nothing is left to hold."""
        try:
            while True:
                asked_s = await self._live_once()
                if self.stopping or self._is_over():
                    return
                if self._connection.is_closed:
                    closed = Unreachable("the client is closed", address=self._connection.address)
                    self._fail(closed, ConnectionState.CLOSED)
                    return
                if self.state.value is ConnectionState.CONNECTED:
                    self.state.set(ConnectionState.RECONNECTING)
                await self._env.sleep(self._backoff.next(asked_s))
        except Exception as error:  # a fault of this library: better raised to the user than a silent death
            logger.exception("the session of agent %s failed", self._agent_id)
            self._fail(error, ConnectionState.CLOSED)

    def take_chores(self) -> set[asyncio.Task[None]]:
        """Command handlers that still run, to be ended; not the one that asks."""
        return {chore for chore in self._chores if chore is not asyncio.current_task()}

    async def _live_once(self) -> float:
        """One attempt, and the stream's life if it succeeds. Returns the seconds that the registry asked to wait."""
        asked_s = await self._claim_all()
        resumable = self._holdings.take_resumable()
        if asked_s is not None and not resumable:
            return asked_s
        if self._is_over():
            return 0.0
        end = await self._stream_once(resumable)
        self.last_error = end.error or self.last_error
        self._backoff.lived(end.served_s)
        level = logging.INFO if end.served_s else logging.DEBUG  # once for each loss, not for each attempt
        if end.error is not None and is_lasting(end.error) and not self.stopping:
            level = logging.ERROR if end.served_s else level  # a start that fails raises it
            self._fail(end.error, ConnectionState.CLOSED)
        if end.served_s and isinstance(end.error, Unauthenticated):
            level = max(level, logging.WARNING)  # it goes on with what token_file holds then; somebody has to see to it
        how = end.error or "closed by the registry"
        logger.log(level, "heartbeat stream of agent %s ended after %.1f s: %s", self._agent_id, end.served_s, how)
        if end.go_away is not None:
            self._connection.sent_away(end.address, end.go_away.alternates)
            return end.go_away.reconnect_after_s
        return (end.error.retry_after_s or 0.0) if end.error is not None else 0.0

    async def _stream_once(self, resumable: list[Holding]) -> StreamEnd:
        self._streams = streams = Changeover(self._connection, self, self._options, self._env)
        hello = self._hello(resumable)
        self._settle()
        mender = asyncio.create_task(self._mend(streams), name="orion-mender")
        try:
            end = await streams.run(hello, self._hello_again, self._taken_over)
            if self.stopping and end.error is None:
                self._holdings.said_goodbye()
            elif end.error is not None and end.error.reason is Reason.SUPERSEDED:
                self._holdings.superseded()
            return end
        finally:
            self._streams = None
            self._holdings.stream_ended()
            mender.cancel()
            with suppress(asyncio.CancelledError):
                await mender

    def _hello(self, holdings: list[Holding]) -> Hello:
        sessions = tuple(holding.request() for holding in holdings)
        return Hello(agent_id=self._agent_id, instance_id=self._instance_id, sdk=SDK, sessions=sessions)

    def _hello_again(self) -> tuple[Hello, list[Holding]]:
        """For a stream that is to take over from the present one."""
        held = self._holdings.take_held()
        return self._hello(held), held

    def _taken_over(self) -> None:
        self._holdings.ask_again()
        self._settle()

    @property
    def stream(self) -> BeatStream | None:
        """The stream that carries the services, or None."""
        return self._streams.stream if self._streams is not None else None

    async def _claim_all(self) -> float | None:
        """Registers what needs it. Returns None if all is registered, else the seconds to wait before trying again."""
        error = await claim(self._connection, self._holdings, self._options, self._env)
        if error is None:
            return None
        self.last_error = error
        return error.retry_after_s or 0.0

    async def _mend(self, streams: Changeover) -> None:
        """While the stream lives: brings back services that it lost or that hello could not carry."""
        backoff, asked_s, mended = Backoff(self._env.draw), 0.0, self._env.now()
        while True:
            await self._unsettled.wait()
            backoff.lived(self._env.now() - mended)
            await self._env.sleep(backoff.next(asked_s))
            self._unsettled.clear()
            asked_s = await self._claim_all() or 0.0
            resumable = self._holdings.take_resumable()
            if resumable:
                streams.stream.send(Attach(sessions=tuple(holding.request() for holding in resumable)))
            mended = self._env.now()
            self._is_over()

    # What the stream tells (StreamOwner).

    def on_sessions(self, sessions: Sessions) -> bool:
        """Takes the results of a hello or an attach."""
        for result in sessions.results:
            self._holdings.take_result(result)
        held = any(holding.state is HoldState.HELD for holding in self._holdings)
        if not self._is_over() and held:
            starting = self.state.value is ConnectionState.CONNECTING
            if not (starting and self._holdings.needs_work()):
                self.state.set(ConnectionState.CONNECTED)
        return held

    def on_lost(self, lost: Lost) -> None:
        """Notes a loss; the mender brings back what may come back."""
        level = logging.DEBUG if lost.reason is LostReason.UNREGISTERED else logging.WARNING
        logger.log(level, "agent %s lost service %s: %s", self._agent_id, lost.service_id, lost.reason.name)
        self._holdings.lost(lost)
        self._is_over()

    def on_command(self, command: Drain) -> None:
        """Hands a command to the user's handler and acknowledges it."""
        chore = asyncio.create_task(self._obey(command), name="orion-command")
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def _obey(self, command: Drain) -> None:
        if self.stream is not None:
            self.stream.send(CommandAck(nonce=command.nonce))
        handler = self._options.on_command
        if handler is None:
            logger.warning("agent %s was asked to drain and has no on_command handler", self._agent_id)
            return
        try:
            await handler(command)
        except Exception:  # a handler's fault must not end the session
            logger.exception("on_command of agent %s failed", self._agent_id)

    def service_beats(self, loop_lag_s: float | None) -> tuple[ServiceBeat, ...]:
        """News for the next beat."""
        return self._holdings.beats(loop_lag_s, self._env.now())

    # How it ends.

    def _settle(self) -> None:
        """Tells the user of final losses, and wakes the mender if there is work for it."""
        for holding in self._holdings.take_final():
            if holding.error is not None and self.state.value is not ConnectionState.CONNECTING:  # else it is raised
                logger.error("%s", holding.error.message)
            if self._options.on_lost is not None and holding.was_held:
                taken = holding.state is HoldState.SUPERSEDED
                try:
                    self._options.on_lost(holding.service_id, LostReason.SUPERSEDED if taken else LostReason.REMOVED)
                except Exception:  # a handler's fault must not end the session
                    logger.exception("on_lost of agent %s failed", self._agent_id)
        if self._holdings.needs_work():
            self._unsettled.set()

    def _is_over(self) -> bool:
        """Ends the session if nothing is left to hold, or if the start was refused; returns whether it has ended."""
        self._settle()
        if self._holdings.all_gone():
            self.state.set(ConnectionState.CLOSED)
            return True
        error = self._holdings.final_error(starting=self.state.value is ConnectionState.CONNECTING)
        if error is not None:
            superseded = error.reason is Reason.SUPERSEDED
            self._fail(error, ConnectionState.SUPERSEDED if superseded else ConnectionState.CLOSED)
        return self.failure is not None

    def _fail(self, error: Exception, state: ConnectionState) -> None:
        if self.failure is None:
            self.failure = error
            self.state.set(state)
            self._on_failure()
