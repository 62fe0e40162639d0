"""Opening the database: nothing is believed before it was checked, and nothing missing is taken for empty.

What is there is first read by a connection that cannot write: SQLite tidies up as it closes, and would take the damaged
parts of its log with it. The one that writes holds the file exclusively, so nobody else can write or checkpoint: SQLite
before 3.51.3 can lose data if two do (sqlite.org/wal.html, "WAL-reset bug"). Nor is there a shared memory file.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from orion_registry.core.audit import AuditRecord
from orion_registry.core.audit_verification import Unreadable
from orion_registry.core.facts import Stored
from orion_registry.core.model import Record
from orion_registry.core.overlay import Overlay
from orion_registry.core.timeline import StatusEdge
from orion_registry.store import schema
from orion_registry.store.base import StoreDamaged, StoreFailed
from orion_registry.store.data_dir import DataDirectory
from orion_registry.store.rows import checksum, edge_from_json, overlay_from_json, record_from_json
from orion_registry.store.sqlite_audit import AuditEnds, check_chain, read_ends, walk_rows
from orion_registry.store.sqlite_rows import STATEMENTS
from orion_registry.store.sqlite_state import AUDITED, State, read_state, write_state

CONNECTION: type[sqlite3.Connection] = sqlite3.Connection
"""What opens the file; tests put a slow or failing one here."""

_OF_THE_SYSTEM = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""Errors that say nothing about what is stored; all others, at the start, mean damage."""


def open_database(directory: DataDirectory) -> tuple[sqlite3.Connection, State]:
    """Creates, or checks and migrates, the database; returns its one connection, and its state.

    Raises:
        StoreFailed: it cannot be read or written, or is not ours.
        StoreDamaged: it is broken, or acknowledged commits are missing.
    """
    if not directory.database.exists():
        _refuse_if_lost(directory)
        _create(directory)
    _examine(directory)
    _refuse_if_read_only(directory.database)
    with _explained(directory.database):
        connection = _connect(directory.database, "rw")
        try:
            state = _take(connection)
        except BaseException:
            connection.close()
            raise
    with contextlib.suppress(OSError):  # neither matters: the index of who examined, and a witness that stays behind
        _beside(directory.database, "-shm").unlink(missing_ok=True)
        directory.witness.write(state.store_id, state.commits)
    return connection, state


def read_all(connection: sqlite3.Connection, path: Path, state: State) -> Stored:
    """Everything that is stored, in an order that stays the same.

    Raises:
        StoreDamaged: a row is no record.
    """
    with _explained(path):
        return Stored(
            records=tuple(_records(connection)),
            epochs_below=state.epochs_below,
            edges=tuple(_edges(connection)),
            overlays=tuple(_overlays(connection)),
        )


@contextlib.contextmanager
def open_chain(path: Path) -> Iterator[tuple[AuditEnds, Iterator[AuditRecord | Unreadable]]]:
    """The audit chain of a data directory that no daemon uses, whatever was done to it; nothing is changed.

    Raises:
        StoreFailed: it cannot be read, or a daemon uses it.
        StoreDamaged: there is no audit chain in it.
    """
    directory = DataDirectory(path)
    try:
        with _explained(directory.database), contextlib.closing(_connect(directory.database, "ro")) as connection:
            ends = read_ends(connection)
            yield ends, walk_rows(connection, ends.anchor)
    finally:
        directory.close()


def _refuse_if_lost(directory: DataDirectory) -> None:
    """A database is put in place whole, before its first commit: whoever finds none must find no trace of one."""
    path, testimony = directory.database, directory.witness.read()
    if testimony is None and not directory.witness.empty:
        raise StoreDamaged(str(path), "it is missing, and its witness is damaged")
    if testimony is not None and testimony.commits:
        raise StoreDamaged(str(path), f"it is missing, though {testimony.commits} commits to it were acknowledged")
    if (log := _beside(path, "-wal")).exists() and log.stat().st_size:
        raise StoreDamaged(str(path), "it is missing, but its log is there")


def _refuse_if_read_only(path: Path) -> None:
    """SQLite would open it for reading, and fail later."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise StoreFailed(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def _create(directory: DataDirectory) -> None:
    """Makes an empty database under another name, and renames it once it is complete and synced."""
    path = directory.database
    new = _beside(path, ".new")
    state = State(store_id=os.urandom(16))
    try:
        for suffix in ("", "-wal", "-shm", "-journal"):
            _beside(new, suffix).unlink(missing_ok=True)
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with _explained(path), contextlib.closing(_connect(new, "rw")) as connection:
            _settings(connection)
            connection.execute("BEGIN IMMEDIATE")
            schema.migrate(connection, 0)
            write_state(connection, state)
            connection.execute("COMMIT")
        new.rename(path)
        directory.sync()
        directory.witness.write(state.store_id, 0)
    except OSError as error:
        raise StoreFailed(f"{path} cannot be created: {(error.strerror or str(error)).lower()}") from error


def _examine(directory: DataDirectory) -> None:
    """Reads everything once and changes nothing.

    Raises:
        StoreFailed, StoreDamaged: as `open_database`.
    """
    path, testimony = directory.database, directory.witness.read()
    if path.stat().st_size == 0:
        raise StoreDamaged(str(path), "it is empty")
    with _explained(path), contextlib.closing(_connect(path, "ro")) as connection:
        application, version = schema.version_of(connection)
        if application != schema.APPLICATION_ID or version < 1:
            if directory.witness.empty:
                raise StoreFailed(f"{path} is not a database of the registry, but another program's")
            raise StoreDamaged(str(path), "it is not a database of the registry")
        if version > schema.VERSION:
            raise StoreFailed(f"{path} has schema {version}; this version knows {schema.VERSION}: use a newer one")
        problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise ValueError("; ".join(problems).replace("\n", "; ")[:500])
        if not schema.is_intact(connection, version):
            raise ValueError(f"its tables are not those of schema {version}")
        state = read_state(connection, version)
        _check_rows(connection, state)
        if version >= AUDITED:
            check_chain(connection)
    if testimony is not None and testimony.commits:
        if testimony.store_id != state.store_id:
            raise StoreDamaged(str(path), "it is another database than the one that was here")
        if state.commits < testimony.commits:
            lost = testimony.commits - state.commits
            raise StoreDamaged(str(path), f"the last {lost} of {testimony.commits} acknowledged commits are missing")


def _take(connection: sqlite3.Connection) -> State:
    """Makes the connection the only one, proves that it can write, and brings the tables to the present version."""
    _settings(connection)
    _, version = schema.version_of(connection)
    connection.execute("BEGIN IMMEDIATE")
    schema.migrate(connection, version)
    connection.execute("COMMIT")
    return read_state(connection, schema.VERSION)


def _settings(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreFailed(f"the file system does not carry SQLite's write-ahead log (it is in mode {mode})")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 1000")  # pages: the log takes 4 MiB, which the reserve reckons with


def _check_rows(connection: sqlite3.Connection, state: State) -> None:
    rows = crc_sum = 0
    for table, key, text in (("services", "service_id", "record"), ("overlays", "natural_key", "overlay")):
        for name, value, crc in connection.execute(f"SELECT {key}, {text}, crc FROM {table}"):  # noqa: S608 - constants
            if checksum(name, value) != crc:
                raise ValueError(f"{table}, {name!r}: the row does not match its checksum")
            rows, crc_sum = rows + 1, crc_sum + crc
    if (rows, crc_sum) != (state.rows, state.crc_sum):
        raise ValueError(f"its {rows} rows are not the {state.rows} that were stored last")


def _records(connection: sqlite3.Connection) -> Iterator[Record]:
    for service_id, text in connection.execute("SELECT service_id, record FROM services ORDER BY service_id"):
        try:
            yield record_from_json(text)
        except ValueError as error:
            raise ValueError(f"service {service_id!r}: {error}") from error


def _overlays(connection: sqlite3.Connection) -> Iterator[Overlay]:
    for key, text in connection.execute("SELECT natural_key, overlay FROM overlays ORDER BY natural_key"):
        try:
            yield overlay_from_json(text)
        except ValueError as error:
            raise ValueError(f"overlays, {key!r}: {error}") from error


def _edges(connection: sqlite3.Connection) -> Iterator[StatusEdge]:
    """The changes of status; one that does not match its checksum is left out: it is worth no refusal."""
    for service_id, text, crc in connection.execute("SELECT service_id, edge, crc FROM edges ORDER BY number"):
        if checksum(service_id, text) == crc:
            with contextlib.suppress(ValueError):
                yield edge_from_json(service_id, text)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=1.0,
        factory=CONNECTION,
        cached_statements=STATEMENTS,
    )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Errors of SQLite, and of reading what it gave, as the store's own."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code & 0xFF not in _OF_THE_SYSTEM or code == sqlite3.SQLITE_IOERR_SHORT_READ:
            raise StoreDamaged(str(path), str(error)) from error
        if code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise StoreFailed(f"{path} is open in another program") from error
        raise StoreFailed(f"{path} cannot be used: {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise StoreDamaged(str(path), str(error) or type(error).__name__) from error
