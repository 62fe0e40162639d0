"""The one row that vouches for all others: how many commits there were, and what the rows must add up to."""

import sqlite3
import zlib
from dataclasses import dataclass, field

from orion_registry.store.sqlite_audit import AuditEnds, read_ends, write_ends

AUDITED = 3
"""The first schema version with an audit chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Written in every commit of facts, so an old copy, or a part of one, cannot pass for the present.

    Attributes:
        store_id: made with the database; the witness names it too.
        commits: commits of facts so far.
        epochs_below: epochs below it may have been given.
        rows: rows in services and overlays.
        crc_sum: sum of their checksums: a row that is missing, stale or brought back makes another sum.
        audit: the ends of the audit chain, in a row of their own.
    """

    store_id: bytes
    commits: int = 0
    epochs_below: int = 1
    rows: int = 0
    crc_sum: int = 0
    audit: AuditEnds = field(default_factory=AuditEnds)

    @property
    def crc(self) -> int:
        """Checksum of the row itself."""
        numbers = f"{self.commits} {self.epochs_below} {self.rows} {self.crc_sum}"
        return zlib.crc32(self.store_id + numbers.encode())


def read_state(connection: sqlite3.Connection, version: int) -> State:
    """Reads the row of a database of this schema version.

    Raises:
        ValueError: it is missing, or does not match its checksum.
    """
    query = "SELECT store_id, commits, epochs_below, rows, crc_sum, crc FROM state"
    found = connection.execute(query).fetchall()
    if len(found) != 1:
        raise ValueError("its state is missing")
    store_id, commits, epochs_below, rows, crc_sum, crc = found[0]
    state = State(
        store_id=bytes(store_id),
        commits=commits,
        epochs_below=epochs_below,
        rows=rows,
        crc_sum=crc_sum,
        audit=read_ends(connection) if version >= AUDITED else AuditEnds(),
    )
    if state.crc != crc:
        raise ValueError("its state does not match its checksum")
    return state


def write_state(connection: sqlite3.Connection, state: State) -> None:
    """Writes the row, and the audit chain's, within the caller's transaction."""
    connection.execute(
        "REPLACE INTO state VALUES (1, ?, ?, ?, ?, ?, ?)",
        (state.store_id, state.commits, state.epochs_below, state.rows, state.crc_sum, state.crc),
    )
    write_ends(connection, state.audit)
