"""Rows of a transaction, written many to a statement.

Python's sqlite3 lets go of the interpreter around every step, and asks for it back after: beside a busy event loop each
statement may wait 5 ms for that (`sys.getswitchinterval`). So a batch is a handful of statements, however many rows.
"""

import functools
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeVar

from orion_registry.core.timeline import TIMELINE, StatusEdge
from orion_registry.store.rows import checksum, edge_to_json

MOST = 64
"""Rows in one statement."""
STATEMENTS = 8 * MOST
"""Prepared statements to keep: one for each kind and each number of rows, so that they are found again."""

_PUT = "REPLACE INTO services VALUES {rows}"
_DELETE = "DELETE FROM services WHERE service_id IN ({marks})"
_PUT_OVERLAYS = "REPLACE INTO overlays VALUES {rows}"
_DELETE_OVERLAYS = "DELETE FROM overlays WHERE natural_key IN ({marks})"
_DELETE_EDGES = "DELETE FROM edges WHERE service_id IN ({marks})"
_SUMS = "SELECT count(*), coalesce(sum(crc), 0) FROM services WHERE service_id IN ({marks})"
_OVERLAY_SUMS = "SELECT count(*), coalesce(sum(crc), 0) FROM overlays WHERE natural_key IN ({marks})"
_PUT_EDGES = """
WITH fresh (place, service_id, edge, crc) AS (VALUES {placed_rows})
INSERT INTO edges (service_id, edge, crc) SELECT service_id, edge, crc FROM fresh
WHERE service_id IN (SELECT service_id FROM services) ORDER BY place"""
_TRIM_EDGES = """
DELETE FROM edges WHERE number IN (SELECT number FROM (
SELECT number, row_number() OVER (PARTITION BY service_id ORDER BY number DESC) AS place
FROM edges WHERE service_id IN ({marks})) WHERE place > {most})"""

_T = TypeVar("_T")


def put_services(connection: sqlite3.Connection, texts: dict[str, str]) -> tuple[int, int]:
    """Writes rows of services; returns how much the number of rows and the sum of their checksums rise."""
    return _put(connection, texts, _PUT, _SUMS)


def put_overlays(connection: sqlite3.Connection, texts: dict[str, str]) -> tuple[int, int]:
    """Writes rows of overlays; returns what `put_services` does."""
    return _put(connection, texts, _PUT_OVERLAYS, _OVERLAY_SUMS)


def delete_overlays(connection: sqlite3.Connection, keys: Sequence[str]) -> tuple[int, int]:
    """Deletes rows of overlays; returns what `put_services` does."""
    risen = _forgotten(connection, keys, _OVERLAY_SUMS)
    for part in parts(keys):
        connection.execute(many(_DELETE_OVERLAYS, len(part)), part)
    return risen


def delete_services(connection: sqlite3.Connection, service_ids: Sequence[str]) -> tuple[int, int]:
    """Deletes rows of services and their changes of status; returns what `put_services` does."""
    risen = _forgotten(connection, service_ids, _SUMS)
    for part in parts(service_ids):
        connection.execute(many(_DELETE, len(part)), part)
        connection.execute(many(_DELETE_EDGES, len(part)), part)
    return risen


def put_edges(connection: sqlite3.Connection, edges: Sequence[StatusEdge]) -> None:
    """Adds changes of status of services that are stored, and drops the oldest of those that have too many."""
    texts = [(edge.service_id, edge_to_json(edge)) for edge in edges]
    for part in parts([(service_id, text, checksum(service_id, text)) for service_id, text in texts]):
        connection.execute(many(_PUT_EDGES, len(part)), tuple(chain.from_iterable(part)))
    for ids in parts(list({edge.service_id for edge in edges})):
        connection.execute(many(_TRIM_EDGES, len(ids)), ids)


def _put(connection: sqlite3.Connection, texts: dict[str, str], statement: str, sums: str) -> tuple[int, int]:
    more, crc = _forgotten(connection, list(texts), sums)
    rows = [(key, text, checksum(key, text)) for key, text in texts.items()]
    for part in parts(rows):
        connection.execute(many(statement, len(part)), tuple(chain.from_iterable(part)))
    return more + len(rows), crc + sum(row[2] for row in rows)


def _forgotten(connection: sqlite3.Connection, keys: Sequence[str], sums: str) -> tuple[int, int]:
    """What becomes of the sums when the rows that these keys have now are gone."""
    more = crc = 0
    for part in parts(keys):
        rows, total = connection.execute(many(sums, len(part)), part).fetchone()
        more, crc = more - rows, crc - total
    return more, crc


def parts(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Rows in portions for a statement each."""
    return (rows[start : start + MOST] for start in range(0, len(rows), MOST))


@functools.cache
def many(statement: str, count: int) -> str:
    """A statement with places for so many rows."""
    return statement.format(
        marks=",".join("?" * count),
        rows=",".join(["(?,?,?)"] * count),
        most=TIMELINE,
        placed_rows=",".join(f"({place},?,?,?)" for place in range(count)),
    )
