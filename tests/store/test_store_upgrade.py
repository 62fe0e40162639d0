"""A data directory that an older version wrote opens with this one, with everything in it."""

import sqlite3
from pathlib import Path

import pytest

from orion_registry.store import schema
from tests.store.fixtures.make import EDGES, EPOCHS_BELOW, RECORDS
from tests.store.images import copy, put, read, store_in

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = sorted(FIXTURES.glob("schema*"))


def test_every_schema_has_its_fixture() -> None:
    assert [path.name for path in VERSIONS] == [f"schema{number}" for number in range(1, schema.VERSION + 1)]


@pytest.mark.parametrize("image", ["closed", "killed"])
@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
async def test_an_older_directory_opens(version: Path, image: str, tmp_path: Path) -> None:
    path = copy(version / image, tmp_path / "data")
    assert (image == "killed") == (path / "registry.db-wal").exists()
    for _ in range(2):
        store = store_in(path)
        stored = await store.load()
        audited = await store.audit_records(0, 10)
        await store.close()
        assert [one.target for one in audited] == (["s0002"] if version.name >= "schema3" else [])
        assert stored.records == RECORDS
        assert stored.epochs_below == EPOCHS_BELOW
        assert stored.edges == EDGES


async def test_a_migration_is_one_step_that_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A future schema, first with a fault in its last statement: all stays as it was. Then without: all is there."""
    path = copy(FIXTURES / "schema1" / "closed", tmp_path / "data")
    faulty = ("CREATE TABLE later (number INTEGER PRIMARY KEY)", "CREATE TABLE later (number INTEGER PRIMARY KEY)")
    for statements, works in ((faulty, False), (faulty[:1], True)):
        with monkeypatch.context() as patch:
            patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, statements))
            patch.setattr(schema, "VERSION", schema.VERSION + 1)
            if works:
                assert (await read(path)).records == RECORDS
            else:
                with pytest.raises(Exception, match="later"):
                    await read(path)
        if not works:
            assert (await read(path)).records == RECORDS  # the present version still opens it
    with sqlite3.connect(path / "registry.db") as connection:
        assert schema.version_of(connection) == (schema.APPLICATION_ID, schema.VERSION + 1)
    connection.close()


async def test_it_goes_on_from_there(tmp_path: Path) -> None:
    path = copy(FIXTURES / "schema1" / "killed", tmp_path / "data")
    store = store_in(path)
    await store.load()
    await store.commit([put(3)])
    await store.close()
    assert len((await read(path)).records) == len(RECORDS) + 1
