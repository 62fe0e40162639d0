"""Whether a chain of audit records is whole, and if not, where it breaks first and how."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from orion_registry.core.audit import START, AuditHead, AuditRecord, body_of, chained


class Damage(StrEnum):
    """What was done to a chain."""

    EDITED = "EDITED"
    """A record does not have the hash that its content and the record before it give."""
    DELETED = "DELETED"
    """Records are missing between two."""
    REORDERED = "REORDERED"
    """Records do not stand in the order of their numbers."""
    TRUNCATED = "TRUNCATED"
    """The end is missing: a head that is known lies beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Something that stands where a record should. where: such as a line; why: what is wrong with it."""

    where: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The first break of a chain. seq: of the record at which it was found; 0 if it has none."""

    damage: Damage
    seq: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found.

    Attributes:
        records: read until the chain broke, or its end.
        first_seq: number of the first; 0 = there is none.
        head: place of the last that is proven.
        broken: the first break; None = the chain is whole.
    """

    records: int
    first_seq: int
    head: AuditHead
    broken: Break | None


def verify(
    records: Iterable[AuditRecord | Unreadable],
    *,
    anchor: AuditHead | None = None,
    head: AuditHead | None = None,
    end: AuditHead | None = None,
) -> Verdict:
    """Follows a chain.

    Args:
        records: in the order in which they are kept.
        anchor: the place that the first record must come after. None: the very beginning if its number is 1; else it is
            believed, for what came before may have been let go of by intent.
        head: a place that was seen before, and must be in the chain.
        end: the place that the last record is said to have.
    """
    walk = _Walk(anchor, head)
    rest = iter(records)
    for record in rest:
        broken = walk.step(record, rest)
        if broken is not None:
            return walk.verdict(broken)
    return walk.verdict(walk.end(end))


class _Walk:
    """How far a chain was followed."""

    def __init__(self, anchor: AuditHead | None, known: AuditHead | None) -> None:
        self._at = anchor
        self._known = known
        self._known_found = known is None or known == AuditHead() or known == anchor
        self._records = 0
        self._first = 0

    def step(self, record: AuditRecord | Unreadable, rest: Iterator[AuditRecord | Unreadable]) -> Break | None:
        """Takes the next record. rest: those behind it, which tell a deleted record from one that was moved."""
        seq = self._at.seq + 1 if self._at is not None else 0
        if isinstance(record, Unreadable):
            return Break(damage=Damage.EDITED, seq=seq, message=f"{record.where}: {record.why}")
        at = self._at
        if at is None:
            before = START if record.seq == 1 else record.prev_hash
            at = AuditHead(seq=record.seq - 1, hash=before)
        broken = _out_of_place(record, at, rest) or _altered(record, at) or self._other_than_known(record)
        if broken is None:
            self._at = AuditHead(seq=record.seq, hash=record.hash)
            self._records += 1
            self._first = self._first or record.seq
        return broken

    def _other_than_known(self, record: AuditRecord) -> Break | None:
        known = self._known
        if known is None or record.seq != known.seq:
            return None
        self._known_found = True
        if record.hash == known.hash:
            return None
        message = f"record {record.seq} has another hash than the head that is known: the chain was written anew"
        return Break(damage=Damage.EDITED, seq=record.seq, message=message)

    def end(self, end: AuditHead | None) -> Break | None:
        """There are no more records."""
        return self._unknown() or self._short(end)

    def _short(self, end: AuditHead | None) -> Break | None:
        at = self._at or AuditHead()
        if end is None or at == end:
            return None
        message = f"the chain ends at record {at.seq}, its own head says {end.seq}"
        return Break(damage=Damage.TRUNCATED, seq=at.seq, message=message)

    def _unknown(self) -> Break | None:
        known = self._known
        if known is None or self._known_found:
            return None
        last = self._at.seq if self._at is not None else 0
        if last >= known.seq:
            message = f"record {known.seq}, which is known, is gone: the chain begins at record {self._first}"
            return Break(damage=Damage.DELETED, seq=known.seq, message=message)
        message = f"the chain ends at record {last}, and record {known.seq} is known: the end was cut off"
        return Break(damage=Damage.TRUNCATED, seq=last, message=message)

    def verdict(self, broken: Break | None) -> Verdict:
        """What was found by now."""
        return Verdict(records=self._records, first_seq=self._first, head=self._at or AuditHead(), broken=broken)


def _out_of_place(record: AuditRecord, at: AuditHead, rest: Iterator[AuditRecord | Unreadable]) -> Break | None:
    due = at.seq + 1
    if record.seq == due:
        return None
    moved = record.seq < due or any(isinstance(later, AuditRecord) and later.seq == due for later in rest)
    if moved:
        message = f"record {record.seq} stands where record {due} should: records were moved or repeated"
        return Break(damage=Damage.REORDERED, seq=record.seq, message=message)
    missing = f"record {due} is" if record.seq == due + 1 else f"records {due} to {record.seq - 1} are"
    return Break(damage=Damage.DELETED, seq=record.seq, message=f"{missing} missing before record {record.seq}")


def _altered(record: AuditRecord, at: AuditHead) -> Break | None:
    if record.prev_hash != at.hash:
        message = f"record {record.seq} does not follow from record {at.seq}: one of the two was edited"
        return Break(damage=Damage.EDITED, seq=record.seq, message=message)
    if chained(record.prev_hash, body_of(record)) != record.hash:
        message = f"record {record.seq} was edited: its hash is not that of its content"
        return Break(damage=Damage.EDITED, seq=record.seq, message=message)
    return None
