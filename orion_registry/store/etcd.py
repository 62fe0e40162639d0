"""A store on etcd, which several daemons may share: every write compares what it changes with what its writer knew."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Protocol

from orion_registry.core.audit import AuditHead, AuditRecord
from orion_registry.core.facts import (
    Audit,
    Delete,
    DeleteOverlay,
    Fact,
    Put,
    PutOverlay,
    ReserveEpochs,
    Stored,
    TrimAudit,
)
from orion_registry.core.timeline import StatusEdge, Timeline
from orion_registry.errors import Reason, Unavailable
from orion_registry.etcd import client as etcd_client
from orion_registry.etcd.client import MOST_BYTES, MOST_OPS, Etcd, KeyValue, Op, size_of
from orion_registry.etcd.failures import EtcdError, EtcdUnavailable, EtcdUnreachable
from orion_registry.etcd.mirror import Mirror
from orion_registry.etcd.watch import Change
from orion_registry.store.base import Store, StoreDamaged, StoreFailed
from orion_registry.store.etcd_keys import Keys
from orion_registry.store.memory import MemoryStore
from orion_registry.store.rows import (
    edge_from_json,
    edge_to_json,
    overlay_from_json,
    overlay_to_json,
    record_from_json,
    record_to_json,
)

log = logging.getLogger("orion_registry")

FLUSH_S = 0.5
"""How long changes of status wait for others to be written with."""
RETRY_S = 0.2
CONFLICT_RETRY_S = 0.1
BATCH = MOST_OPS // 2 - 1
"""Services in one transaction: two keys each, and the fence."""


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
    """What stands under a key, without the mark of the write that put it there (`EtcdStore.write`)."""
    return value.partition(b"\n")[0]


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
            self.revision = (await self._etcd.commit({}, [etcd_client.Put(self.key, b"")])).revision


Owned = Callable[[Put], Op | None]
"""What is to be written of a service's owner together with its record; None = nothing."""


class EtcdStore:
    """See `Store`. A batch of more than `BATCH` facts is written in several transactions: one that fails leaves those
    before it, and they are told as another's changes are.

    Args:
        etcd: where.
        keys: which keys.
        fence: see `Fence`; None = one of its own, by `name`.
        name: of this writer; differs from all others'.
        audit: where this writer's audit chain is kept; None = in memory. Writers share facts and have a chain each,
            for what one did must not wait for what all others do.
        told: takes changes that others made.

    Attributes:
        mirror: what is known of etcd.
        alarm: see `Store`.
        owned: asked for each record that is written; a cluster sets it.
        notes: whose changes of status are written; a cluster sets it.
    """

    kind = "etcd"

    def __init__(
        self,
        etcd: Etcd,
        keys: Keys,
        *,
        name: str = "store",
        fence: Fence | None = None,
        audit: Store | None = None,
        told: Callable[[Sequence[Change]], None] = lambda _: None,
    ) -> None:
        self.etcd = etcd
        self.keys = keys
        self.mirror = Mirror(etcd, keys.prefix, self._tell)
        self._told = told
        self.alarm = ""
        self.owned: Owned = lambda _: None
        self.notes: Callable[[str], bool] = lambda _: True
        self._name, self._marks = name, 0
        self._audit = audit or MemoryStore()
        self._fence = fence or OwnFence(etcd, keys.fence(name))
        self._epochs_below = 1
        self._reserving, self._fencing = asyncio.Lock(), asyncio.Lock()
        self._timelines: dict[str, Timeline] = {}
        self._unsaved: dict[str, None] = {}
        self._flusher: asyncio.Task[None] | None = None

    # Reading.

    async def load(self) -> Stored:
        """See `Store.load`."""
        await self.load_audit()
        try:
            return self.read(await self.mirror.start())
        except EtcdError as error:
            raise StoreFailed(f"etcd cannot be read: {error}") from error

    async def load_audit(self) -> None:
        """Opens the audit chain. Raises as `load`."""
        await self._audit.load()

    @property
    def audit_anchor(self) -> AuditHead:
        """See `Store`."""
        return self._audit.audit_anchor

    @property
    def audit_head(self) -> AuditHead:
        """See `Store`."""
        return self._audit.audit_head

    async def audit_records(self, after_seq: int, limit: int) -> Sequence[AuditRecord]:
        """See `Store.audit_records`."""
        return await self._audit.audit_records(after_seq, limit)

    def read(self, kvs: Iterable[KeyValue]) -> Stored:
        """The facts that keys hold.

        Raises:
            StoreDamaged: one of them holds something else.
        """
        records, overlays, edges = [], [], []
        for kv in kvs:
            kind, name = self.keys.parts(kv.key)
            try:
                value = plain(kv.value)
                match kind:
                    case "services":
                        records.append(record_from_json(value.decode()))
                    case "overlays":
                        overlays.append(overlay_from_json(value.decode()))
                    case "edges":
                        edges += [edge_from_json(name, text) for text in json.loads(value)]
                    case "epochs":
                        self._epochs_below = int(value)
            except (ValueError, TypeError) as error:
                raise StoreDamaged(kv.key, str(error)) from error
        for edge in edges:
            self._timelines.setdefault(edge.service_id, Timeline()).add(edge)
        return Stored(
            records=tuple(records), epochs_below=self._epochs_below, overlays=tuple(overlays), edges=tuple(edges)
        )

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.key == self.keys.epochs and change.value is not None:
                self._epochs_below = max(self._epochs_below, int(plain(change.value)))
        self._told(changes)

    # Writing.

    def commit(self, facts: Sequence[Fact]) -> Awaitable[None]:
        """See `Store.commit`.

        What the batch compares is what is known now, in the same turn of the loop in which it was planned: news that
        comes before it is sent makes it a conflict.

        Raises:
            StoreConflict: another member was first; see there.
            StoreFailed: nothing of the batch is stored.
        """
        rows = {key: ops for fact in facts for key, ops in self._rows(fact).items()}  # the last of each key counts
        known = {key: self.mirror.revision_of(key) for key in rows}
        bound = max((fact.below for fact in facts if isinstance(fact, ReserveEpochs)), default=0)
        audits = [fact for fact in facts if isinstance(fact, Audit | TrimAudit)]
        return self._commit(rows, known, bound, audits)

    async def _commit(
        self, rows: dict[str, list[Op]], known: dict[str, int], bound: int, audits: Sequence[Audit | TrimAudit]
    ) -> None:
        if bound > self._epochs_below:
            await self.reserve(lambda below: max(below, bound))
        for part in _parts(rows):
            await self.write(part, {key: known[key] for key in part})
        if audits:
            try:
                await self._audit.commit(audits)
            except StoreFailed as error:
                if not rows:
                    raise
                log.error("what was stored in etcd is not in the audit chain", extra={"error": str(error)})

    async def reserve(self, wanted: Callable[[int], int]) -> tuple[int, int]:
        """Raises the bound of epochs to what is wanted, given the present one; returns the bound before and after.

        Raises:
            StoreFailed: it is not stored.
        """
        key = self.keys.epochs
        async with self._reserving:
            while True:
                before = self._epochs_below
                after = wanted(before)
                try:
                    await self.write({key: [etcd_client.Put(key, str(after).encode())]})
                except StoreConflict:  # `_tell` has heard of the bound by now
                    continue
                self._epochs_below = after
                return before, after

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
        unchanged = known or {key: self.mirror.revision_of(key) for key in rows}
        written = {op.key: isinstance(op, etcd_client.Delete) for op in ops}
        self.mirror.hold(written)
        try:
            revision = await self._send(unchanged, ops)
        except BaseException:
            self.mirror.release(written)
            raise
        for key, deleted in written.items():
            self.mirror.own(key, revision, deleted=deleted)
        # What others did to it since is told only after whoever waits for this write has made it true: two turns on.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self.mirror.release, written)
        self.alarm = ""
        return revision

    def _marked(self, op: Op) -> Op:
        self._marks += 1
        if isinstance(op, etcd_client.Delete):
            return op
        return etcd_client.Put(op.key, op.value + f"\n{self._name}-{self._marks:x}".encode(), op.lease)

    async def _send(self, unchanged: dict[str, int], ops: list[Op]) -> int:
        while True:
            fence = await self._standing_fence()
            try:
                outcome = await self.etcd.commit({**unchanged, self._fence.key: fence}, ops)
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
                self.mirror.saw(changed, [kv for kv in outcome.found if kv.key in changed], outcome.revision)
                raise StoreConflict(changed)
            if fence == self._fence.revision:  # somebody else removed or wrote it
                raise self._failed(StoreFailed("this writer is not known in etcd at present"))

    async def _standing_fence(self) -> int:
        if not self._fence.revision:
            async with self._fencing:
                try:
                    if not self._fence.revision:  # another write may have seen to it
                        await self._fence.renew()
                except EtcdError as error:
                    raise self._failed(error) from error
        return self._fence.revision

    async def _find_out(self, unchanged: dict[str, int], ops: list[Op], why: EtcdError) -> int:
        """No answer came: closes the door behind the write, then looks whether it went through."""
        log.warning("a write to etcd was left open", extra={"error": str(why)})
        while True:
            try:
                await self._fence.renew()
                first = ops[0]
                read = await self.etcd.get(first.key)
                break
            except EtcdError as error:
                self._failed(error)
                await asyncio.sleep(RETRY_S)
        if isinstance(first, etcd_client.Put):
            if read.kvs and read.kvs[0].value == first.value and read.kvs[0].revision > unchanged.get(first.key, 0):
                return read.kvs[0].revision
        elif not read.kvs:
            raise StoreOpen from why
        raise self._failed(why) from why

    def _failed(self, error: Exception) -> StoreFailed:
        self.alarm = str(error)
        return StoreFailed(str(error))

    def _rows(self, fact: Fact) -> dict[str, list[Op]]:
        """The keys that a fact is compared by, with what is done."""
        keys = self.keys
        match fact:
            case Put():
                service_id = fact.record.service_id
                key = keys.service(service_id)
                rows: dict[str, list[Op]] = {key: [etcd_client.Put(key, record_to_json(fact.record).encode())]}
                owned = self.owned(fact)
                if owned is not None:
                    rows[owned.key] = [owned]
                return rows
            case Delete():
                key = keys.service(fact.service_id)
                self._timelines.pop(fact.service_id, None)
                if not self.mirror.revision_of(key):
                    return {key: []}
                rest = (keys.standing(fact.service_id), keys.edges(fact.service_id))
                return {key: [etcd_client.Delete(one) for one in (key, *rest)]}
            case PutOverlay():
                key = keys.overlay(fact.overlay.key)
                return {key: [etcd_client.Put(key, overlay_to_json(fact.overlay).encode())]}
            case DeleteOverlay():
                key = keys.overlay(fact.key)
                return {key: [etcd_client.Delete(key)] if self.mirror.revision_of(key) else []}
            case ReserveEpochs() | Audit() | TrimAudit():
                return {}

    # Changes of status.

    def note(self, edges: Sequence[StatusEdge]) -> None:
        """See `Store.note`."""
        for edge in edges:
            if self.notes(edge.service_id) and self.mirror.revision_of(self.keys.service(edge.service_id)):
                self._timelines.setdefault(edge.service_id, Timeline()).add(edge)
                self._unsaved[edge.service_id] = None
        if self._unsaved and (self._flusher is None or self._flusher.done()):
            self._flusher = asyncio.get_running_loop().create_task(self._flush_soon(), name="etcd-edges")

    async def _flush_soon(self) -> None:
        await asyncio.sleep(FLUSH_S)
        await self._flush()

    async def _flush(self) -> None:
        while self._unsaved:
            part = list(islice(self._unsaved, BATCH))
            ops: list[Op] = []
            unchanged: dict[str, int] = {}
            for service_id in part:
                del self._unsaved[service_id]
                key = self.keys.service(service_id)
                revision, timeline = self.mirror.revision_of(key), self._timelines.get(service_id)
                if revision and timeline is not None:
                    unchanged[key] = revision
                    value = json.dumps([edge_to_json(edge) for edge in timeline]).encode()
                    ops.append(etcd_client.Put(self.keys.edges(service_id), value))
            try:
                if ops:
                    await self.etcd.commit(unchanged, ops)
            except EtcdError as error:
                log.debug("changes of status were not kept", extra={"error": str(error)})
                return

    async def close(self) -> None:
        """See `Store.close`."""
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait({self._flusher})
        await self._flush()
        await self.mirror.stop()
        await self.etcd.close()
        await self._audit.close()


def _parts(rows: dict[str, list[Op]]) -> Iterable[dict[str, list[Op]]]:
    """Transactions of as many keys as etcd takes."""
    part: dict[str, list[Op]] = {}
    ops = size = 0
    for key, of_key in rows.items():
        more, bytes_more = max(1, len(of_key)), sum(map(size_of, of_key))
        if part and (ops + more >= MOST_OPS or size + bytes_more > MOST_BYTES):
            yield part
            part, ops, size = {}, 0, 0
        part[key] = of_key
        ops, size = ops + more, size + bytes_more
    if part:
        yield part
