"""`orion-registry audit` as people run it: what was done to a chain is named, by exit code and in words."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from orion_registry.core.audit import AuditHead, line_of, record_of, sealed
from orion_registry.core.facts import Audit
from tests.building import make_audit_entry
from tests.cli.process import daemon_process
from tests.cli.running import done, run
from tests.store.images import store_in


def lines(count: int = 6) -> list[str]:
    head, found = AuditHead(), list[str]()
    for number in range(1, count + 1):
        text, after = sealed(head, make_audit_entry(f"s{number}"), "", "")
        found.append(line_of(record_of(text, head.hash, after.hash)))
        head = after
    return found


LINES = lines()
HEAD = f"6:{json.loads(LINES[-1])['hash']}"
DAMAGE: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "edited": (lambda found: [*found[:2], found[2].replace("s3", "s9"), *found[3:]], "record 3 was edited"),
    "deleted": (lambda found: [*found[:2], *found[3:]], "record 3 is missing before record 4"),
    "reordered": (lambda found: [*found[:2], found[3], found[2], *found[4:]], "record 4 stands where record 3 should"),
    "truncated": (lambda found: found[:-1], "the chain ends at record 5, and record 6 is known"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_done_to_a_file_is_named(damage: str, tmp_path: Path) -> None:
    spoil, message = DAMAGE[damage]
    path = tmp_path / "audit.jsonl"
    path.write_text("".join(f"{line}\n" for line in spoil(LINES)))
    ended = run("audit", "verify", str(path), "--head", HEAD)
    assert ended.returncode == 1
    assert ended.stdout.startswith(f"BROKEN ({damage.upper()}): {message}")
    told = json.loads(run("audit", "verify", str(path), "--head", HEAD, "--json").stdout)
    assert (told["whole"], told["damage"]) == (False, damage.upper())


def test_whole_files_are_followed_from_one_to_the_next(tmp_path: Path) -> None:
    for name, part in (("a.jsonl", LINES[4:]), ("a.jsonl.1", LINES[2:4]), ("a.jsonl.2", LINES[:2])):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in part))
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    ended = run("audit", "verify", *files, "--head", HEAD)
    assert (ended.returncode, ended.stdout.splitlines()[1]) == (0, f"head {HEAD}")
    assert ended.stdout.startswith("whole: 6 records, 1 to 6, of ")
    missing = run("audit", "verify", files[0], files[2])
    assert (missing.returncode, "records 3 to 4 are missing" in missing.stdout) == (1, True)


ROWS = {
    "EDITED": "UPDATE audit SET record = replace(record, 's3', 's9') WHERE seq = 3",
    "DELETED": "DELETE FROM audit WHERE seq = 3",
    "REORDERED": "UPDATE audit SET seq = 100 WHERE seq = 3",
    "TRUNCATED": "DELETE FROM audit WHERE seq = 6",
}


async def fill(path: Path) -> None:
    store = store_in(path)
    await store.load()
    await store.commit([Audit(entry=make_audit_entry(f"s{number}")) for number in range(1, 7)])
    await store.close()


@pytest.mark.parametrize("damage", [None, *ROWS])
def test_what_was_done_to_a_table_is_named(damage: str | None, tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    if damage is not None:
        with sqlite3.connect(tmp_path / "registry.db") as connection:
            connection.execute(ROWS[damage])
        connection.close()
    ended = run("audit", "verify", "--data-dir", str(tmp_path), "--json")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told.get("damage")) == (0 if damage is None else 1, damage)


def test_a_running_registry_shows_its_chain_and_proves_it(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    with daemon_process("--audit-file", str(file)) as daemon:
        address = daemon.wait_ready()
        for name in ("a", "b"):
            text = f'{{"agent_id": "calc", "service_name": "{name}", "liveness": "STATIC", "host": "x", "port": 1}}'
            (tmp_path / name).write_text(text)
            assert run("register", "--file", str(tmp_path / name), "--address", address).returncode == 0
        assert run("quarantine", "agent=calc", "--address", address).returncode == 0
        shown = done("audit", "show", "--address", address)
        assert [line.split()[2:4] for line in shown] == [["RegisterService", "OK"]] * 2 + [["SetOverlay", "OK"]] * 2
        assert len(done("audit", "show", "-n", "1", "--address", address)) == 1
        found = done("audit", "show", "--method", "SetOverlay", "--json", "--address", address)
        assert [json.loads(line)["seq"] for line in found] == [3, 4]
        verified = done("audit", "verify", "--address", address)
        head = verified[1].removeprefix("head ")
        assert verified[0] == f"whole: 4 records, 1 to 4, of {address}"
        assert done("audit", "verify", "--head", head, "--address", address) == verified
        forged = run("audit", "verify", "--head", f"3:{head[2:]}", "--address", address)
        assert (forged.returncode, "written anew" in forged.stdout) == (1, True)
        daemon.stop()  # else the file may lack the last quarter of a second
    assert run("audit", "verify", str(file), "--head", head).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-file",), "no-such-file: no such file or directory"),
        (("--head", "7"), "--head: a head is SEQ:HASH"),
        (("--data-dir", "/no/such/dir"), "/no/such/dir holds no database of a registry"),
        (("file", "--data-dir", "dir"), "give FILEs, --address"),
        (("/",), "/ is a directory: --data-dir / verifies one"),
    ],
)
def test_what_cannot_begin_says_so(arguments: tuple[str, ...], message: str) -> None:
    ended = run("audit", "verify", *arguments)
    assert (ended.returncode, message in ended.stderr) == (2, True), ended.stderr


def test_an_outcome_that_there_is_not_is_refused() -> None:
    ended = run("audit", "show", "--outcome", "BOGUS")
    assert ended.returncode == 2
    assert "--outcome: 'BOGUS' is none; one of OK, BAD_FIELD, " in ended.stderr


@pytest.mark.parametrize("command", ["show", "verify"])
def test_help_teaches(command: str) -> None:
    text = run("audit", command, "--help").stdout
    assert "Examples:" in text
    assert "Exit codes:" in text
