"""A store on etcd, which several daemons may share: every write compares what it changes with what its writer knew."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

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
from orion_registry.core.timeline import StatusEdge
from orion_registry.etcd import client as etcd_client
from orion_registry.etcd.client import MOST_BYTES, MOST_OPS, Etcd, KeyValue, Op, size_of
from orion_registry.etcd.failures import EtcdError
from orion_registry.etcd.mirror import Mirror
from orion_registry.etcd.watch import Change
from orion_registry.store.base import Store, StoreDamaged, StoreFailed
from orion_registry.store.etcd_edges import EtcdEdges
from orion_registry.store.etcd_fence import Fence, OwnFence
from orion_registry.store.etcd_keys import Keys
from orion_registry.store.etcd_writes import EtcdWrites, StoreConflict, plain
from orion_registry.store.memory import MemoryStore
from orion_registry.store.rows import (
    edge_from_json,
    overlay_from_json,
    overlay_to_json,
    record_from_json,
    record_to_json,
)

log = logging.getLogger("orion_registry")

BATCH = MOST_OPS // 2 - 1
"""Services in one transaction: two keys each, and the fence."""


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
        owned: asked for each record that is written; a cluster sets it.
        edges: changes of status.
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
        self.owned: Owned = lambda _: None
        self._audit = audit or MemoryStore()
        self.edges = EtcdEdges(etcd, keys, self.mirror, BATCH)
        self._writes = EtcdWrites(etcd, self.mirror, fence or OwnFence(etcd, keys.fence(name)), name)
        self._epochs_below = 1
        self._reserving = asyncio.Lock()

    @property
    def alarm(self) -> str:
        """See `Store`."""
        return self._writes.alarm

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
        self.edges.restore(edges)
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
        """One transaction; see `EtcdWrites.write`."""
        return await self._writes.write(rows, known)

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
                self.edges.forget(fact.service_id)
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

    def note(self, edges: Sequence[StatusEdge]) -> None:
        """See `Store.note`."""
        self.edges.note(edges)

    async def close(self) -> None:
        """See `Store.close`."""
        await self.edges.stop()
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
