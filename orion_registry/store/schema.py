"""The database's tables, version by version. A version is never edited once released: a change is a new one."""

import sqlite3

from orion_registry.core.audit import START

APPLICATION_ID = 0x4F52494F
"""Marks a SQLite file as ours: "ORIO"."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE services (service_id TEXT PRIMARY KEY, record TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE overlays (natural_key TEXT PRIMARY KEY, overlay TEXT NOT NULL, crc INTEGER NOT NULL) "
        "WITHOUT ROWID",
        "CREATE TABLE edges (number INTEGER PRIMARY KEY, service_id TEXT NOT NULL, edge TEXT NOT NULL, "
        "crc INTEGER NOT NULL)",
        "CREATE INDEX edges_of_service ON edges (service_id, number)",
        "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), store_id BLOB NOT NULL, "
        "commits INTEGER NOT NULL, epochs_below INTEGER NOT NULL, rows INTEGER NOT NULL, "
        "crc_sum INTEGER NOT NULL, crc INTEGER NOT NULL)",
    ),
    (
        # In a table ordered by id, rows of 1 kB land on a page each, and a page is what is written: 190 us a row in
        # batches of 128. With an index beside rows in the order of their arrival it is 40 us.
        "ALTER TABLE services RENAME TO services_by_id",
        "CREATE TABLE services (service_id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL, crc INTEGER NOT NULL)",
        "INSERT INTO services SELECT service_id, record, crc FROM services_by_id",
        "DROP TABLE services_by_id",
    ),
    (
        "CREATE TABLE audit (seq INTEGER PRIMARY KEY, record TEXT NOT NULL, hash TEXT NOT NULL)",
        "CREATE TABLE audit_ends (one INTEGER PRIMARY KEY CHECK (one = 1), head_seq INTEGER NOT NULL, "
        "head_hash TEXT NOT NULL, anchor_seq INTEGER NOT NULL, anchor_hash TEXT NOT NULL)",
        f"INSERT INTO audit_ends VALUES (1, 0, '{START}', 0, '{START}')",  # noqa: S608 - a constant
    ),
)
"""Statements that lead from each version to the next; an empty file is version 0. `state` is `sqlite_state.State`."""

VERSION = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> tuple[int, int]:
    """The database's application id and schema version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Leads from a version to the present one, within the caller's transaction."""
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def is_intact(connection: sqlite3.Connection, version: int) -> bool:
    """Whether the tables are exactly those of a version: SQLite itself believes whatever definition stands there."""
    with_tables = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statements in MIGRATIONS[:version]:
            for statement in statements:
                with_tables.execute(statement)
        return _tables(connection) == _tables(with_tables)
    finally:
        with_tables.close()


def _tables(connection: sqlite3.Connection) -> list[tuple[str, str, str, str | None]]:
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
