"""The audit chain as a file: whole lines, renamed when large, mended after a crash, and never blocked on."""

import asyncio
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from orion_registry.core.audit import AuditRecord
from orion_registry.core.audit_verification import verify
from orion_registry.core.facts import Audit, TrimAudit
from orion_registry.runtime.audit import AuditConfig, AuditTrail
from orion_registry.runtime.audit_export import AuditExport
from orion_registry.store.audit_file import AuditFile, read_lines
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.clock import VirtualClock
from tests.building import make_audit_entry
from tests.core.test_audit import chain

RECORDS = chain(40)


def records_in(*paths: Path) -> list[AuditRecord]:
    found = [one for path in paths for one in read_lines(path)]
    assert all(isinstance(one, AuditRecord) for one in found), found
    return [one for one in found if isinstance(one, AuditRecord)]


def opened(path: Path, size: int = 10**6, kept: int = 3) -> AuditFile:
    file = AuditFile(path, size, kept)
    file.open()
    return file


def test_what_was_appended_is_there_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = opened(path)
    file.append(RECORDS[:3])
    file.append(RECORDS[3:5])
    file.close()
    assert records_in(path) == RECORDS[:5]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    last = AuditFile(path, 10**6, 3).open()
    assert last is not None
    assert (last.seq, last.hash) == (5, RECORDS[4].hash)


def test_a_large_one_is_renamed_and_the_oldest_deleted(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = opened(path, size=1_500, kept=2)
    for record in RECORDS:
        file.append([record])
    file.close()
    names = [tmp_path / name for name in ("audit.jsonl.2", "audit.jsonl.1", "audit.jsonl")]
    assert sorted(tmp_path.iterdir()) == sorted(names)
    kept = records_in(*names)
    assert kept[-1] == RECORDS[-1]
    assert verify(kept).broken is None
    assert all(name.stat().st_size <= 1_500 for name in names)


@pytest.mark.parametrize("torn", [1, 20, 300])
def test_a_torn_last_line_is_cut_off(torn: int, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = opened(path)
    file.append(RECORDS[:4])
    file.close()
    os.truncate(path, path.stat().st_size - torn)
    last = AuditFile(path, 10**6, 3).open()
    assert last is not None
    assert last.seq == 3
    assert records_in(path) == RECORDS[:3]


@pytest.mark.parametrize("content", ["no line at all", "a line\n", "a line\nand a rest", '{"other": "json"}\n', "\n"])
def test_what_somebody_else_wrote_is_refused_and_left_as_it_is(content: str, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text(content)
    with pytest.raises(OSError, match="does not begin with an audit record"):
        AuditFile(path, 10**6, 3).open()
    assert path.read_text() == content


@pytest.mark.parametrize("beside", ["", ".1"])
def test_a_last_line_that_is_no_record_is_refused_and_left_as_it_is(beside: str, tmp_path: Path) -> None:
    """To begin anew behind it would write all records a second time."""
    path = tmp_path / f"audit.jsonl{beside}"
    file = opened(path)
    file.append(RECORDS[:4])
    file.close()
    content = path.read_bytes()[:-20] + b"\x00" * 19 + b"\n"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"(the file there|'audit.jsonl.1') ends in a line that is no audit record: move"):
        AuditFile(tmp_path / "audit.jsonl", 10**6, 3).open()
    assert path.read_bytes() == content


@pytest.mark.parametrize("number", [1, 2])
def test_what_somebody_else_wrote_is_not_renamed_with_the_file(number: int, tmp_path: Path) -> None:
    path, other = tmp_path / "audit.jsonl", tmp_path / f"audit.jsonl.{number}"
    file = opened(path, kept=2)
    file.append(RECORDS[:2])
    if number == 2:
        file.rotate()
        file.append(RECORDS[2:4])
    other.write_text("precious")
    names, content = sorted(tmp_path.iterdir()), path.read_bytes()
    with pytest.raises(OSError, match=f"'audit.jsonl.{number}' does not begin with an audit record: move it"):
        file.rotate()
    assert (sorted(tmp_path.iterdir()), other.read_text(), path.read_bytes()) == (names, "precious", content)
    other.unlink()
    file.rotate()
    assert path.read_bytes() == b""
    file.close()


def test_a_first_line_that_is_torn_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"addr')
    assert AuditFile(path, 10**6, 3).open() is None
    assert path.read_text() == ""


def test_a_crash_between_renaming_and_writing_forgets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = opened(path)
    file.append(RECORDS[:4])
    file.rotate()
    file.close()
    last = AuditFile(path, 10**6, 3).open()
    assert last is not None
    assert last.seq == 4


def test_one_that_somebody_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = opened(path)
    file.append(RECORDS[:2])
    path.rename(tmp_path / "moved")
    file.append(RECORDS[2:4])
    file.close()
    assert (records_in(tmp_path / "moved"), records_in(path)) == (RECORDS[:2], RECORDS[2:4])


# Behind a store.


class Scene:
    """A store, and its file."""

    def __init__(self, path: Path, store: MemoryStore | None = None) -> None:
        self.path = path
        self.store = store or MemoryStore()
        self.trail = AuditTrail(self.store, VirtualClock(), "h", AuditConfig())
        self.export = AuditExport(self.store, self.trail, AuditFile(path, 10**6, 3))

    async def add(self, *targets: str) -> None:
        await self.store.commit([Audit(entry=make_audit_entry(target)) for target in targets])

    async def written(self, *targets: str) -> Sequence[AuditRecord]:
        """What is in the file, once it ends with these."""
        async with asyncio.timeout(20):
            while True:
                found = records_in(self.path) if self.path.exists() else []
                if [one.target for one in found][-len(targets) :] == list(targets):
                    return found
                await asyncio.sleep(0.02)

    async def exported(self, seq: int) -> None:
        """Returns once the trail is told of it: when the file is synced, a little after it can be read."""
        async with asyncio.timeout(20):
            while True:
                if self.trail.exported == seq:
                    return
                await asyncio.sleep(0.02)

    async def troubled(self, wanted: bool) -> None:
        """Returns once it is, or is not."""
        async with asyncio.timeout(20):
            while True:
                if bool(self.trail.trouble) is wanted:
                    return
                await asyncio.sleep(0.02)


async def test_the_file_follows_the_store_and_goes_on_in_a_later_life(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "audit.jsonl")
    await scene.add("a", "b")
    scene.export.start()
    await scene.written("a", "b")
    await scene.add("c")
    await scene.written("c")
    await scene.exported(3)
    await scene.export.stop(5.0)
    await scene.add("d")
    later = Scene(scene.path, scene.store)
    later.export.start()
    assert [one.target for one in await later.written("d")] == ["a", "b", "c", "d"]
    await scene.add("e")
    await later.export.stop(5.0)
    found = records_in(scene.path)
    assert [one.target for one in found] == ["a", "b", "c", "d", "e"]
    assert verify(found, head=scene.store.audit_head).broken is None


async def test_a_file_of_another_chain_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    old = opened(path)
    old.append(RECORDS[:9])
    old.close()
    scene = Scene(path)
    await scene.add("new")
    scene.export.start()
    assert [one.target for one in await scene.written("new")] == ["new"]
    await scene.export.stop(5.0)
    assert records_in(tmp_path / "audit.jsonl.1") == RECORDS[:9]


async def test_a_place_that_cannot_be_written_is_told_and_caught_up_with_later(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "missing" / "audit.jsonl")
    await scene.add("a")
    scene.export.start()
    await scene.troubled(True)
    assert scene.trail.trouble == "audit_file is not written: no such file or directory"
    assert scene.trail.exported == 0
    (tmp_path / "missing").mkdir()
    await scene.add("b")
    assert [one.target for one in await scene.written("a", "b")] == ["a", "b"]
    await scene.troubled(False)
    await scene.export.stop(5.0)


class FaultyFile(AuditFile):
    """Fails in a way that nobody foresaw, while it is told to."""

    faulty = True

    def append(self, records: Sequence[AuditRecord]) -> None:
        if self.faulty:
            raise RuntimeError("What is this?")
        super().append(records)


async def test_no_fault_ends_the_export_for_good(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(tmp_path / "audit.jsonl")
    file = FaultyFile(scene.path, 10**6, 3)
    scene.export = AuditExport(scene.store, scene.trail, file)
    await scene.add("a")
    scene.export.start()
    await scene.troubled(True)
    assert scene.trail.trouble == "audit_file is not written: what is this?"
    assert "RuntimeError: What is this?" in caplog.text
    file.faulty = False
    assert [one.target for one in await scene.written("a")] == ["a"]
    await scene.troubled(False)
    file.faulty = True
    await scene.add("b")
    await scene.export.stop(5.0)
    assert scene.trail.trouble == "audit_file is not written: what is this?"


class SlowFile(AuditFile):
    """Waits before it returns from an append."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, 10**6, 3)
        self.appended, self.going_on = threading.Event(), threading.Event()

    def append(self, records: Sequence[AuditRecord]) -> None:
        super().append(records)
        self.appended.set()
        self.going_on.wait(20)


async def test_what_is_being_written_at_the_end_is_written_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "audit.jsonl")
    file = SlowFile(scene.path)
    scene.export = AuditExport(scene.store, scene.trail, file)
    await scene.add("a", "b")
    scene.export.start()
    await asyncio.to_thread(file.appended.wait, 20)
    stopping = asyncio.create_task(scene.export.stop(20.0))
    await asyncio.sleep(0.05)
    file.going_on.set()
    await stopping
    assert [one.target for one in records_in(scene.path)] == ["a", "b"]


async def test_a_file_of_something_else_is_an_alarm_until_it_is_moved_away(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "precious")
    scene.path.write_text("precious")
    await scene.add("a")
    scene.export.start()
    await scene.troubled(True)
    assert scene.trail.trouble == (
        "audit_file is not written: the file there does not begin with an audit record: move it, or name another"
    )
    scene.path.rename(tmp_path / "moved")
    assert [one.target for one in await scene.written("a")] == ["a"]
    await scene.export.stop(5.0)
    assert (tmp_path / "moved").read_text() == "precious"


async def test_what_the_store_has_let_go_of_leaves_a_gap_that_shows(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "audit.jsonl")
    await scene.add("a", "b")
    scene.export.start()
    await scene.written("a", "b")
    await scene.export.stop(5.0)
    await scene.add("c", "d", "e")
    await scene.store.commit([TrimAudit(through=4)])
    later = Scene(scene.path, scene.store)
    later.export.start()
    found = await later.written("e")
    await later.export.stop(5.0)
    broken = verify(found).broken
    assert broken is not None
    assert broken.message == "records 3 to 4 are missing before record 5"
