"""`RegistryClient`, for threads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from orion_registry.client import client as aio
from orion_registry.client.credentials import Credentials
from orion_registry.client.options import SessionOptions
from orion_registry.core.frames import Drain, LostReason
from orion_registry.core.model import ServiceSpec
from orion_registry.core.selector import Selector
from orion_registry.sync.blocking import Blocking
from orion_registry.sync.loop import shared
from orion_registry.sync.session import HeartbeatSession, for_threads
from orion_registry.sync.watch import Watch

_ANY = Selector()
_DEFAULTS = SessionOptions()


class RegistryClient:
    """As `orion_registry.RegistryClient`, for threads; use it inside `with`."""

    def __init__(
        self,
        address: str | Sequence[str] = "",
        *,
        profile: str = "",
        timeout_s: float = aio.DEFAULT_TIMEOUT_S,
        credentials: Credentials | None = None,
    ) -> None:
        """Arguments and errors as those of `orion_registry.RegistryClient`."""
        self._loop = shared()
        self._inner = aio.RegistryClient(address, profile=profile, timeout_s=timeout_s, credentials=credentials)

    def __enter__(self) -> "RegistryClient":
        self._loop.run(self._inner.__aenter__())
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    @property
    def address(self) -> str:
        """The address that calls go to now."""
        return self._inner.address

    close = Blocking(aio.RegistryClient.close)

    # For agents.

    def session(
        self,
        agent_id: str,
        services: Sequence[ServiceSpec],
        options: SessionOptions = _DEFAULTS,
        *,
        on_command: Callable[[Drain], None] | None = None,
        on_lost: Callable[[str, LostReason], None] | None = None,
    ) -> HeartbeatSession:
        """A supervised session that registers `services` and keeps them alive. Not started yet.

        Args:
            agent_id: names the agent.
            services: what it offers.
            options: of the session. Its own on_command and on_lost run in the shared event loop: use those below.
            on_command: called with each drain command, in a thread of its own.
            on_lost: called when a service is lost for good, in a thread of its own.
        """
        mine = for_threads(options, on_command, on_lost)
        return HeartbeatSession(self._loop, self._inner.session(agent_id, services, mine))

    register = Blocking(aio.RegistryClient.register)
    unregister = Blocking(aio.RegistryClient.unregister)
    update = Blocking(aio.RegistryClient.update)
    update_status = Blocking(aio.RegistryClient.update_status)
    send_heartbeat = Blocking(aio.RegistryClient.send_heartbeat)

    # For callers.

    get = Blocking(aio.RegistryClient.get)
    discover = Blocking(aio.RegistryClient.discover)
    discover_page = Blocking(aio.RegistryClient.discover_page)

    health = Blocking(aio.RegistryClient.health)
    check_now = Blocking(aio.RegistryClient.check_now)
    health_stats = Blocking(aio.RegistryClient.health_stats)

    def watch(self, selector: Selector = _ANY, *, cache: str | Path = "") -> Watch:
        """A watch of the services that match; it heals itself. Not started yet.

        cache: a file that keeps the last good view; see `orion_registry.RegistryClient.watch`.
        """
        return Watch(self._loop, self._inner.watch(selector, cache=cache))
