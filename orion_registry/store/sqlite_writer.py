"""The one connection that writes: transactions for batches, and what becomes of them on a full disk."""

import contextlib
import itertools
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orion_registry.core.audit import AuditRecord
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
from orion_registry.core.timeline import StatusEdge
from orion_registry.store.base import StoreDamaged, StoreFailed
from orion_registry.store.data_dir import DataDirectory
from orion_registry.store.reserve import RESERVE_BYTES
from orion_registry.store.rows import overlay_to_json, record_to_json
from orion_registry.store.sqlite_audit import (
    AuditEnds,
    Unsealed,
    add_records,
    place_of,
    read_records,
    trim_records,
)
from orion_registry.store.sqlite_file import open_database, read_all
from orion_registry.store.sqlite_rows import (
    delete_overlays,
    delete_services,
    put_edges,
    put_overlays,
    put_services,
)
from orion_registry.store.sqlite_state import State, write_state

log = logging.getLogger("orion_registry")


@dataclass(frozen=True, slots=True)
class Row:
    """A fact, ready to be written: `text` is what stands in the row; of an audit fact, in that of its target.

    key: of the row that it concerns: a service_id, or a natural key, which has slashes; empty = none.
    """

    fact: Fact
    key: str
    text: str = ""

    @classmethod
    def of(cls, fact: Fact) -> "Row":
        """Writes the fact out."""
        match fact:
            case Put():
                return cls(fact, fact.record.service_id, record_to_json(fact.record))
            case Delete():
                return cls(fact, fact.service_id)
            case PutOverlay():
                return cls(fact, fact.overlay.key, overlay_to_json(fact.overlay))
            case DeleteOverlay():
                return cls(fact, fact.key)
            case Audit():
                return cls(fact, "", _text(fact.after))
            case ReserveEpochs() | TrimAudit():
                return cls(fact, "")


def rows_of(facts: Sequence[Fact]) -> tuple[Row, ...]:
    """Writes facts out. What an audit fact says of the same record as the fact before it is not written out twice."""
    rows: list[Row] = []
    for fact in facts:
        if isinstance(fact, Audit) and rows and fact.after is not None and _content(rows[-1].fact) is fact.after:
            rows.append(Row(fact, "", rows[-1].text))
        else:
            rows.append(Row.of(fact))
    return tuple(rows)


def _content(fact: Fact) -> Record | Overlay | None:
    match fact:
        case Put():
            return fact.record
        case PutOverlay():
            return fact.overlay
        case _:
            return None


def _text(stored: Record | Overlay | None) -> str:
    match stored:
        case Record():
            return record_to_json(stored)
        case Overlay():
            return overlay_to_json(stored)
        case None:
            return ""


Batch = Sequence[Row]

_PUTS: dict[type[Fact], Callable[[sqlite3.Connection, dict[str, str]], tuple[int, int]]] = {
    Put: put_services,
    PutOverlay: put_overlays,
}
_DELETES: dict[type[Fact], Callable[[sqlite3.Connection, Sequence[str]], tuple[int, int]]] = {
    Delete: delete_services,
    DeleteOverlay: delete_overlays,
}


class SqliteWriter:
    """Commits batches. Used by one thread at a time.

    Attributes:
        alarm: why ordinary writes are refused at present; empty while they are not.
        lean: whether the disk was full and the reserve is in use: only facts that free room, or that keep the registry
            going, are taken then.
        lost_edges: changes of status that the disk did not take.
    """

    def __init__(self, directory: DataDirectory, connection: sqlite3.Connection, state: State) -> None:
        self._directory = directory
        self._connection = connection
        self._state = state
        self._witness_fails = False
        self.alarm = ""
        self.lean = False
        self.lost_edges = 0

    @classmethod
    def open(cls, path: Path, reserve_bytes: int = RESERVE_BYTES) -> tuple["SqliteWriter", Stored]:
        """Opens a data directory and reads everything. See `open_database` for what it raises."""
        directory = DataDirectory(path, reserve_bytes)
        try:
            try:
                connection, state = open_database(directory)
            except StoreFailed as error:  # for want of room, perhaps: even reading needs some
                if isinstance(error, StoreDamaged) or not directory.reserve.release():
                    raise
                connection, state = open_database(directory)
            try:
                stored = read_all(connection, directory.database, state)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            directory.close()
            raise
        writer = cls(directory, connection, state)
        writer.recover(lean=True)
        return writer, stored

    def recover(self, *, lean: bool | None = None) -> None:
        """Sets the reserve aside again if it was used and there is room; then all goes on as before."""
        was = self.lean if lean is None else lean
        self.lean = was and not self._directory.reserve.keep()
        if self.lean and not self.alarm:
            self._sound("the disk has no room for the store's reserve")

    def commit(self, batches: Sequence[Batch], edges: Sequence[StatusEdge]) -> list[StoreFailed | None]:
        """Commits batches together, and changes of status with them if that works; returns what became of each batch.

        On a full disk essential batches go on with the reserve, the others fail.
        """
        self.recover()
        if not self.lean:
            error = self._try(batches, edges)
            if error is not None and edges:
                self.lost_edges += len(edges)
                error = self._try(batches, ()) if batches else None
            if error is None:
                if batches:
                    self._calm()
                return [None] * len(batches)
            if not isinstance(error, sqlite3.OperationalError):  # not the disk: a fact that SQLite cannot say
                alone = len(batches) == 1
                return [StoreFailed(str(error))] if alone else [self.commit([batch], ())[0] for batch in batches]
            self._sound(str(error))
            if not _is_full(error):
                return [StoreFailed(str(error))] * len(batches)
        else:
            self.lost_edges += len(edges)
        return self._commit_essential(batches)

    @property
    def audit(self) -> AuditEnds:
        """The ends of the audit chain, as of the last commit."""
        return self._state.audit

    def audit_records(self, after_seq: int, limit: int) -> list[AuditRecord]:
        """Audit records behind a number; see `Store.audit_records`.

        Raises:
            StoreFailed: they cannot be read.
        """
        try:
            return read_records(self._connection, place_of(self._connection, after_seq, self.audit), limit)
        except (sqlite3.Error, ValueError) as error:
            raise StoreFailed(f"the audit chain cannot be read: {error}") from error

    def close(self) -> None:
        """Checkpoints, closes, unlocks."""
        try:
            self._connection.close()
        finally:
            self._directory.close()

    def _commit_essential(self, batches: Sequence[Batch]) -> list[StoreFailed | None]:
        essential = [batch for batch in batches if _is_essential(batch)]
        error: Exception | None = None
        if essential:
            self._go_lean()
            error = self._try(essential, ())
        failed = StoreFailed(self.alarm)
        return [failed if error is not None or not _is_essential(batch) else None for batch in batches]

    def _go_lean(self) -> None:
        """Opens the reserve, and empties the log into the database first: then it is written anew from its start."""
        self.lean = True
        if self._directory.reserve.release():
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _try(self, batches: Sequence[Batch], edges: Sequence[StatusEdge]) -> Exception | None:
        """One transaction for all: it is synced when this returns None."""
        state = self._state
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            if batches:
                state = self._write(itertools.chain.from_iterable(batches), state)
                write_state(self._connection, state)
            put_edges(self._connection, edges)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OverflowError, ValueError, TypeError) as error:
            self._undo()
            return error
        if batches:
            self._state = state
            self._bear_witness()
        return None

    def _undo(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.warning("the store could not roll back", extra={"error": str(error)})

    def _bear_witness(self) -> None:
        try:
            self._directory.witness.write(self._state.store_id, self._state.commits)
            self._witness_fails = False
        except OSError as error:  # the commit is durable all the same
            if not self._witness_fails:
                log.warning("the store's witness is not written", extra={"error": str(error)})
            self._witness_fails = True

    def _write(self, rows: Iterable[Row], state: State) -> State:
        """Writes facts in their order; returns the state that vouches for them."""
        count, crc_sum, epochs_below = state.rows, state.crc_sum, state.epochs_below
        audit: list[Row] = []
        for kind, run in _runs(rows):
            if kind is Audit or kind is TrimAudit:
                audit += run
                continue
            if kind is ReserveEpochs:
                epochs_below = max(
                    epochs_below, *(row.fact.below for row in run if isinstance(row.fact, ReserveEpochs))
                )
                continue
            if kind in _PUTS:
                more, crc = _PUTS[kind](self._connection, {row.key: row.text for row in run})
            else:
                more, crc = _DELETES[kind](self._connection, [row.key for row in run])
            count, crc_sum = count + more, crc_sum + crc
        return replace(
            state,
            commits=state.commits + 1,
            rows=count,
            crc_sum=crc_sum,
            epochs_below=epochs_below,
            audit=self._write_audit(audit, state.audit) if audit else state.audit,
        )

    def _write_audit(self, rows: Sequence[Row], ends: AuditEnds) -> AuditEnds:
        """All of a transaction together: it may have none to spare, see `sqlite_rows`."""
        entries: list[Unsealed] = []
        through = 0
        for row in rows:
            match row.fact:
                case Audit(entry=entry, before=before):
                    entries.append((entry, before, row.text))
                case TrimAudit():
                    through = max(through, row.fact.through)
        if entries:
            ends = add_records(self._connection, entries, ends)
        return trim_records(self._connection, through, ends) if through else ends

    def _sound(self, why: str) -> None:
        if self.alarm != why:
            log.error("the store refuses ordinary writes", extra={"error": why, "directory": str(self._directory.path)})
        self.alarm = why

    def _calm(self) -> None:
        if self.alarm:
            log.info("the store takes writes again", extra={"directory": str(self._directory.path)})
        self.alarm = ""


def _runs(rows: Iterable[Row]) -> Iterator[tuple[type[Fact], list[Row]]]:
    """Facts of one kind together, as far as their order allows: those of one row stay in theirs."""
    kinds: dict[type[Fact], list[Row]] = {}
    seen: set[str] = set()
    for row in rows:
        if row.key in seen:
            yield from kinds.items()
            kinds, seen = {}, set()
        if row.key:
            seen.add(row.key)
        kinds.setdefault(type(row.fact), []).append(row)
    yield from kinds.items()


def _is_essential(batch: Batch) -> bool:
    """Whether it may use the reserve: it frees room, or keeps the registry going, and says so in the audit chain."""
    facts = [row.fact for row in batch if not isinstance(row.fact, Audit)]
    return bool(facts) and all(isinstance(fact, Delete | DeleteOverlay | ReserveEpochs | TrimAudit) for fact in facts)


def _is_full(error: Exception) -> bool:
    """Out of room. A quota that is used up is an ordinary write error to SQLite."""
    return getattr(error, "sqlite_errorcode", 0) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
