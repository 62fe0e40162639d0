"""Row 27 of the fault matrix: whatever happens to the files, the store opens with everything, or refuses and says why.

Never with less than was acknowledged, and a refusal leaves the files as they are.
"""

import asyncio
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orion_registry.core.facts import Stored
from orion_registry.store.base import StoreDamaged, StoreFailed
from tests.store.images import commit_each, copy, history, put, read, store_in

DATABASE, LOG, WITNESS = "registry.db", "registry.db-wal", "registry.witness"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return asyncio.run(history(tmp_path_factory.mktemp("store")))


@pytest.fixture
def copy_of(images: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: copy(images[name], tmp_path / name)


@pytest.fixture(scope="module")
def expected(images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Stored:
    stored = asyncio.run(read(copy(images["killed"], tmp_path_factory.mktemp("expected") / "killed")))
    assert (len(stored.records), stored.epochs_below) == (199, 200)
    return stored


def open_it(path: Path) -> Stored:
    return asyncio.run(read(path))


def contents(path: Path) -> dict[str, bytes]:
    found = {name: (path / name).read_bytes() for name in (DATABASE, LOG, WITNESS) if (path / name).exists()}
    return {name: content for name, content in found.items() if content}


def refused(path: Path, what: str) -> None:
    """It is refused, the message names the file and what is wrong, and nothing in the files was changed by that."""
    before = contents(path)
    with pytest.raises(StoreDamaged, match=what) as caught:
        open_it(path)
    assert caught.value.path == str(path / DATABASE)
    assert str(path / DATABASE) in str(caught.value)
    assert contents(path) == before


# Nothing was done to it.


def test_a_killed_store_has_everything_in_its_log(copy_of: Callable[[str], Path], expected: Stored) -> None:
    path = copy_of("killed")
    assert (path / LOG).stat().st_size > 0
    assert open_it(path) == expected
    assert open_it(copy_of("closed")) == expected


# Missing, emptied, truncated, older.


def remove(*paths: Path) -> int:
    for path in paths:
        path.unlink()
    return len(paths)


LOSSES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "database missing": ("closed", lambda path: remove(path / DATABASE), "it is missing, though 15 commits"),
    "database missing, log left": ("killed", lambda path: remove(path / DATABASE), "it is missing"),
    "database and log missing": (
        "killed",
        lambda path: remove(path / DATABASE, path / LOG),
        "it is missing",
    ),
    "database and witness missing, log left": (
        "killed",
        lambda path: remove(path / DATABASE, path / WITNESS),
        "it is missing, but its log is there",
    ),
    "database missing, witness damaged": (
        "closed",
        lambda path: (remove(path / DATABASE), (path / WITNESS).write_bytes(b"?")),
        "it is missing, and its witness is damaged",
    ),
    "database emptied": ("closed", lambda path: (path / DATABASE).write_bytes(b""), "it is empty"),
    "database emptied, log left": ("killed", lambda path: (path / DATABASE).write_bytes(b""), "it is empty"),
    "database emptied, witness missing": (
        "closed",
        lambda path: [(path / DATABASE).write_bytes(b""), remove(path / WITNESS)],
        "it is empty",
    ),
    "database zeroed": ("closed", lambda path: (path / DATABASE).write_bytes(bytes(65_536)), "not a database"),
    "log missing": ("killed", lambda path: remove(path / LOG), "the last 13 of 15 acknowledged commits are missing"),
    "log emptied": ("killed", lambda path: (path / LOG).write_bytes(b""), "acknowledged commits are missing"),
    "older copy": (
        "early",
        lambda path: (path / WITNESS).write_bytes(_witness_of(path, "killed")),
        "the last 13 of 15",
    ),
}


def _witness_of(path: Path, name: str) -> bytes:
    return (path.parent / name / WITNESS).read_bytes()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_refused(loss: str, copy_of: Callable[[str], Path]) -> None:
    image, damage, what = LOSSES[loss]
    copy_of("killed") if image == "early" else None
    path = copy_of(image)
    damage(path)
    refused(path, what)


def test_another_database_in_its_place_is_refused(copy_of: Callable[[str], Path], tmp_path: Path) -> None:
    """Even one that has seen more commits."""
    path = copy_of("closed")
    other = tmp_path / "other"

    async def fill() -> None:
        store = store_in(other)
        await store.load()
        await commit_each(store, [put(1)] * 60)
        await store.close()

    asyncio.run(fill())
    shutil.copy(other / DATABASE, path / DATABASE)
    refused(path, "it is another database than the one that was here")


@pytest.mark.parametrize("image", ["closed", "killed"])
def test_a_torn_file_is_refused(image: str, images: dict[str, Path], tmp_path: Path, expected: Stored) -> None:
    """Cut at any length, the database or the log: refused, or (cut behind what counts) complete."""
    name = DATABASE if image == "closed" else LOG
    size = (images[image] / name).stat().st_size
    cuts = {*range(0, size, max(1, size // 40)), 1, 31, 32, 100, 4_096, size - 4_096, size - 1, size - 24}
    for cut in sorted(cuts):
        path = copy(images[image], tmp_path / f"cut-{cut}")
        with (path / name).open("r+b") as file:
            file.truncate(cut)
        with pytest.raises(StoreDamaged):
            open_it(path)
        shutil.rmtree(path)


# Flipped bytes.


def flips(size: int, rng: random.Random, count: int) -> Iterator[tuple[int, int]]:
    """Places and masks: the headers of the file and of each page or frame closely, the rest by chance."""
    for place in (*range(100), *range(100, min(size, 8_192), 127)):
        yield place, 1 << rng.randrange(8)
    for _ in range(count):
        yield rng.randrange(size), rng.randrange(1, 256)


@pytest.mark.parametrize(
    ("image", "name", "least"), [("closed", DATABASE, 50), ("killed", DATABASE, 20), ("killed", LOG, 50)]
)
def test_a_flipped_byte_is_refused_or_harmless(
    image: str, name: str, least: int, images: dict[str, Path], expected: Stored, tmp_path: Path
) -> None:
    """In every region of database and log: everything is there, or it is refused. Never less, never anything else."""
    clean = (images[image] / name).read_bytes()
    path = copy(images[image], tmp_path / "flipped")
    saved = {
        other: (images[image] / other).read_bytes() for other in (DATABASE, LOG, WITNESS) if (path / other).exists()
    }
    refusals = 0
    for place, mask in flips(len(clean), random.Random(3), 80):
        for other in (DATABASE, LOG, WITNESS, "registry.db-shm"):
            (path / other).unlink(missing_ok=True)
        for other, content in saved.items():
            (path / other).write_bytes(content)
        raw = bytearray(clean)
        raw[place] ^= mask
        (path / name).write_bytes(raw)
        try:
            stored = open_it(path)
        except StoreFailed:
            refusals += 1
        else:
            assert stored == expected, f"{name} flipped at {place} with {mask:#x}"
    assert refusals >= least


def test_a_flipped_witness_is_not_believed(copy_of: Callable[[str], Path], expected: Stored) -> None:
    """It would otherwise refuse a database that is well."""
    path = copy_of("killed")
    raw = bytearray((path / WITNESS).read_bytes())
    raw[0] ^= 0x40
    (path / WITNESS).write_bytes(raw)
    assert open_it(path) == expected


def test_a_value_changed_behind_its_checksum_is_refused(copy_of: Callable[[str], Path]) -> None:
    for table, change in (
        ("services", "UPDATE services SET record = replace(record, 'agent-7', 'agent-8')"),
        ("services", "DELETE FROM services WHERE service_id = 's0007'"),
        ("overlays", "UPDATE overlays SET overlay = replace(overlay, '\"mode\":3', '\"mode\":4')"),
        ("overlays", "DELETE FROM overlays"),
        ("state", "UPDATE state SET epochs_below = 7"),
        ("state", "UPDATE state SET commits = 1000"),
        ("state", "DELETE FROM state"),
        ("tables", "DROP INDEX edges_of_service"),
        ("tables", "CREATE TRIGGER t AFTER INSERT ON services BEGIN DELETE FROM services; END"),
    ):
        path = copy_of("closed")
        connection = sqlite3.connect(path / DATABASE, isolation_level=None)
        connection.execute(change)
        connection.close()
        refused(path, {"state": "state", "tables": "tables"}.get(table, "checksum|rows"))
        shutil.rmtree(path)


# Not ours.


def test_a_newer_schema_is_refused(copy_of: Callable[[str], Path]) -> None:
    path = copy_of("closed")
    connection = sqlite3.connect(path / DATABASE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreFailed, match=re.escape("has schema 99; this version knows 3: use a newer one")):
        open_it(path)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(StoreFailed, match="is not a database of the registry, but another program's"):
        open_it(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == before


def test_any_other_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_text("a letter to my mother" * 100)
    with pytest.raises(StoreDamaged, match="file is not a database"):
        open_it(tmp_path)
    assert (tmp_path / DATABASE).read_text().startswith("a letter")


# What a crash leaves is never refused.


def test_a_first_start_may_die_at_any_point(tmp_path: Path) -> None:
    """Its traces: nothing but names, half a new database, a database that no witness knows yet."""
    for number, traces in enumerate(
        (
            {"registry.lock": b""},
            {"registry.lock": b"", WITNESS: b""},
            {WITNESS: b"", "registry.db.new": b""},
            {
                WITNESS: b"",
                "registry.db.new": bytes(4_096),
                "registry.db.new-wal": b"x",
                "registry.db.new-journal": b"y",
            },
        )
    ):
        path = tmp_path / str(number)
        path.mkdir()
        for name, content in traces.items():
            (path / name).write_bytes(content)
        assert open_it(path) == Stored()
        assert {file.name for file in path.iterdir()} == {DATABASE, "registry.lock", "registry.reserve", WITNESS}


def test_a_witness_may_be_behind(copy_of: Callable[[str], Path], images: dict[str, Path], expected: Stored) -> None:
    """Killed between commit and witness, or a power failure that took the witness back, or away."""
    for content in (b"", (images["early"] / WITNESS).read_bytes(), None):
        path = copy_of("killed")
        if content is None:
            (path / WITNESS).unlink()
        else:
            (path / WITNESS).write_bytes(content)
        assert open_it(path) == expected
        assert (path / WITNESS).read_bytes() == (images["closed"] / WITNESS).read_bytes()
        shutil.rmtree(path)
