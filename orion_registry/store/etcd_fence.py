"""What stands between a writer's old writes and its new ones: a key of its own that each of them compares."""

import asyncio
from typing import Protocol

from orion_registry.etcd.client import Etcd, Put


class Fence(Protocol):
    """A key of this writer's that every write compares: once it is written anew, no earlier write can take place."""

    @property
    def key(self) -> str:
        """The key."""
        ...

    @property
    def revision(self) -> int:
        """Its revision; 0 while it is not there: then nothing may be written."""
        ...

    async def renew(self) -> None:
        """Writes it anew.

        Raises:
            EtcdError: it is not known to have been.
        """
        ...


class OwnFence:
    """The fence of a store that is no member."""

    def __init__(self, etcd: Etcd, key: str) -> None:
        self._etcd = etcd
        self._writing = asyncio.Lock()
        self.key = key
        self.revision = 0

    async def renew(self) -> None:
        """See `Fence`."""
        async with self._writing:
            self.revision = (await self._etcd.commit({}, [Put(self.key, b"")])).revision
