"""store/replacing: wherever it is interrupted, a daemon finds the old data, the new, or refuses; nothing is deleted."""

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orion_registry.core.facts import Put, Stored
from orion_registry.core.importing import SINCE_EXPORT
from orion_registry.store import replacing
from orion_registry.store.base import StoreFailed
from orion_registry.store.replacing import replace_database
from orion_registry.store.sqlite import SqliteStore
from tests.building import make_record, make_spec
from tests.store.images import overlay, read, record, store_in

HASHES = {"secret_hash": "a" * 64, "payload_hash": "b" * 64}
WALL = 1_795_431_600.0


def stored(name: str, below: int = 9) -> Stored:
    return Stored(records=(make_record(make_spec(name, service_id=name), **HASHES),), epochs_below=below)


async def fill(path: Path, held: Stored) -> None:
    store = SqliteStore(path)
    await store.load()
    await store.commit([Put(record=record) for record in held.records])
    await store.close()


async def found(path: Path) -> str:
    """What a daemon would find: the name of the one service, or that it would not start."""
    store = SqliteStore(path)
    try:
        (record,) = (await store.load()).records
    except StoreFailed:
        return "refused"
    finally:
        await store.close()
    return record.service_id


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("crash", range(8))
@pytest.mark.parametrize("clean", [True, False], ids=["closed", "killed"])
async def test_interrupted_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: int, clean: bool) -> None:
    """Before the n-th move of a file the process is killed; then it is done again."""
    path = tmp_path / "data"
    await fill(path, stored("old"))
    if not clean:  # as after kill -9: SQLite's log is still there
        (path / "registry.db-wal").write_bytes(b"")
    left = crash

    def counted(real: Any) -> Any:
        def move(*arguments: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*arguments)

        return move

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(Path, "replace", counted(Path.replace))
        patch.setattr(shutil, "copy2", counted(shutil.copy2))
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # nor does it tidy up
        try:
            await replace_database(path, stored("new"), WALL)
        except Killed:
            outcome = await found(path)
            assert outcome in ("old", "refused"), outcome
        else:
            assert await found(path) == "new"
            assert crash > 3
    await replace_database(path, stored("new"), WALL)
    assert await found(path) == "new"
    kept = [folder for folder in path.iterdir() if folder.name.startswith("replaced-")]
    databases = [folder / "registry.db" for folder in kept if (folder / "registry.db").exists()]
    assert any(b"old" in database.read_bytes() for database in databases)


async def test_nothing_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert await replace_database(path, stored("new"), WALL) is None
    assert await found(path) == "new"


async def test_overlays_come_along(tmp_path: Path) -> None:
    await replace_database(tmp_path / "data", replace(stored("new"), overlays=(overlay(1),)), WALL)
    assert (await read(tmp_path / "data")).overlays == (overlay(1),)


async def test_names_do_not_clash(tmp_path: Path) -> None:
    """Twice in one second."""
    await fill(tmp_path / "data", stored("old"))
    first = await replace_database(tmp_path / "data", stored("new"), WALL)
    second = await replace_database(tmp_path / "data", stored("newer"), WALL)
    assert first is not None
    assert second is not None
    assert (first.name, second.name) == ("replaced-20261123T110000Z", "replaced-20261123T110000Z-2")
    assert await found(tmp_path / "data") == "newer"


async def test_epochs_only_rise(tmp_path: Path) -> None:
    """Above the snapshot by far, and never below the database that was there, if it can be read."""
    path = tmp_path / "data"
    bounds = []
    for below in (1_000, 2**45, 5):
        await replace_database(path, stored("new", below), WALL)
        store = SqliteStore(path)
        bounds.append((await store.load()).epochs_below)
        await store.close()
    assert bounds == [1_000 + SINCE_EXPORT, 2**45 + SINCE_EXPORT, 2**45 + SINCE_EXPORT]


async def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "data"
    store = SqliteStore(path)
    await store.load()
    before = sorted(os.listdir(path))
    with pytest.raises(StoreFailed, match="in use by another daemon"):
        await replace_database(path, stored("new"), WALL)
    assert sorted(os.listdir(path)) == before
    await store.close()


async def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(StoreFailed, match="cannot be used"):
        await replace_database(file / "data", stored("new"), WALL)


async def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new database is built before the old one is touched."""
    path = tmp_path / "data"
    await fill(path, stored("old"))

    async def full(*_: object) -> None:
        await asyncio.sleep(0)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(replacing, "_build", full)
        with pytest.raises(StoreFailed, match="cannot be written: no space left"):
            await replace_database(path, stored("new"), WALL)
    assert await found(path) == "old"
    assert not [name for name in os.listdir(path) if name.startswith(("restoring", "replaced"))]


async def test_what_was_restored_begins_the_audit_chain(tmp_path: Path) -> None:
    both = Stored(records=(record(1), record(2)), epochs_below=10, overlays=(overlay(3),))
    await replace_database(tmp_path / "data", both, WALL)
    store = store_in(tmp_path / "data")
    await store.load()
    found = [(one.method, one.target, bool(one.after_hash)) for one in await store.audit_records(0, 10)]
    await store.close()
    targets = ("s0001", "s0002", overlay(3).key)
    assert found == [("snapshot restore", target, True) for target in targets]
