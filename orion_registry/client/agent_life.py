"""One life of an agent: its server and its session, from the start to the last call that finished."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from orion_registry.client.agent_server import CallServer
from orion_registry.client.capability import Capability
from orion_registry.client.client import RegistryClient
from orion_registry.client.options import SessionOptions
from orion_registry.client.session import HeartbeatSession
from orion_registry.client.state import ConnectionState
from orion_registry.core.frames import Drain
from orion_registry.core.model import Load, ServiceSpec, ServiceStatus
from orion_registry.errors import RegistryError

logger = logging.getLogger(__name__)

TELL_S: Final = 2.0
"""How long the registry may take to note that the agent stops; if it is away, nobody is selected anyway."""
QUIET_S: Final = 0.25
"""How long nothing may begin before the agent goes: whoever was selected just before is on the way."""
FLUSH_S: Final = 1.0
"""How long the last answers may take to be written."""

_OVER: Final = frozenset({ConnectionState.CLOSED, ConnectionState.SUPERSEDED})


class AgentLife:
    """Starts once, stops once. Belongs to one event loop."""

    def __init__(
        self, spec: ServiceSpec, capabilities: Iterable[Capability], options: SessionOptions, drain_timeout_s: float
    ) -> None:
        self._spec = spec
        self._options = options
        self._drain_timeout_s = drain_timeout_s
        self._server = CallServer(spec.agent_id, capabilities, spec.max_concurrency, self._tell_load)
        self._hurry = asyncio.Event()
        self._client: RegistryClient | None = None
        self._session: HeartbeatSession | None = None
        self._stopping: asyncio.Task[bool] | None = None
        self.address = ""

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._server.in_flight

    @property
    def session(self) -> HeartbeatSession:
        """Its heartbeat session. Raises RuntimeError before the start."""
        if self._session is None:
            raise RuntimeError("the agent does not run yet")
        return self._session

    async def start(self, client: RegistryClient, host: str, port: int) -> None:
        """Serves, then registers; of a start that fails nothing is left. The client becomes its own."""
        try:
            bound = await self._server.listen(host, port)
            self.address = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
            options = replace(self._options, on_command=self._obey)
            specs = [replace(self._spec, port=bound)]
            self._session = client.session(self._spec.agent_id, specs, options)
            self._session.set_load(Load())  # one that never told its load is not taken for drained
            await self._session.start()
        except BaseException:
            await self._server.close(0.0)
            await client.close()
            raise
        self._client = client

    def hurry(self) -> None:
        """Waits for calls no more."""
        self._hurry.set()

    async def stop(self) -> bool:
        """Drains and leaves; returns whether all calls finished. Idempotent."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"orion-agent-stop {self._spec.agent_id}")
        return await asyncio.shield(self._stopping)

    async def _stop(self) -> bool:
        session, client = self._session, self._client
        if session is None or client is None:  # it never started
            return True
        if session.connection_state not in _OVER:
            await self._tell_stopping(session, client)
        finished = await self._finish()
        self._server.refuse()
        await session.stop()
        await client.close()
        await self._server.close(FLUSH_S if finished else 0.0)
        return finished

    async def _tell_stopping(self, session: HeartbeatSession, client: RegistryClient) -> None:
        """When it returns, nobody is selected for this agent any more, unless the registry did not answer."""
        session.report_status(ServiceStatus.STOPPING)  # again after each reconnect
        try:
            await client.update_status(session.ref(), ServiceStatus.STOPPING, timeout_s=TELL_S)
        except RegistryError as error:
            logger.info("agent %s stops and could not say so: %s", self._spec.agent_id, error.message)

    async def _finish(self) -> bool:
        """Waits for the calls under way, for those on their way, and not for ever."""
        waits = {asyncio.create_task(self._server.rest(QUIET_S)), asyncio.create_task(self._hurry.wait())}
        await asyncio.wait(waits, timeout=self._drain_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
        await asyncio.wait(waits)
        left = self._server.in_flight
        if left:
            logger.warning("agent %s stops and cuts %d calls off", self._spec.agent_id, left)
        return not left

    def _tell_load(self, in_flight: int) -> None:
        if self._session is not None:
            self._session.set_load(Load(in_flight=in_flight))

    async def _obey(self, command: Drain) -> None:
        """The registry selects it no more, and learns from its load when nothing is left: it stays until it is stopped.

        Were it to end by itself, whatever starts it again would start it again for nothing, and nobody could clear it.
        """
        until = "" if command.deadline_s is None else f", for {command.deadline_s:g} s at most"
        logger.warning(
            "agent %s is drained by an operator: it finishes %d calls%s", self._spec.agent_id, self.in_flight, until
        )
        if self._options.on_command is not None:
            await self._options.on_command(command)
