"""A store that forgets with its process: for trying things out, and for tests."""

from collections.abc import Sequence

from orion_registry.core.audit import AuditHead, AuditRecord, record_of, sealed
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
from orion_registry.core.model import Record
from orion_registry.core.overlay import Overlay
from orion_registry.core.timeline import StatusEdge, Timeline
from orion_registry.store.base import AUDIT_PAGE, StoreFailed
from orion_registry.store.rows import stored_hash

AUDIT_KEPT = 100_000
"""Audit records kept at most, whatever is asked: about 60 MB. Those of a file, see `audit_file`, are not touched."""


class MemoryStore:
    """Keeps facts in dictionaries. It survives `close`, so that a test can restart a daemon on it."""

    kind = "memory"

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._overlays: dict[str, Overlay] = {}
        self._timelines: dict[str, Timeline] = {}
        self._audit: list[AuditRecord] = []
        self._epochs_below = 1
        self.audit_anchor = AuditHead()
        self.audit_head = AuditHead()

    @property
    def alarm(self) -> str:
        """See `Store.alarm`: memory is never full before the process is."""
        return ""

    async def load(self) -> Stored:
        """See `Store.load`."""
        return Stored(
            records=tuple(self._records.values()),
            epochs_below=self._epochs_below,
            overlays=tuple(self._overlays.values()),
            edges=tuple(edge for timeline in self._timelines.values() for edge in timeline),
        )

    async def commit(self, facts: Sequence[Fact]) -> None:
        """See `Store.commit`."""
        sealing, head = self._sealed(facts)
        for fact in facts:
            match fact:
                case Put():
                    self._records[fact.record.service_id] = fact.record
                case Delete():
                    self._records.pop(fact.service_id, None)
                    self._timelines.pop(fact.service_id, None)
                case PutOverlay():
                    self._overlays[fact.overlay.key] = fact.overlay
                case DeleteOverlay():
                    self._overlays.pop(fact.key, None)
                case ReserveEpochs():
                    self._epochs_below = max(self._epochs_below, fact.below)
        self._audit += sealing
        self.audit_head = head
        for fact in facts:
            if isinstance(fact, TrimAudit):
                self._trim(fact.through)
        if len(self._audit) > AUDIT_KEPT + AUDIT_PAGE:
            self._trim(head.seq - AUDIT_KEPT)

    def _sealed(self, facts: Sequence[Fact]) -> tuple[list[AuditRecord], AuditHead]:
        """The audit records of a batch, and the head after them; nothing is changed yet.

        Raises:
            StoreFailed: one cannot be written.
        """
        head, made = self.audit_head, []
        try:
            for fact in facts:
                if isinstance(fact, Audit):
                    text, place = sealed(head, fact.entry, stored_hash(fact.before), stored_hash(fact.after))
                    made.append(record_of(text, head.hash, place.hash))
                    head = place
        except (ValueError, TypeError) as error:
            raise StoreFailed(str(error)) from error
        return made, head

    def _trim(self, through: int) -> None:
        gone = min(max(0, through - self.audit_anchor.seq), len(self._audit))
        if gone:
            last = self._audit[gone - 1]
            self.audit_anchor = AuditHead(seq=last.seq, hash=last.hash)
            del self._audit[:gone]

    async def audit_records(self, after_seq: int, limit: int) -> Sequence[AuditRecord]:
        """See `Store.audit_records`."""
        first = max(0, after_seq - self.audit_anchor.seq)
        return self._audit[first : first + min(limit, AUDIT_PAGE)]

    def note(self, edges: Sequence[StatusEdge]) -> None:
        """See `Store.note`."""
        for edge in edges:
            if edge.service_id in self._records:
                self._timelines.setdefault(edge.service_id, Timeline()).add(edge)

    async def close(self) -> None:
        """See `Store.close`."""
