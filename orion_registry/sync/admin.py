"""`AdminClient`, for threads."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Literal

from orion_registry.client import admin as aio
from orion_registry.client.credentials import Credentials
from orion_registry.sync.blocking import Blocking, Iterating
from orion_registry.sync.loop import shared


class AdminClient:
    """As `orion_registry.client.admin.AdminClient`, for threads; use it inside `with`."""

    def __init__(
        self,
        address: str | Sequence[str] = "",
        *,
        profile: str = "",
        timeout_s: float = aio.DEFAULT_TIMEOUT_S,
        credentials: Credentials | None = None,
    ) -> None:
        """Arguments and errors as those of `orion_registry.client.admin.AdminClient`."""
        self._loop = shared()
        self._inner = aio.AdminClient(address, profile=profile, timeout_s=timeout_s, credentials=credentials)

    def __enter__(self) -> "AdminClient":
        self._loop.run(self._inner.__aenter__())
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    @property
    def address(self) -> str:
        """The address that calls go to now."""
        return self._inner.address

    close = Blocking(aio.AdminClient.close)
    server_info = Blocking(aio.AdminClient.server_info)
    list_events = Blocking(aio.AdminClient.list_events)
    watch_events = Iterating(aio.AdminClient.watch_events)
    set_overlay = Blocking(aio.AdminClient.set_overlay)
    overlays = Iterating(aio.AdminClient.overlays)
    remove_service = Blocking(aio.AdminClient.remove_service)
    audit_page = Blocking(aio.AdminClient.audit_page)
    export_snapshot = Iterating(aio.AdminClient.export_snapshot)

    def import_snapshot(self, pieces: Iterable[bytes]) -> aio.Import:
        """Adds the services of a snapshot file that are not registered, all or nothing.

        The pieces are taken in the shared event loop: they must be at hand. Errors as those of the asyncio client.
        """
        return self._loop.run(self._inner.import_snapshot(_pieces(pieces)))


async def _pieces(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
