"""The supervised heartbeat session: registers an agent's services and keeps them alive until it is told to stop.

    async with client.session("calc-1", [ServiceSpec(agent_id="calc-1", service_name="calc", port=7000)]) as session:
        await server.wait_for_termination()

Any end of the stream that may pass means: reconnect, with full jitter. A registry that forgot a service gets it
registered again. One that gave a service to another session is final (SUPERSEDED): when nothing is left, the body of
`async with` is cancelled and the error raised from it. So it is when an error that stays ends the stream.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from orion_registry.client.channel import Connection
from orion_registry.client.claims import leave
from orion_registry.client.environment import Environment
from orion_registry.client.failures import Unreachable
from orion_registry.client.holdings import Holdings
from orion_registry.client.options import SessionOptions
from orion_registry.client.state import ConnectionState
from orion_registry.client.supervisor import Supervisor
from orion_registry.core import limits
from orion_registry.core.frames import Goodbye, GoodbyeReason
from orion_registry.core.model import Load, ServiceSpec, ServiceStatus, SessionRef
from orion_registry.core.validation import check_load, check_number
from orion_registry.errors import RegistryError
from orion_registry.wire.requests import encode_load

SETTLED = (ConnectionState.CONNECTED, ConnectionState.CLOSED, ConnectionState.SUPERSEDED)


class HeartbeatSession:
    """Made by `RegistryClient.session`; use it with `async with`, or `start` and `stop`."""

    def __init__(
        self,
        connection: Connection,
        agent_id: str,
        specs: Sequence[ServiceSpec],
        options: SessionOptions,
        environment: Environment,
    ) -> None:
        self._connection = connection
        self._agent_id = agent_id
        self._options = options
        self._env = environment
        self._holdings = Holdings(agent_id, specs, environment)
        self._supervisor = Supervisor(connection, agent_id, self._holdings, options, environment, self._interrupt)
        self._task: asyncio.Task[None] | None = None
        self._body: asyncio.Task[object] | None = None
        self._body_cancelling = 0
        self._interrupted = False

    @property
    def connection_state(self) -> ConnectionState:
        """How it stands with the registry now: CONNECTING, CONNECTED, RECONNECTING, CLOSED or SUPERSEDED."""
        return self._supervisor.state.value

    @property
    def last_error(self) -> RegistryError | None:
        """Why the last attempt or stream failed, for people."""
        return self._supervisor.last_error

    async def wait_for(self, *states: ConnectionState) -> ConnectionState:
        """Waits until the connection state is one of `states`; returns it."""
        return await self._supervisor.state.wait_for(*states)

    async def ended(self) -> None:
        """Waits until the session has ended. Raises the error that ended it, such as `Aborted`/SUPERSEDED.

        `Unreachable` means that the client was closed.
        """
        await self.wait_for(ConnectionState.CLOSED, ConnectionState.SUPERSEDED)
        if self._supervisor.failure is not None:
            raise self._supervisor.failure

    def ref(self, service_id: str = "") -> SessionRef:
        """The right to act for a service, such as in `RegistryClient.update`; without service_id that of the first.

        Raises:
            KeyError: the session holds no such service.
        """
        return self._holdings.find(service_id).ref

    def set_load(self, load: Load, service_id: str = "") -> None:
        """Tells the registry the load of a service (without service_id: of all) with the next beat.

        Raises:
            InvalidArgument: a figure is beyond its limit. Nothing is told, for the registry would end the stream.
            KeyError: the session holds no such service.
        """
        encode_load(check_load("load", load))  # encoded for its types: a fault in them must not stop the beats later
        for holding in self._holdings.select(service_id):
            holding.report(load=load)

    def report_task(self, progress: int = 0, *, age_s: float | None = None, service_id: str = "") -> None:
        """Tells the registry with the next beat that a service (without service_id: all) is busy, and how far it got.

        A busy service whose `progress` does not change for `stuck_after` is STUCK: others are preferred to it. Call it
        when a task begins and at each step; call `report_idle` when there is nothing to do.

        Args:
            progress: any counter that changes while the task gets on.
            age_s: seconds since the task began; None: it is the one reported before, or begins now.
            service_id: the service.

        Raises:
            InvalidArgument: a figure is beyond its limit. Nothing is told, for the registry would end the stream.
            KeyError: the session holds no such service.
        """
        check_number("progress", progress, -(2**63), 2**63 - 1)
        check_number("age_s", age_s or 0.0, 0.0, limits.TASK_AGE_MAX_S)
        now = self._env.now()
        for holding in self._holdings.select(service_id):
            known = now if holding.task_began is None else holding.task_began
            holding.report_task(known if age_s is None else now - age_s, progress)

    def report_idle(self, service_id: str = "") -> None:
        """Tells the registry with the next beat that a service (without service_id: all) has nothing to do.

        Raises:
            KeyError: the session holds no such service.
        """
        for holding in self._holdings.select(service_id):
            holding.report_task(None, holding.progress)

    def report_status(self, status: ServiceStatus, service_id: str = "") -> None:
        """Tells the registry at once how a service (without service_id: all) sees itself; HEALTHY clears it.

        Sent again after each reconnect. The registry may see it worse, never better.
        """
        for holding in self._holdings.select(service_id):
            holding.report(status=status)
        if self._supervisor.stream is not None:
            self._supervisor.stream.beat_now()

    async def start(self) -> None:
        """Registers all services, opens the stream, and returns when the registry has accepted them.

        Raises:
            RegistryError: the first refusal that does not pass; AGENT_IN_USE after claim_timeout_s; the last failure,
                or `Unreachable`, after start_timeout_s.
        """
        if self._task is not None:
            raise RuntimeError("a session starts once")
        self._task = asyncio.create_task(self._supervisor.run(), name=f"orion-session {self._agent_id}")
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                await self.wait_for(*SETTLED)
        except TimeoutError:
            message = f"{self._connection.address}: the session did not start in {self._options.start_timeout_s:g} s"
            failure = self.last_error or Unreachable(message, address=self._connection.address)
        except asyncio.CancelledError:
            await self.stop()
            raise
        failure = failure or self._supervisor.failure
        if failure is not None:
            await self.stop()
            raise failure

    async def stop(self, reason: GoodbyeReason = GoodbyeReason.STOPPING) -> None:
        """Says goodbye, waits shortly for the registry to take note, and takes everything down. Idempotent.

        STOPPING unregisters the services; MOVING leaves them registered, for a process that comes back at once.
        """
        supervisor, task = self._supervisor, self._task
        supervisor.stopping = True
        if task is not None:
            if not task.done() and supervisor.stream is not None and supervisor.stream.is_answered:
                supervisor.stream.say_goodbye(Goodbye(reason=reason))
                await asyncio.wait({task}, timeout=self._options.goodbye_timeout_s)
            ending = {task, *supervisor.take_chores()}
            for one in ending:
                one.cancel()
            await asyncio.wait(ending)
            if reason is GoodbyeReason.STOPPING:
                await leave(self._connection, self._holdings, self._options.goodbye_timeout_s)
        if self.connection_state is not ConnectionState.SUPERSEDED:
            supervisor.state.set(ConnectionState.CLOSED)

    async def __aenter__(self) -> "HeartbeatSession":
        await self.start()
        self._body = asyncio.current_task()
        self._body_cancelling = 0 if self._body is None else self._body.cancelling()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> Literal[False]:
        body, self._body = self._body, None
        if not self._interrupted or body is None:
            await self.stop()
            return False
        if kind is None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)  # takes the cancellation that was not delivered yet
        mine = body.uncancel() <= self._body_cancelling  # as asyncio.timeout does: nobody else cancelled the body
        await self.stop()
        if self._supervisor.failure is not None and mine and (kind is None or kind is asyncio.CancelledError):
            raise self._supervisor.failure from error
        return False

    def _interrupt(self) -> None:
        """The session has failed for good: the body of `async with` is to end."""
        if self._body is not None:
            self._interrupted = True
            self._body.cancel()
