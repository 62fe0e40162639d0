"""tokens_file and access_file: what they say, and what is wrong with them."""

import asyncio
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest

from orion_registry.core.access.quota import Quota
from orion_registry.core.access.rights import EVERYTHING, Grant, Rights, Role
from orion_registry.runtime.alarms import Alarms
from orion_registry.runtime.clock import SystemClock
from orion_registry.server.access import Access, say_who_may
from orion_registry.server.access_file import read_access
from orion_registry.server.file_rows import FileError
from orion_registry.server.settings import Settings
from orion_registry.server.start_error import SettingError, StartError
from orion_registry.server.tokens_file import read_tokens, write_tokens
from orion_registry.server.watched_file import WatchedFile
from tests.server.serving import until
from tests.server.tls import EVERYBODY, Certs
from tests.server.tokens import Tokens

ROW = {
    "id": "abcdefghijkl",
    "identity": "calc",
    "sha256": "0" * 64,
    "roles": ["agent"],
    "namespaces": ["default"],
    "capabilities": ["*"],
    "created": "2026-11-28T16:00:00Z",
    "expires": "2027-11-28T16:00:00+01:00",
}


def tokens_file(tmp_path: Path, *rows: Any, **whole: Any) -> str:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"version": 1, "tokens": list(rows), **whole}))
    return str(path)


def access_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "access.toml"
    path.write_text(text)
    return str(path)


def access_of(**settings: Any) -> Access:
    return Access(Settings(**settings), time.time())


def test_what_was_written_is_read(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    tokens.add("spiffe://x/calc", [Role.AGENT, Role.CALLER], ["a", "b"], ["payments.*"])
    tokens.add("b")
    found = list(read_tokens(str(tokens.path)).tokens.values())
    assert [token.grant for token in found] == [token.grant for token in tokens.rows]
    assert [token.secret_hash for token in found] == [token.secret_hash for token in tokens.rows]
    assert abs(found[0].expires_wall - tokens.rows[0].expires_wall) <= 1.0
    assert os.stat(tokens.path).st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["t"]


def test_a_file_keeps_its_owner_and_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a daemon of another user could not read it any more, and what was revoked would count on."""
    tokens = Tokens(tmp_path / "t")
    os.chmod(tokens.path, 0o640)
    if os.geteuid() == 0:
        os.chown(tokens.path, 1_000, 1_001)
    before = os.stat(tokens.path)
    tokens.add("calc")
    after = os.stat(tokens.path)
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)

    def forbidden(_number: int, uid: int, gid: int) -> None:
        assert (uid, gid) == (before.st_uid, before.st_gid)
        raise PermissionError

    monkeypatch.setattr(os, "fchown", forbidden)
    with pytest.raises(FileError, match=r"tokens_file: must be changed by its owner or root: .* cannot be given to"):
        tokens.add("another")
    assert len(read_tokens(str(tokens.path)).tokens) == 1
    assert os.listdir(tmp_path) == ["t"]


def test_tokens_themselves_are_not_in_the_file(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    text = tokens.add("calc")
    assert text[19:] not in tokens.path.read_text()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("id", "ABC", "token 2, id: must be 12 of a-z 0-9, got 'ABC'"),
        ("identity", "a b", "token 2, identity: must be 1 to 255 printable characters of ASCII without spaces, got"),
        ("identity", "é", "token 2, identity: must be"),
        ("sha256", "orion_abcdefghijkl_s3cr3t", "token 2, sha256: must be 64 of 0-9 a-f, got something else"),
        ("roles", ["admin"], "token 2, roles: must be 1 to 4 of agent, caller, operator, viewer, got ['admin']"),
        ("roles", [], "token 2, roles: must be"),
        ("roles", "agent", "token 2, roles: must be"),
        ("namespaces", ["a/b"], "token 2, namespaces: must be 1 to 64 namespaces"),
        (
            "capabilities",
            ["*.x"],
            "token 2, capabilities: must be 1 to 64 capabilities, or beginnings with an asterisk",
        ),
        ("capabilities", [" "], "token 2, capabilities: must be"),
        ("expires", "2027-11-28T16:00:00", "token 2, expires: must be a date and time as in"),
        ("expires", 5, "token 2, expires: must be a date"),
        ("expires", "9999-12-31T23:59:59Z", "token 2, expires: must be a date"),
        ("created", "0001-01-01T00:00:00+14:00", "token 2, created: must be a date"),
        (
            "expires",
            "2036-11-25T16:00:02Z",
            "token 2, expires: must be at most 3,650 days after created, got 2036-11-25T16:00:02Z",
        ),
        ("note", "a\nb", "token 2, note: must be at most 256 printable characters, got 'a\\nb'"),
        ("admin", True, "token 2: must be a table of id, identity, sha256, roles"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path: Path, field: str, value: Any, said: str) -> None:
    path = tokens_file(tmp_path, {**ROW, "id": "bbcdefghijkl"}, {**ROW, field: value})
    with pytest.raises(FileError) as wrong:
        read_tokens(path)
    assert str(wrong.value).startswith(f"tokens_file: {path}, {said}")
    assert "s3cr3t" not in str(wrong.value)


def test_a_token_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    """Nor the part of it that is left where a long value is cut."""
    secret = "s3cr3t" * 7 + "s"
    text = f"orion_abcdefghijkl_{secret}"
    wrong: list[dict[str, Any]] = [{"id": text}, {"identity": text + " "}, {"roles": [text]}, {text: 1}]
    wrong += [{"namespaces": ["/" * size, text]} for size in range(1, 70)]
    for fields in wrong:
        with pytest.raises(FileError) as told:
            read_tokens(tokens_file(tmp_path, {**ROW, **fields}))
        assert "s3cr" not in str(told.value)
    with pytest.raises(FileError, match=r"got '\*\*\*'$"):
        read_access(access_file(tmp_path, f"{text} = 1"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    for field in ("id", "identity", "sha256", "roles", "created", "expires"):
        row = {name: value for name, value in ROW.items() if name != field}
        with pytest.raises(FileError, match=f"token 1, {field}: must be .*, got nothing"):
            read_tokens(tokens_file(tmp_path, row))


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        ({"version": 2}, ", version: must be 1: this daemon knows no other, got 2"),
        ({"version": True}, ", version: must be"),
        ({"version": 1.0}, ", version: must be"),
        ({"tokens": {}}, ", token: must be a list"),
        ({"more": 1}, ": must be a table of version, tokens, got 'more' too"),
        ({"tokens": [ROW, ROW]}, ", id: must be different tokens, got 'abcdefghijkl' twice"),
        ({"tokens": [7]}, ", token 1: must be a table, got 7"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, whole: dict[str, Any], said: str) -> None:
    with pytest.raises(FileError) as wrong:
        read_tokens(tokens_file(tmp_path, **whole))
    assert said in str(wrong.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"version": 1}'])
def test_rubbish_is_no_tokens_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(FileError, match="tokens_file: "):
        read_tokens(str(tmp_path / "t"))
    with pytest.raises(
        FileError, match=r"tokens_file: must be a file that can be read \(no such file or directory\), got"
    ):
        read_tokens(str(tmp_path / "none"))


def test_grants_are_read(tmp_path: Path) -> None:
    text = """
        [[grant]]
        identity = "spiffe://x/agents/*"
        roles = ["agent"]
        namespaces = ["payments"]
        capabilities = ["payments.*"]
        [[grant]]
        identity = "operator"
        roles = ["operator", "viewer"]
    """
    book = read_access(access_file(tmp_path, text)).book
    agent = Grant(roles=frozenset({Role.AGENT}), namespaces=("payments",), capabilities=("payments.*",))
    assert book.rights_of("spiffe://x/agents/calc") == Rights(grants=(agent,))
    assert book.rights_of("operator").grants[0].namespaces == ("default",)
    assert book.rights_of("operators") == Rights()
    assert read_access(access_file(tmp_path, EVERYBODY)).book.rights_of("x") is EVERYTHING
    assert read_access(access_file(tmp_path, "")).book.rights_of("x") == Rights()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[grant]]\nroles = ['agent']", ", grant 1, identity: must be an identity (1 to 255"),
        ("[[grant]]\nidentity = 'a*b'\nroles = ['agent']", ", grant 1, identity: must be"),
        (
            "[[grant]]\nidentity = 'a'",
            ", grant 1, roles: must be 1 to 4 of agent, caller, operator, viewer, got nothing",
        ),
        ("[[grant]]\nidentity = 'a'\nroles = ['agent']\nrole = 'x'", ", grant 1: must be a table of identity, roles"),
        ("[[grants]]\nidentity = 'a'", ": must be a file of [[grant]] and [[quota]] rows, got 'grants'"),
        ("[[quota]]\nservices = 1", ", quota 1, namespace: must be a namespace, or"),
        ("[[quota]]\nnamespace = 'a'\nservices = -1", ", quota 1, services: must be a whole number of 0 (no limit) to"),
        ("[[quota]]\nnamespace = 'a'\nservices = true", ", quota 1, services: must be"),
        ("[[quota]]\nnamespace = 'a'\nstream = 1", ", quota 1: must be a table of namespace, services, streams,"),
        ("[[quota]]\nnamespace='a'\n[[quota]]\nnamespace='a'", ", quota 2, namespace: must be another one in each row"),
        ("grant = 5", ", grant: must be a list of at most 10,000 rows, got 5"),
        ("[[grant]", ": must be TOML, got "),
        ("a = " + "[" * 20_000, ": must be TOML, got "),
        ("a = " + "9" * 5_000, ": must be TOML, got "),
        ("grant = 0x" + "f" * 5_000, ", grant: must be a list of at most 10,000 rows, got a number of too many digits"),
        ("[[quota]]\nnamespace = 'a'\nservices = 0x" + "f" * 5_000, ", quota 1, services: must be a whole number of 0"),
        ("[[quota]]\nnamespace = 'a'\nservices = [0x" + "f" * 5_000 + "]", ", quota 1, services: must be a whole"),
    ],
)
def test_an_access_file_that_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = access_file(tmp_path, text)
    with pytest.raises(FileError) as wrong:
        read_access(path)
    assert str(wrong.value).startswith(f"access_file: {path}{said}")


def test_quotas_are_read_and_need_no_certificates(tmp_path: Path) -> None:
    text = """
        [[quota]]
        namespace = "payments"
        services = 20
        registrations_per_minute = 60
        [[quota]]
        namespace = "*"
        streams = 5
    """
    rules = access_of(access_file=access_file(tmp_path, text)).rules
    assert rules.quotas.of("payments") == Quota(services=20, registrations_per_minute=60)
    assert rules.quotas.of("other") == Quota(streams=5)


def test_what_is_broken_takes_no_files_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = Tokens(tmp_path / "t")
    tokens.add("calc")
    found = WatchedFile("tokens_file", str(tokens.path), read_tokens)
    before = found.value
    assert not found.look()
    tokens.path.write_text("{")
    with caplog.at_level(logging.WARNING, "orion_registry"):
        assert not found.look()
        assert not found.trouble  # it may be half written
        for _ in range(2):
            assert not found.look()
    assert [record.message for record in caplog.records] == ["new file refused, the old one goes on"]
    assert "JSON as `orion-registry token` writes it" in found.trouble
    assert found.value is before
    tokens.path.unlink()
    found.look()
    found.look()
    assert "a file that can be read" in found.trouble
    tokens.add("second")
    assert found.look()
    assert not found.trouble
    assert len(found.value.tokens) == 2


def test_a_broken_file_stops_the_start_and_is_an_alarm_later(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    access = access_of(tokens_file=str(tokens.path))
    assert access.troubles(0.0) == {"ACCESS": ""}
    tokens.path.write_text("{")
    access.look(0.0)
    access.look(0.0)
    assert access.troubles(0.0)["ACCESS"].startswith("new files are refused, the old ones go on: tokens_file: ")
    with pytest.raises(StartError, match="tokens_file: "):
        access_of(tokens_file=str(tokens.path))


def test_only_what_ends_while_it_runs_is_a_change(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    tokens.add("gone", ttl_s=-60.0)
    tokens.add("calc", ttl_s=60.0)
    access, now = access_of(tokens_file=str(tokens.path)), time.time()
    assert access.look(now + 1.0) == ()
    assert access.look(now + 62.0) == ("expiry",)
    assert access.look(now + 63.0) == ()


async def test_nothing_that_fails_ends_the_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another part goes on; what was to be judged anew is, once that works again."""
    monkeypatch.setattr("orion_registry.server.access.LOOK_S", 0.01)
    tokens = Tokens(tmp_path / "t")
    text = tokens.add("calc")
    access = access_of(tokens_file=str(tokens.path), access_file=access_file(tmp_path, ""))
    clock, told, broken = SystemClock(), list[str](), True
    alarms = Alarms(clock, lambda _: None)

    def fault(_path: str) -> Any:
        raise ZeroDivisionError

    async def judge(why: str) -> None:
        if broken:
            raise KeyError
        told.append(why)

    monkeypatch.setattr(access._rules, "_read", fault)
    task = asyncio.create_task(access.keep(clock, alarms, judge))
    access_file(tmp_path, "# new")
    tokens.revoke(text)
    await until(lambda: len(access._faults) == 2)
    await until(lambda: alarms.held)
    assert access.tokens is not None
    assert not access.tokens.tokens
    assert alarms.held[0].name == "ACCESS"
    assert "access_file failed (ZeroDivisionError)" in alarms.held[0].message
    broken = False
    await until(lambda: told)
    assert told == ["tokens_file"]
    monkeypatch.setattr(access._rules, "_read", access._read_rules)
    await until(lambda: not alarms.held)
    task.cancel()


def test_grants_without_certificates_would_bind_nobody(tmp_path: Path) -> None:
    path = access_file(tmp_path, EVERYBODY)
    with pytest.raises(
        SettingError, match=r"access_file: must be without \[\[grant\]\] rows, or set with tls_client_ca"
    ):
        access_of(access_file=path)
    assert access_of(**Certs(tmp_path).settings).book.rows


def test_files_that_others_may_write_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = Tokens(tmp_path / "t")
    access_of(tokens_file=str(tokens.path))
    assert not caplog.records
    os.chmod(tokens.path, 0o620)
    access_of(tokens_file=str(tokens.path))
    assert "others may change who may do what" in caplog.text
    assert "may read tokens_file" not in caplog.text
    os.chmod(tokens.path, 0o604)
    access_of(tokens_file=str(tokens.path))
    assert "everybody on this machine may read tokens_file: chmod o-r" in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ["INFO open: whoever is on this machine may do everything"]),
        ({"insecure_listen": True}, ["WARNING insecure_listen is set: whoever reaches the port may do everything"]),
        ({"tokens_file": "t"}, ["INFO callers prove who they are"]),
        (
            {"tokens_file": "t", "insecure_listen": True},
            [
                "INFO callers prove who they are",
                "WARNING insecure_listen is set: whoever reads tokens on their way can use",
            ],
        ),
        (
            {"tls_cert_file": "c", "tls_key_file": "k", "tls_client_ca_file": "a"},
            ["INFO callers prove who they are", "WARNING no access_file: identities of certificates may do nothing"],
        ),
        (
            {"tls_cert_file": "c", "tls_key_file": "k", "tls_client_ca_file": "a", "access_file": "g"},
            ["INFO callers prove who they are"],
        ),
    ],
)
def test_it_says_who_may(settings: dict[str, Any], said: list[str], caplog: pytest.LogCaptureFixture) -> None:
    made = Settings(**settings)
    with caplog.at_level(logging.INFO, "orion_registry"):
        say_who_may(made, {}, exposed=made.insecure_listen)
    lines = [f"{record.levelname} {record.message}" for record in caplog.records]
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True)), lines


def test_writing_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_tokens(str(tmp_path / "none" / "t"), [])
