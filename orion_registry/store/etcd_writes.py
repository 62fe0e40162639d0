"""One transaction of facts in etcd: behind a fence, compared with what is known, and its outcome found out."""

import asyncio
import logging
from collections.abc import Iterable

from orion_registry.errors import Reason, Unavailable
from orion_registry.etcd.client import Delete, Etcd, Op, Put
from orion_registry.etcd.failures import EtcdError, EtcdUnavailable, EtcdUnreachable
from orion_registry.etcd.mirror import Mirror
from orion_registry.store.base import StoreFailed
from orion_registry.store.etcd_fence import Fence

log = logging.getLogger("orion_registry")

RETRY_S = 0.2
CONFLICT_RETRY_S = 0.1


class StoreConflict(Unavailable):
    """Another member has changed the same facts since: nothing of the batch is stored.

    What it changed has been told by then: plan again.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        message = f"another member has just changed {', '.join(sorted(keys)[:3])}; try again"
        super().__init__(Reason.STORE_DOWN, message, retry_after_s=CONFLICT_RETRY_S)


class StoreOpen(Unavailable):
    """Nobody can tell any more whether a removal took place here or at another member: the facts are gone."""

    def __init__(self) -> None:
        message = "etcd did not answer in time; the outcome is open"
        super().__init__(Reason.STORE_DOWN, message, retry_after_s=CONFLICT_RETRY_S)


def plain(value: bytes) -> bytes:
    """What stands under a key, without the mark of the write that put it there (`EtcdWrites.write`)."""
    return value.partition(b"\n")[0]


class EtcdWrites:
    """Writes for one writer.

    Attributes:
        fence: see `Fence`.
        alarm: why etcd does not take what is written; empty while it does.
    """

    def __init__(self, etcd: Etcd, mirror: Mirror, fence: Fence, name: str) -> None:
        """Args: etcd: where; mirror: what is known of it; fence; name: of this writer; differs from all others'."""
        self._etcd = etcd
        self._mirror = mirror
        self.fence = fence
        self.alarm = ""
        self._name, self._marks = name, 0
        self._fencing = asyncio.Lock()

    async def write(self, rows: dict[str, list[Op]], known: dict[str, int] | None = None) -> int:
        """One transaction: for each key that is compared, what is done. Returns its revision.

        The first value carries a mark behind it, so that a write without an answer is known from one of the same value
        that another member made. known: revisions that are compared; None = those that are known now.

        Raises:
            StoreConflict, StoreFailed: nothing was done.
            StoreOpen: nobody knows.
        """
        ops = [op for of_key in rows.values() for op in of_key]
        if not ops:
            return 0
        ops[0] = self._marked(ops[0])
        unchanged = known or {key: self._mirror.revision_of(key) for key in rows}
        written = {op.key: isinstance(op, Delete) for op in ops}
        self._mirror.hold(written)
        try:
            revision = await self._send(unchanged, ops)
        except BaseException:
            self._mirror.release(written)
            raise
        for key, deleted in written.items():
            self._mirror.own(key, revision, deleted=deleted)
        # What others did to it since is told only after whoever waits for this write has made it true: two turns on.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._mirror.release, written)
        self.alarm = ""
        return revision

    def _marked(self, op: Op) -> Op:
        self._marks += 1
        if isinstance(op, Delete):
            return op
        return Put(op.key, op.value + f"\n{self._name}-{self._marks:x}".encode(), op.lease)

    async def _send(self, unchanged: dict[str, int], ops: list[Op]) -> int:
        while True:
            fence = await self._standing_fence()
            try:
                outcome = await self._etcd.commit({**unchanged, self.fence.key: fence}, ops)
            except EtcdUnreachable as error:
                raise self._failed(error) from error
            except EtcdUnavailable as error:
                return await self._find_out(unchanged, ops, error)
            except EtcdError as error:
                raise self._failed(error) from error
            if outcome.succeeded:
                return outcome.revision
            found = {kv.key: kv.revision for kv in outcome.found}
            changed = [key for key, revision in unchanged.items() if found.get(key, 0) != revision]
            if changed:
                self._mirror.saw(changed, [kv for kv in outcome.found if kv.key in changed], outcome.revision)
                raise StoreConflict(changed)
            if fence == self.fence.revision:  # somebody else removed or wrote it
                raise self._failed(StoreFailed("this writer is not known in etcd at present"))

    async def _standing_fence(self) -> int:
        if not self.fence.revision:
            async with self._fencing:
                try:
                    if not self.fence.revision:  # another write may have seen to it
                        await self.fence.renew()
                except EtcdError as error:
                    raise self._failed(error) from error
        return self.fence.revision

    async def _find_out(self, unchanged: dict[str, int], ops: list[Op], why: EtcdError) -> int:
        """No answer came: closes the door behind the write, then looks whether it went through."""
        log.warning("a write to etcd was left open", extra={"error": str(why)})
        while True:
            try:
                await self.fence.renew()
                first = ops[0]
                read = await self._etcd.get(first.key)
                break
            except EtcdError as error:
                self._failed(error)
                await asyncio.sleep(RETRY_S)
        if isinstance(first, Put):
            if read.kvs and read.kvs[0].value == first.value and read.kvs[0].revision > unchanged.get(first.key, 0):
                return read.kvs[0].revision
        elif not read.kvs:
            raise StoreOpen from why
        raise self._failed(why) from why

    def _failed(self, error: Exception) -> StoreFailed:
        self.alarm = str(error)
        return StoreFailed(str(error))
