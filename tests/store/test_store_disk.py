"""Rows 25, 26 and 28 of the fault matrix: a full, slow, failing or read-only disk; two daemons on the same data."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orion_registry.core.facts import Audit, Delete, DeleteOverlay, PutOverlay, ReserveEpochs, Stored
from orion_registry.store import sqlite_file
from orion_registry.store.base import StoreDamaged, StoreFailed
from orion_registry.store.sqlite import SqliteStore
from tests.building import make_audit_entry
from tests.store.images import copy, edge, overlay, put

SMALL, RESERVE = 2 * 1024 * 1024, 256 * 1024


def store_in(path: Path) -> SqliteStore:
    return SqliteStore(path, reserve_bytes=RESERVE)


async def read(path: Path) -> Stored:
    store = store_in(path)
    try:
        return await store.load()
    finally:
        await store.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB. The tests run as root."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", mounted)
    yield mounted
    run("umount", "--lazy", mounted)


def run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True)


def fill(disk: Path) -> Path:
    """Takes all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


async def puts_until_full(store: SqliteStore, first: int) -> int:
    """Registers until the disk is full; returns the first that failed."""
    for number in range(first, first + 10_000):
        try:
            await store.commit([put(number)])
        except StoreFailed:
            return number
    raise AssertionError("the disk is never full")


async def test_on_a_full_disk_removals_and_epochs_go_on(disk: Path) -> None:
    """Registrations are refused with an alarm; the essential passes on the reserve; room brings all back."""
    store = store_in(disk / "data")
    await store.load()
    await store.commit([put(0), put(1), PutOverlay(overlay=overlay(1)), ReserveEpochs(below=100)])
    ballast = fill(disk)
    refused_at = await puts_until_full(store, 2)
    assert "full" in store.alarm
    await store.commit([DeleteOverlay(key=overlay(1).key)])
    for number in range(200, 220):
        await store.commit([ReserveEpochs(below=number)])
    outcome = await asyncio.gather(
        store.commit([Delete(service_id="s0000")]),
        store.commit([put(9_000)]),
        store.commit([PutOverlay(overlay=overlay(2))]),
        return_exceptions=True,
    )
    assert outcome[0] is None
    assert [type(error) for error in outcome[1:]] == [StoreFailed, StoreFailed]
    store.note([edge(1, 1.0)])
    await asyncio.sleep(1.2)
    assert store.alarm
    ballast.unlink()
    await store.commit([put(9_001)])
    assert store.alarm == ""
    assert (disk / "data/registry.reserve").stat().st_size == RESERVE
    await store.close()
    stored = await read(disk / "data")
    names = {f"s{number:04}" for number in range(1, refused_at)} | {"s9001"}
    assert {record.service_id for record in stored.records} == names
    assert (stored.epochs_below, stored.overlays) == (219, ())


async def test_on_a_full_disk_a_removal_is_in_the_audit_chain_and_a_denial_alone_is_not(disk: Path) -> None:
    store = store_in(disk / "data")
    await store.load()
    await store.commit([put(0), Audit(entry=make_audit_entry("put"), after=put(0).record)])
    ballast = fill(disk)
    await puts_until_full(store, 1)
    await store.commit([Delete(service_id="s0000"), Audit(entry=make_audit_entry("gone"), before=put(0).record)])
    with pytest.raises(StoreFailed, match="full"):
        await store.commit([Audit(entry=make_audit_entry("denied"))])
    ballast.unlink()
    await store.commit([Audit(entry=make_audit_entry("later"))])
    assert [one.target for one in await store.audit_records(0, 10)] == ["put", "gone", "later"]
    await store.close()


async def test_the_alarm_of_a_lack_of_room_ends_without_a_write(disk: Path) -> None:
    """The reserve is taken back within two seconds of there being room, though nobody asks."""
    store = store_in(disk / "data")
    await store.load()
    await store.commit([put(0)])
    ballast = fill(disk)
    await puts_until_full(store, 1)
    await store.commit([Delete(service_id="s0000")])
    held = (disk / "data/registry.reserve").exists()
    ballast.unlink()
    await asyncio.sleep(1.3)
    assert (disk / "data/registry.reserve").exists(), held
    await store.commit([put(1)])
    await store.close()


async def test_a_daemon_starts_on_a_full_disk(disk: Path) -> None:
    """After a kill, with a log to read back: it has everything, and can reserve epochs, which a start needs."""
    store = store_in(disk / "data")
    await store.load()
    await store.commit([put(number) for number in range(20)])
    copy(disk / "data", disk / "killed")
    await store.close()
    ballast = fill(disk)
    again = store_in(disk / "killed")
    assert len((await again.load()).records) == 20
    await again.commit([ReserveEpochs(below=100)])
    ballast.unlink()
    await again.commit([put(21)])
    await again.close()
    assert len((await read(disk / "killed")).records) == 21


async def test_no_room_for_a_new_database_is_no_damage(disk: Path) -> None:
    ballast = fill(disk)
    with pytest.raises(StoreFailed) as caught:
        await store_in(disk / "data").load()
    assert not isinstance(caught.value, StoreDamaged)
    ballast.unlink()
    assert (await read(disk / "data")).records == ()


@pytest.fixture
def remounted(disk: Path) -> Callable[[str], None]:
    """Root may write whatever a file's mode says, so the whole mount is made read-only."""
    return lambda mode: run("mount", "-o", f"remount,{mode}", disk)


async def test_a_read_only_directory_is_refused(disk: Path, remounted: Callable[[str], None]) -> None:
    store = store_in(disk)
    await store.load()
    await store.commit([put(1)])
    await store.close()
    remounted("ro")
    with pytest.raises(StoreFailed, match=f"data directory {disk} cannot be used: read-only file system"):
        await store_in(disk).load()
    remounted("rw")
    assert len((await read(disk)).records) == 1


async def test_a_read_only_database_is_refused(disk: Path) -> None:
    store = store_in(disk)
    await store.load()
    await store.commit([put(1)])
    await store.close()
    database = disk / "registry.db"
    run("mount", "--bind", database, database)
    run("mount", "-o", "remount,bind,ro", database)
    try:
        with pytest.raises(StoreFailed, match="cannot be written: read-only file system") as caught:
            await store_in(disk).load()
        assert not isinstance(caught.value, StoreDamaged)
    finally:
        run("umount", database)
    assert len((await read(disk)).records) == 1


async def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(StoreFailed, match=r"cannot be used: (file exists|not a directory)"):
            await store_in(tmp_path / place).load()


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """Whatever the umask: secrets are hashed, but who offers what is nobody's business."""
    before = os.umask(0)
    try:
        store = store_in(tmp_path / "a" / "b")
        await store.load()
        await store.commit([put(1)])
        modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "a/b").iterdir()}
        assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
        assert set(modes) >= {"registry.db", "registry.db-wal", "registry.lock", "registry.reserve", "registry.witness"}
        assert set(modes.values()) == {0o600}, modes
        await store.close()
    finally:
        os.umask(before)


async def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """In this process and in another one; the first goes on, and its end lets the next in."""
    first = store_in(tmp_path)
    await first.load()
    with pytest.raises(StoreFailed, match=f"the data directory {tmp_path} is in use by another daemon"):
        await store_in(tmp_path).load()
    program = (
        "import asyncio, sys, pathlib; from orion_registry.store.sqlite import SqliteStore; "
        "asyncio.run(SqliteStore(pathlib.Path(sys.argv[1])).load())"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    other = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True)
    assert "is in use by another daemon" in other.stderr
    await first.commit([put(1)])
    await first.close()
    assert len((await read(tmp_path)).records) == 1


async def test_a_person_who_looks_in_from_outside_is_told_apart_from_damage(tmp_path: Path) -> None:
    await (store := store_in(tmp_path)).load()
    await store.close()
    person = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    person.execute("BEGIN")
    person.execute("SELECT * FROM services").fetchall()
    with pytest.raises(StoreFailed, match="is open in another program"):
        await store_in(tmp_path).load()
    person.close()
    await read(tmp_path)


class Disk:
    """What the shim below does at each COMMIT."""

    sync_s = 0.0
    error: sqlite3.OperationalError | None = None


@pytest.fixture
def shim(monkeypatch: pytest.MonkeyPatch) -> Disk:
    state = Disk()

    class Shim(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                time.sleep(state.sync_s)
                if state.error is not None:
                    raise state.error
            return super().execute(sql, *parameters)

    monkeypatch.setattr(sqlite_file, "CONNECTION", Shim)
    return state


async def test_a_slow_disk_makes_larger_batches(tmp_path: Path, shim: Disk) -> None:
    """300 commits on a disk that takes 0.2 s for a sync are done in three of them, and the event loop never waits."""
    store = store_in(tmp_path)
    await store.load()
    shim.sync_s = 0.2
    tasks = [store.commit([put(number)]) for number in range(300)]
    turns, start = 0, time.perf_counter()
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0.01)
        turns += 1
    assert time.perf_counter() - start < 3.0
    assert turns > 15
    assert store._writer is not None
    assert store._writer._state.commits <= 4
    shim.sync_s = 0.0
    await store.close()


async def test_a_cancelled_commit_may_still_come_to_pass(tmp_path: Path, shim: Disk) -> None:
    store = store_in(tmp_path)
    await store.load()
    shim.sync_s = 0.1
    task = asyncio.ensure_future(store.commit([put(1)]))
    await asyncio.sleep(0.05)
    task.cancel()
    await store.commit([put(2)])
    await store.close()
    assert len((await read(tmp_path)).records) == 2


async def test_a_disk_error_refuses_the_batch_and_is_forgotten_with_the_next(tmp_path: Path, shim: Disk) -> None:
    store = store_in(tmp_path)
    await store.load()
    shim.error = sqlite3.OperationalError("disk I/O error")
    for _ in range(2):
        with pytest.raises(StoreFailed, match="disk I/O error"):
            await store.commit([put(1), Delete(service_id="x")])
    assert store.alarm == "disk I/O error"
    shim.error = None
    await store.commit([put(2)])
    assert store.alarm == ""
    await store.close()
    assert [record.service_id for record in (await read(tmp_path)).records] == ["s0002"]


async def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with pytest.raises(StoreFailed, match="closed"):
        await store.commit([put(1)])
    await store.load()
    await store.close()
    await store.close()
    with pytest.raises(StoreFailed, match="closed"):
        await store.commit([put(1)])
    store.note([edge(1, 1.0)])
