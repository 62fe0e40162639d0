"""`Watch`, for threads."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from orion_registry.client import watch as aio
from orion_registry.client.fold import WatchEvent
from orion_registry.client.state import ConnectionState
from orion_registry.errors import RegistryError
from orion_registry.sync.blocking import Blocking, Flag
from orion_registry.sync.loop import LoopThread
from orion_registry.wire.service import Service


class Watch:
    """As the asyncio watch; made by `RegistryClient.watch`, used with `with`. Iterating waits for the next event.

    Attributes:
        filled: set once there is something to go by: the first snapshot, or the cache.
        synced: set once the first snapshot is whole; `synced.wait(timeout_s)` waits for it.
    """

    def __init__(self, loop: LoopThread, inner: aio.Watch) -> None:
        self._loop = loop
        self._inner = inner
        self.synced = Flag(loop, inner.synced)
        self.filled = Flag(loop, inner.filled)

    @property
    def services(self) -> Mapping[str, Service]:
        """The view, by service_id, as it is now: a copy, which does not change."""
        return MappingProxyType(self._loop.read(lambda: dict(self._inner.services)))

    @property
    def connection_state(self) -> ConnectionState:
        """How it stands with the registry now."""
        return self._inner.connection_state

    @property
    def position(self) -> tuple[int, str]:
        """Revision and history_id that the view shows."""
        return self._inner.position

    @property
    def is_cached(self) -> bool:
        """Whether the view is that of the cache: the registry was away when the watch began, and still is."""
        return self._loop.read(lambda: self._inner.is_cached)

    @property
    def stale_for_s(self) -> float:
        """How old the view is, in seconds; see `orion_registry.client.watch.Watch`."""
        return self._loop.read(lambda: self._inner.stale_for_s)

    @property
    def last_error(self) -> RegistryError | None:
        """Why the last stream ended; None if none has."""
        return self._inner.last_error

    wait_for = Blocking(aio.Watch.wait_for)
    close = Blocking(aio.Watch.close)

    def __enter__(self) -> "Watch":
        self._loop.run(self._inner.__aenter__())
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def __iter__(self) -> "Watch":
        return self

    def __next__(self) -> WatchEvent:
        """The next event; when the watch is closed, there is none.

        Raises:
            RegistryError: the registry refuses the watch for good.
        """
        try:
            return self._loop.run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
