"""`HeartbeatSession`, for threads: the beats go on in the shared loop, whatever the program's own threads do."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from orion_registry.client import session as aio
from orion_registry.client.options import SessionOptions
from orion_registry.client.state import ConnectionState
from orion_registry.core.frames import Drain, LostReason
from orion_registry.core.model import Load, ServiceStatus, SessionRef
from orion_registry.errors import RegistryError
from orion_registry.sync.blocking import Blocking
from orion_registry.sync.loop import LoopThread


class HeartbeatSession:
    """As the asyncio session; made by `RegistryClient.session`, used with `with`, or `start` and `stop`.

    When the session fails for good the body of `with` is not cancelled, for no thread can be: it ends by itself, and
    the error is raised then unless it raised one of its own. Look at `connection_state`, wait for `ended`, or give
    `on_lost`.
    """

    def __init__(self, loop: LoopThread, inner: aio.HeartbeatSession) -> None:
        self._loop = loop
        self._inner = inner

    @property
    def connection_state(self) -> ConnectionState:
        """How it stands with the registry now."""
        return self._inner.connection_state

    @property
    def last_error(self) -> RegistryError | None:
        """Why the last attempt or stream failed, for people."""
        return self._inner.last_error

    wait_for = Blocking(aio.HeartbeatSession.wait_for)
    ended = Blocking(aio.HeartbeatSession.ended)
    start = Blocking(aio.HeartbeatSession.start)
    stop = Blocking(aio.HeartbeatSession.stop)

    def ref(self, service_id: str = "") -> SessionRef:
        """As `orion_registry.client.session.HeartbeatSession.ref`."""
        return self._loop.read(lambda: self._inner.ref(service_id))

    def set_load(self, load: Load, service_id: str = "") -> None:
        """As `orion_registry.client.session.HeartbeatSession.set_load`."""
        self._loop.read(lambda: self._inner.set_load(load, service_id))

    def report_task(self, progress: int = 0, *, age_s: float | None = None, service_id: str = "") -> None:
        """As `orion_registry.client.session.HeartbeatSession.report_task`."""
        self._loop.read(lambda: self._inner.report_task(progress, age_s=age_s, service_id=service_id))

    def report_idle(self, service_id: str = "") -> None:
        """As `orion_registry.client.session.HeartbeatSession.report_idle`."""
        self._loop.read(lambda: self._inner.report_idle(service_id))

    def report_status(self, status: ServiceStatus, service_id: str = "") -> None:
        """As `orion_registry.client.session.HeartbeatSession.report_status`."""
        self._loop.read(lambda: self._inner.report_status(status, service_id))

    def __enter__(self) -> "HeartbeatSession":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> Literal[False]:
        over = self.connection_state in (ConnectionState.CLOSED, ConnectionState.SUPERSEDED)
        self.stop()
        if over and kind is None:
            self.ended()  # raises what ended it
        return False


def for_threads(
    options: SessionOptions,
    on_command: Callable[[Drain], None] | None,
    on_lost: Callable[[str, LostReason], None] | None,
) -> SessionOptions:
    """The options with handlers that run in threads of their own, so that they block no beat."""
    if on_command is not None:
        handle = on_command

        async def command(drain: Drain) -> None:
            await asyncio.to_thread(handle, drain)

        options = replace(options, on_command=command)
    if on_lost is not None:
        tell = on_lost

        def lost(service_id: str, reason: LostReason) -> None:
            asyncio.get_running_loop().run_in_executor(None, tell, service_id, reason)

        options = replace(options, on_lost=lost)
    return options
