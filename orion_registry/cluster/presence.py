"""This member's one key in etcd, on its one lease: that it is there, and the fence of all that it writes."""

import asyncio
import logging

from orion_registry.cluster.rows import member_to_json
from orion_registry.core.membership import Member
from orion_registry.etcd.client import Etcd, Put
from orion_registry.etcd.failures import EtcdError
from orion_registry.etcd.lease import KeptLease

log = logging.getLogger("orion_registry")


class Presence:
    """A `store.etcd_fence.Fence`.

    Attributes:
        revision: of the key as written last; 0 while this member is not there.
        replaced: another daemon has written it: this one writes nothing any more.
    """

    def __init__(self, etcd: Etcd, key: str, member: Member, ttl_s: int) -> None:
        self._etcd = etcd
        self._value = member_to_json(member)
        self._lease = KeptLease(etcd, ttl_s, self._put_on)
        self._writing = asyncio.Lock()
        self._on = 0
        self.key = key
        self.revision = 0
        self.replaced = False

    async def start(self) -> None:
        """Is there from now on. Raises EtcdError."""
        await self._lease.start()

    async def stop(self) -> None:
        """Is not there any more, at once if etcd answers."""
        await self._lease.stop()
        self.revision = 0

    async def renew(self) -> None:
        """See `Fence`: it is written anew, so nothing that compares what was written before takes place any more."""
        if not self._on:
            raise EtcdError("this member has no lease at present")
        await self._put_on(self._on)

    def seen(self, value: bytes | None, revision: int) -> None:
        """The key was deleted with its lease, or written: by this member, or by another daemon of its name."""
        if value is None:
            if revision > self.revision:
                self.revision = 0
        elif value != self._value and revision > self.revision:
            self.replaced = True
            self.revision = 0

    async def _put_on(self, lease: int) -> None:
        async with self._writing:
            if self.replaced:
                raise EtcdError("another daemon has this member's name")
            self._on = lease
            self.revision = 0  # what is sent meanwhile would compare what is about to be written over
            outcome = await self._etcd.commit({}, [Put(self.key, self._value, lease)])
            self.revision = outcome.revision
