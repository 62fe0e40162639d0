"""The audit chain in its table. The one row of `audit_ends` holds the places of its head and of what was trimmed."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from orion_registry.core.audit import (
    AuditEntry,
    AuditHead,
    AuditRecord,
    chained,
    hash_of_stored,
    record_of,
    sealed,
)
from orion_registry.core.audit_verification import Unreadable
from orion_registry.core.model import Record
from orion_registry.core.overlay import Overlay
from orion_registry.store.rows import stored_hash
from orion_registry.store.sqlite_rows import many, parts

_ROWS = "SELECT seq, record, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?"
_INSERT = "INSERT INTO audit VALUES {rows}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEnds:
    """The place of the latest record, and the place after which the oldest that is kept stands."""

    head: AuditHead = field(default_factory=AuditHead)
    anchor: AuditHead = field(default_factory=AuditHead)


Unsealed = tuple[AuditEntry, Record | Overlay | None, str]
"""An entry on its way: what was stored of its target, and the stored form of what is now."""


def read_ends(connection: sqlite3.Connection) -> AuditEnds:
    """Reads the row.

    Raises:
        ValueError: it is missing.
    """
    found = connection.execute("SELECT head_seq, head_hash, anchor_seq, anchor_hash FROM audit_ends").fetchall()
    if len(found) != 1:
        raise ValueError("the ends of its audit chain are missing")
    head_seq, head_hash, anchor_seq, anchor_hash = found[0]
    head, anchor = AuditHead(seq=head_seq, hash=head_hash), AuditHead(seq=anchor_seq, hash=anchor_hash)
    return AuditEnds(head=head, anchor=anchor)


def write_ends(connection: sqlite3.Connection, ends: AuditEnds) -> None:
    """Writes the row, within the caller's transaction."""
    head, anchor = ends.head, ends.anchor
    connection.execute("REPLACE INTO audit_ends VALUES (1, ?, ?, ?, ?)", (head.seq, head.hash, anchor.seq, anchor.hash))


def add_records(connection: sqlite3.Connection, entries: Sequence[Unsealed], ends: AuditEnds) -> AuditEnds:
    """Gives entries their places behind the head, within the caller's transaction; returns the ends then."""
    head, rows = ends.head, []
    for entry, before, after in entries:
        text, head = sealed(head, entry, stored_hash(before), hash_of_stored(after))
        rows.append((head.seq, text, head.hash))
    for part in parts(rows):
        connection.execute(many(_INSERT, len(part)), tuple(chain.from_iterable(part)))
    return AuditEnds(head=head, anchor=ends.anchor)


def trim_records(connection: sqlite3.Connection, through: int, ends: AuditEnds) -> AuditEnds:
    """Deletes the oldest records, within the caller's transaction; returns the ends then."""
    last = connection.execute("SELECT seq, hash FROM audit WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (through,))
    found = last.fetchone()
    if found is None:
        return ends
    connection.execute("DELETE FROM audit WHERE seq <= ?", (through,))
    return AuditEnds(head=ends.head, anchor=AuditHead(seq=found[0], hash=found[1]))


def check_chain(connection: sqlite3.Connection) -> None:
    """Follows the whole chain, without looking into its records: 3 us for each.

    Raises:
        ValueError: it is broken; the message says where.
    """
    ends = read_ends(connection)
    at = ends.anchor
    for seq, text, own_hash in connection.execute(_ROWS, (-1, -1)):
        if seq != at.seq + 1:
            raise ValueError(f"audit record {at.seq + 1} is missing")
        if chained(at.hash, text) != own_hash:
            raise ValueError(f"audit record {seq} does not follow from the one before it")
        at = AuditHead(seq=seq, hash=own_hash)
    if at != ends.head:
        raise ValueError(f"its audit chain ends at record {at.seq}, not at {ends.head.seq}")


def read_records(connection: sqlite3.Connection, after: AuditHead, limit: int) -> list[AuditRecord]:
    """Records behind a place, in their order.

    Raises:
        ValueError: one is none.
    """
    records, prev_hash = [], after.hash
    for _, text, own_hash in connection.execute(_ROWS, (after.seq, limit)):
        records.append(record_of(text, prev_hash, own_hash))
        prev_hash = own_hash
    return records


def place_of(connection: sqlite3.Connection, seq: int, ends: AuditEnds) -> AuditHead:
    """The place of a record; of one that is not kept, the anchor, or the head."""
    if seq <= ends.anchor.seq:
        return ends.anchor
    found = connection.execute("SELECT hash FROM audit WHERE seq = ?", (seq,)).fetchone()
    return ends.head if found is None else AuditHead(seq=seq, hash=found[0])


def walk_rows(connection: sqlite3.Connection, anchor: AuditHead) -> Iterator[AuditRecord | Unreadable]:
    """Every row as `verify` takes it, whatever was done to it; in the order in which the table holds them."""
    prev_hash = anchor.hash
    for seq, text, own_hash in connection.execute("SELECT seq, record, hash FROM audit ORDER BY rowid"):
        try:
            record = record_of(text, prev_hash, own_hash)
        except (ValueError, TypeError, AttributeError) as error:
            yield Unreadable(where=f"row {seq}", why=str(error))
        else:
            yield record  # by the number in it: a row that was moved is out of place
            if record.seq != seq:
                yield Unreadable(where=f"row {seq}", why=f"it holds record {record.seq}")
        prev_hash = own_hash
