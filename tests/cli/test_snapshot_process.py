"""`orion-registry snapshot` as people run it: processes, files, exit codes, one line on stderr."""

import asyncio
import json
import os
import pty
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from orion_registry import RegistryClient, Selector, ServiceSpec
from orion_registry.core.facts import Put, Stored
from orion_registry.core.model import LivenessMode
from orion_registry.store.base import StoreFailed
from orion_registry.store.snapshot import SnapshotReader, write_snapshot
from orion_registry.store.sqlite import SqliteStore
from tests.building import make_record, make_spec
from tests.cli.process import clean_environment
from tests.cli.running import run_bytes

COMMAND = (sys.executable, "-m", "orion_registry", "snapshot")
HASHES = {"secret_hash": "a" * 64, "payload_hash": "b" * 64}
STORED = Stored(
    records=(
        make_record(make_spec("calc-1", "calc", service_id="one", liveness=LivenessMode.STATIC), **HASHES),
        make_record(make_spec("calc-2", "calc", service_id="two", namespace="other"), **HASHES),
        make_record(make_spec("tool-1", "tool", service_id="three", service_type="tool"), **HASHES),
    ),
    epochs_below=1_048_577,
)
FILE = b"".join(write_snapshot(STORED, 1_795_431_600.0))


def run(*arguments: str, stdin: bytes | None = None, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return run_bytes("snapshot", *arguments, stdin=stdin or b"", environment=environment)


def done(*arguments: str, stdin: bytes | None = None, **environment: str) -> bytes:
    """stdout of a run that went well and had nothing to complain of."""
    ended = run(*arguments, stdin=stdin, **environment)
    assert (ended.returncode, ended.stderr) == (0, b"")
    return ended.stdout


def failed(code: int, *arguments: str, stdin: bytes | None = None, **environment: str) -> str:
    """The one line of a run that did not."""
    ended = run(*arguments, stdin=stdin, **environment)
    lines = ended.stderr.decode().splitlines()
    assert (ended.returncode, ended.stdout, len(lines)) == (code, b"", 1), ended
    assert lines[0].startswith("orion-registry: ")
    return lines[0]


def read(data: bytes) -> Stored:
    reader = SnapshotReader()
    reader.feed(data)
    return reader.finish()


def load(directory: Path) -> Stored:
    async def all_of_it() -> Stored:
        store = SqliteStore(directory)
        try:
            return await store.load()
        finally:
            await store.close()

    return asyncio.run(all_of_it())


def fill(directory: Path, stored: Stored = STORED) -> None:
    async def put() -> None:
        store = SqliteStore(directory)
        await store.load()
        await store.commit([Put(record=record) for record in stored.records])
        await store.close()

    asyncio.run(put())


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "orion.snapshot"
    path.write_bytes(FILE)
    return str(path)


# With a daemon.


def test_save_restore_and_save_again(tmp_path: Path, file: str, address: str) -> None:
    """In and out of a running daemon, by file and by pipe."""
    out = done("restore", file, "--address", address).decode()
    assert out == f"added 3 services to {address}; 0 were registered there and stay as they are\n"
    saved = tmp_path / "saved"
    out = done("save", str(saved), ORION_ADDRESS=address).decode()
    assert out == f"saved 3 services (2.2 kB) from {address} to {saved}\n"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert read(saved.read_bytes()).records == STORED.records
    piped = run("save", "-", "--address", address)
    assert (piped.returncode, read(piped.stdout).records) == (0, STORED.records)
    assert piped.stderr.decode() == f"saved 3 services (2.2 kB) from {address} to -\n"
    again = json.loads(done("restore", "-", "--json", "--address", address, stdin=piped.stdout))
    assert again == {"file": "-", "to": address, "added": 0, "kept": 3, "masked": 0, "revision": again["revision"]}
    about = json.loads(done("save", str(saved), "--json", "--address", address))
    assert about == {"file": str(saved), "from": address, "services": 3, "bytes": len(saved.read_bytes()), "masked": 0}
    assert os.listdir(tmp_path) == sorted(["orion.snapshot", "saved"], key=os.listdir(tmp_path).index)


def test_what_a_daemon_refuses(tmp_path: Path, file: str, address: str) -> None:
    lines = FILE.splitlines(keepends=True)
    bad = tmp_path / "bad"
    bad.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert "line 4: 2 services were read, the header says 3" in failed(1, "restore", str(bad), "--address", address)
    assert "it is empty" in failed(1, "restore", "-", "--address", address, stdin=b"")

    async def take_the_id() -> None:
        async with RegistryClient(address) as client:
            assert (await client.discover(Selector(include_not_ready=True))).services == ()
            await client.register(ServiceSpec(agent_id="other", service_name="calc", service_id="one"))

    asyncio.run(take_the_id())
    message = failed(1, "restore", file, "--address", address)
    assert "service 'one' is default/calc-1/calc in the snapshot and default/other/calc here" in message
    assert "nothing was imported" in message


def test_nobody_there(tmp_path: Path, file: str) -> None:
    saved = tmp_path / "saved"
    for arguments in (["restore", file], ["save", str(saved)]):
        line = failed(1, *arguments, "--address", "127.0.0.1:1")
        assert "cannot reach the registry at 127.0.0.1:1" in line
        assert "orion-registry serve" in line
    assert os.listdir(tmp_path) == ["orion.snapshot"]


# With a data directory.


def test_save_from_a_data_directory(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    fill(directory)
    saved = tmp_path / "saved"
    out = done("save", str(saved), "--data-dir", str(directory)).decode()
    assert out == f"saved 3 services (2.2 kB) from {directory} to {saved}\n"
    assert {record.service_id for record in read(saved.read_bytes()).records} == {"one", "two", "three"}


def test_restore_into_a_new_directory(tmp_path: Path, file: str) -> None:
    directory = tmp_path / "new" / "data"
    out = done("restore", file, "--data-dir", str(directory)).decode()
    assert out == f"restored 3 services into {directory}; there was nothing there\n"
    stored = load(directory)
    assert sorted(stored.records, key=str) == sorted(STORED.records, key=str)
    assert stored.epochs_below > STORED.epochs_below
    assert not [name for name in os.listdir(directory) if name.startswith(("restoring", "replaced"))]


@pytest.mark.parametrize("harm", ["none", "flipped", "truncated", "garbage", "missing"])
def test_restore_over_what_is_there(tmp_path: Path, file: str, harm: str) -> None:
    """Whatever is there, sound or not, is moved aside as it is, and the snapshot is what a daemon finds."""
    directory = tmp_path / "data"
    fill(directory, Stored(records=(make_record(make_spec("old", service_id="old"), **HASHES),)))
    database = directory / "registry.db"
    data = bytearray(database.read_bytes())
    if harm == "flipped":
        data[data.index(b"calc")] ^= 1
        database.write_bytes(data)
    elif harm == "truncated":
        database.write_bytes(data[: len(data) // 2])
    elif harm == "garbage":
        database.write_bytes(b"no database at all" * 1_000)
    elif harm == "missing":
        database.unlink()
    before = database.read_bytes() if database.exists() else None
    if harm != "none":
        with pytest.raises(StoreFailed):
            load(directory)
    about = json.loads(done("restore", file, "--json", "--data-dir", str(directory)))
    assert (about["services"], about["to"]) == (3, str(directory))
    assert sorted(load(directory).records, key=str) == sorted(STORED.records, key=str)
    if before is None:
        assert about["moved_to"] is None
    else:
        aside = Path(about["moved_to"])
        assert aside.parent == directory
        assert harm == "none" or (aside / "registry.db").read_bytes() == before
        assert stat.S_IMODE(aside.stat().st_mode) == 0o700
    second = json.loads(done("restore", file, "--json", "--data-dir", str(directory)))
    assert second["moved_to"] not in (None, about["moved_to"])


def test_epochs_go_on_above_the_database_that_was_there(tmp_path: Path, file: str) -> None:
    directory = tmp_path / "data"
    done("restore", file, "--data-dir", str(directory))
    first = load(directory).epochs_below
    done("restore", file, "--data-dir", str(directory))
    assert load(directory).epochs_below >= first > STORED.epochs_below


def test_a_directory_in_use(tmp_path: Path, file: str) -> None:
    """A daemon that holds the lock is never robbed of its data."""
    directory = tmp_path / "data"
    fill(directory)

    async def while_held() -> None:
        store = SqliteStore(directory)
        await store.load()
        try:
            for arguments in (["restore", file], ["save", str(tmp_path / "saved")]):
                line = await asyncio.to_thread(failed, 2, *arguments, "--data-dir", str(directory))
                assert "in use by another daemon" in line
        finally:
            await store.close()

    asyncio.run(while_held())
    assert not (tmp_path / "saved").exists()
    assert len(load(directory).records) == 3
    assert not [name for name in os.listdir(directory) if name.startswith(("restoring", "replaced"))]


def test_a_damaged_file_touches_no_directory(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    fill(directory)
    before = {name: (directory / name).read_bytes() for name in os.listdir(directory)}
    line = failed(1, "restore", "-", "--data-dir", str(directory), stdin=FILE[:-1])
    assert "cut off" in line
    assert {name: (directory / name).read_bytes() for name in os.listdir(directory)} == before


def test_save_from_a_damaged_database(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    fill(directory)
    (directory / "registry.db").write_bytes(b"no database at all" * 1_000)
    failed(1, "save", str(tmp_path / "saved"), "--data-dir", str(directory))
    assert not (tmp_path / "saved").exists()


# Looking into a file.


def test_inspect(file: str) -> None:
    assert done("inspect", file).decode().splitlines() == [
        f"{file}: a sound snapshot of 3 services, 2.2 kB",
        "  created    2026-11-23T11:00:00Z",
        "  epochs     below 1,048,577",
        "  namespace  default 2, other 1",
        "  type       agent 2, tool 1",
        "  liveness   STREAM 2, STATIC 1",
    ]
    assert json.loads(done("inspect", "--json", "-", stdin=FILE)) == {
        "file": "-",
        "created": "2026-11-23T11:00:00Z",
        "services": 3,
        "overlays": 0,
        "masked": 0,
        "bytes": len(FILE),
        "epochs_below": 1_048_577,
        "by_namespace": {"default": 2, "other": 1},
        "by_type": {"agent": 2, "tool": 1},
        "by_liveness": {"STATIC": 1, "STREAM": 2},
    }


def test_inspect_finds_damage(file: str) -> None:
    data = bytearray(FILE)
    data[FILE.index(b"calc-2")] ^= 1
    line = failed(1, "inspect", "-", stdin=bytes(data))
    assert "line 5: the lines before do not match its sha256" in line
    assert "not a snapshot" in failed(1, "inspect", "-", stdin=b"\x7fELF" * 1_000)


# Wrong use.


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["save"], "Missing argument 'FILE'"),
        (["restore", "x", "--address", "a:1", "--data-dir", "d"], "not both"),
        (["save", "x", "--address", "nowhere"], "address: must be HOST:PORT or unix:PATH, got 'nowhere'"),
        (["inspect", "/no/such/file"], "/no/such/file: no such file or directory"),
        (["restore", "/no/such/file"], "/no/such/file: no such file or directory"),
        (["restore", "/"], "/: is a directory"),
        (["save", "/no/such/dir/file", "--address", "127.0.0.1:1"], "/no/such/dir/file: no such file"),
        (["save", "/dev/null", "--address", "127.0.0.1:1"], "/dev/null: not a regular file; use - for stdout"),
        (["save", "x", "--data-dir", "/no/such/dir"], "/no/such/dir holds no database of a registry"),
        (["restore", "-", "--data-dir", "/dev/null"], "/dev/null"),
        (["lose"], "No such command 'lose'"),
    ],
)
def test_wrong_use(arguments: list[str], says: str) -> None:
    assert says in failed(2, *arguments, stdin=FILE)


@pytest.mark.parametrize("command", ["save", "restore", "inspect"])
def test_help_teaches(command: str) -> None:
    text = done(command, "--help").decode()
    for part in ("Examples:", "Exit codes: 0 done, 1 it failed", "--json", "orion-registry snapshot"):
        assert part in text


# The file.


def test_an_old_file_is_replaced_whole_or_not_at_all(tmp_path: Path, file: str) -> None:
    directory = tmp_path / "data"
    fill(directory)
    link = tmp_path / "link"
    link.symlink_to(file)
    os.chmod(file, 0o644)
    failed(1, "save", str(link), "--address", "127.0.0.1:1")
    assert Path(file).read_bytes() == FILE
    done("save", str(link), "--data-dir", str(directory))
    assert link.is_symlink()
    assert Path(file).read_bytes() != FILE
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["data", "link", "orion.snapshot"]


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    records = (make_record(make_spec(f"a{n}", service_id=f"s{n}"), **HASHES) for n in range(2_000))
    fill(directory, Stored(records=tuple(records)))
    process = subprocess.Popen(
        [*COMMAND, "save", "-", "--data-dir", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b"orion-registry: stdout was closed before everything was written\n"
    process.stderr.close()
    assert process.wait(20) == 1


def test_progress_on_a_terminal(tmp_path: Path, file: str) -> None:
    """On a terminal a line keeps up, and is wiped at the end; the outcome stands alone."""
    master, slave = pty.openpty()
    told = bytearray()

    def listen() -> None:
        while True:
            try:
                data = os.read(master, 4_096)
            except OSError:
                return
            if not data:
                return
            told.extend(data)

    reader = threading.Thread(target=listen)
    reader.start()
    ended: Any = subprocess.run(
        [*COMMAND, "inspect", file], stdout=subprocess.PIPE, stderr=slave, env=clean_environment(), check=False
    )
    os.close(slave)
    reader.join(5)
    os.close(master)
    assert (ended.returncode, ended.stdout.splitlines()[0].decode()) == (
        0,
        f"{file}: a sound snapshot of 3 services, 2.2 kB",
    )
    assert bytes(told) == b"\r\x1b[Kread 2.2 kB\r\x1b[K"
