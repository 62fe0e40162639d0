"""Changes of status: kept when it costs nothing, bounded, and never in the way of a commit."""

import asyncio
import logging
import sqlite3
from pathlib import Path

import pytest

from orion_registry.core.facts import Delete
from orion_registry.core.timeline import TIMELINE, Timeline
from orion_registry.store import sqlite_file
from orion_registry.store.base import Store
from orion_registry.store.memory import MemoryStore
from tests.store.images import edge, put, read, store_in


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else store_in(tmp_path)


async def reopened(store: Store, path: Path) -> Store:
    await store.close()
    return store if isinstance(store, MemoryStore) else store_in(path)


async def test_the_last_of_each_service_are_kept_in_order(store: Store, tmp_path: Path) -> None:
    await store.load()
    await store.commit([put(1), put(2)])
    many = [edge(1, wall) for wall in range(TIMELINE + 30)]
    store.note([edge(2, 0.5), *many[:50]])
    store.note(many[50:])
    store = await reopened(store, tmp_path)
    edges = (await store.load()).edges
    assert [one for one in edges if one.service_id == "s0001"] == many[-TIMELINE:]
    assert [one for one in edges if one.service_id == "s0002"] == [edge(2, 0.5)]
    await store.close()


async def test_those_of_a_removed_service_go_with_it(store: Store, tmp_path: Path) -> None:
    """And those of a service that is not there are not kept: a late note must not outlive its service."""
    await store.load()
    await store.commit([put(1), put(2)])
    store.note([edge(1, 1.0), edge(2, 1.0), edge(3, 1.0)])
    await store.commit([Delete(service_id="s0001")])
    store.note([edge(1, 2.0)])
    store = await reopened(store, tmp_path)
    assert (await store.load()).edges == (edge(2, 1.0),)
    await store.close()


async def test_they_need_no_commit_to_go_with(tmp_path: Path) -> None:
    """At most a second later, also if more keep coming."""
    store = store_in(tmp_path)
    await store.load()
    await store.commit([put(1)])
    writer = store._writer
    assert writer is not None
    for wall in range(16):
        store.note([edge(1, wall)])
        await asyncio.sleep(0.1)
    written = writer._connection.execute("SELECT count(*) FROM edges").fetchone()[0]
    assert 8 <= written <= 16
    await store.close()


async def test_failing_notes_fail_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are dropped, counted and logged once; the commit that carried them goes through."""

    class NoEdges(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            if "INSERT INTO edges" in sql:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite_file, "CONNECTION", NoEdges)
    store = store_in(tmp_path)
    await store.load()
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            store.note([edge(1, 1.0), edge(1, 2.0)])
            await store.commit([put(number)])
    assert store._writer is not None
    assert store._writer.lost_edges == 6
    assert [record.message for record in caplog.records] == ["changes of status are not stored"]
    assert store.alarm == ""
    await store.close()
    assert len((await read(tmp_path)).records) == 3


async def test_a_damaged_one_is_left_out(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.load()
    await store.commit([put(1)])
    store.note([edge(1, 1.0), edge(1, 2.0)])
    await store.close()
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("UPDATE edges SET edge = '[1.0,2,[19]]' WHERE number = 1")
    connection.close()
    assert (await read(tmp_path)).edges == (edge(1, 2.0),)


def test_a_timeline_forgets_the_oldest() -> None:
    timeline = Timeline()
    for wall in range(TIMELINE + 1):
        timeline.add(edge(1, wall))
    assert len(timeline) == TIMELINE
    assert next(iter(timeline)).wall == 1
