"""orion-registry token and access: what they write and print, and a daemon that goes by it."""

import json
import os
import re
import stat
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from orion_registry.cli.roles_table import insert
from orion_registry.server.access_file import read_access
from tests.cli.process import daemon_process
from tests.cli.running import failed, run
from tests.cli.test_cli_docs import type_in

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "security.md").read_text(encoding="utf-8")


def test_a_token_is_printed_once_and_its_hash_kept(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    ended = run("token", "create", "--identity", "calc", "--role", "agent", "--tokens-file", str(file))
    assert ended.returncode == 0, ended.stderr
    (text,) = ended.stdout.splitlines()
    assert text.startswith("orion_")
    assert text not in ended.stderr
    assert "of calc counts until" in ended.stderr
    assert text not in file.read_text()
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    told = json.loads(run("token", "list", "--json", ORION_TOKENS_FILE=str(file)).stdout)
    assert [(row["id"], row["identity"], row["roles"], row["namespaces"]) for row in told] == [
        (text[6:18], "calc", ["agent"], ["default"])
    ]


def test_tokens_are_listed_and_revoked(tmp_path: Path) -> None:
    file = str(tmp_path / "tokens.json")
    made = [
        json.loads(run("token", "create", "--identity", name, *options, "--json", ORION_TOKENS_FILE=file).stdout)
        for name, options in (
            ("calc", ("--role", "agent", "--role", "caller", "--capability", "payments.*", "--note", "for tests")),
            ("ops", ("--role", "operator", "--namespace", "*", "--ttl", "8h")),
        )
    ]
    listed = run("token", "list", "--tokens-file", file).stdout.splitlines()
    assert len(listed) == 3
    assert "agent caller  default     payments.*" in listed[1]
    assert "in 7 h 59 min" in listed[2]
    assert not any(one["token"] in "\n".join(listed) for one in made)
    first, second = (one["id"] for one in made)
    assert run("token", "revoke", first, "--tokens-file", file).stdout == f"revoked 1 token: {first}\n"
    half = run("token", "revoke", first, second, "--tokens-file", file)
    assert (half.returncode, half.stdout) == (1, f"revoked 1 token: {second}\n")
    assert half.stderr == f"orion-registry: no such token in {file}: {first}\n"
    assert json.loads(run("token", "list", "--json", "--tokens-file", file).stdout) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--identity", "a b", "--role", "agent"), "token, identity: must be 1 to 255 printable"),
        (("create", "--identity", "a", "--role", "admin"), "'admin' is not one of"),
        (
            ("create", "--identity", "a", "--role", "agent", "--ttl", "0s"),
            "--ttl: must be more than 0s and at most 3650d",
        ),
        (("create", "--identity", "a", "--role", "agent", "--ttl", "5y"), "'5y' is no span"),
        (("create", "--identity", "a", "--role", "agent", "--namespace", "/"), "token, namespaces: must be"),
        (("create", "--identity", "a", "--role", "agent", "--note", "a\nb"), "token, note: must be"),
        (("create", "--identity", "a"), "--role"),
        (("list",), "no such file"),
        (("revoke", "x"), "no such file"),
        (("revoke",), "ID"),
    ],
)
def test_what_is_wrong_ends_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in failed(2, "token", *arguments, ORION_TOKENS_FILE=str(tmp_path / "tokens.json"))
    assert not (tmp_path / "tokens.json").exists()


def test_a_file_that_is_broken_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text("{")
    said = failed(2, "token", "create", "--identity", "a", "--role", "agent", ORION_TOKENS_FILE=str(file))
    assert "JSON as `orion-registry token` writes it" in said
    assert file.read_text() == "{"


def test_a_daemon_goes_by_it_and_a_revoked_one_is_shut_out(tmp_path: Path) -> None:
    """From a file, never on the command line. Over Unix sockets the machine's owner needs none."""
    file, mine = str(tmp_path / "tokens.json"), tmp_path / "mine"
    made = run("token", "create", "--identity", "ops", "--role", "viewer", "--namespace", "*", ORION_TOKENS_FILE=file)
    mine.write_text(made.stdout)
    socket = f"unix:{tmp_path}/s"
    with daemon_process("--tokens-file", file, "--listen", socket) as daemon:
        address = daemon.wait_ready()
        assert "got nothing: make one" in failed(1, "services", "--address", address)
        assert run("services", "--address", address, "--token-file", str(mine)).returncode == 0
        assert run("services", "--address", address, ORION_TOKEN_FILE=str(mine)).returncode == 0
        said = failed(1, "drain", "a/b", "--address", address, "--token-file", str(mine))
        assert "SetOverlay may be called by: operator" in said
        assert run("services", "--address", socket).returncode == 0
        assert run("token", "revoke", made.stdout[6:18], ORION_TOKENS_FILE=file).returncode == 0
        for _ in range(100):
            if run("services", "--address", address, "--token-file", str(mine)).returncode == 1:
                break
            time.sleep(0.1)
        assert "or it was revoked" in failed(1, "services", "--address", address, "--token-file", str(mine))


def test_what_an_identity_may_do_is_told(tmp_path: Path) -> None:
    file = tmp_path / "access.toml"
    file.write_text(
        '[[grant]]\nidentity = "calc*"\nroles = ["agent"]\nnamespaces = ["pay"]\ncapabilities = ["pay.*"]\n'
        '[[grant]]\nidentity = "calc-1"\nroles = ["viewer"]\n'
    )
    ended = run("access", "show", "calc-1", "--access-file", str(file))
    first, second, calls = ended.stdout.splitlines()
    assert first == "roles agent  namespaces pay  capabilities pay.*"
    assert second == "roles viewer  namespaces default"
    assert "RegisterService" in calls
    assert "SetOverlay" not in calls
    nothing = run("access", "show", "other", "--access-file", str(file), "--json")
    assert (nothing.returncode, json.loads(nothing.stdout)) == (1, {"identity": "other", "grants": [], "calls": []})
    file.write_text("[[grant]")
    assert "must be TOML" in failed(2, "access", "show", "other", "--access-file", str(file))


def test_the_page_says_what_the_method_table_says() -> None:
    assert insert(PAGE) == PAGE, "run: python -m orion_registry.cli.roles_table docs/security.md"


def test_what_the_page_says_can_be_typed(tmp_path: Path) -> None:
    (script,) = re.findall(r"<!-- tried: tokens -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    ended = type_in(script, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert [line.split()[1] for line in ended.stdout.splitlines()] == ["identity", "calc", "ops"]
    assert (tmp_path / "calc.token").read_text().startswith("orion_")


def test_the_access_file_of_the_page_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "access.toml").write_text(text)
    rules = read_access(str(tmp_path / "access.toml"))
    (grant,) = rules.book.rights_of("spiffe://example.org/agents/payments/7").grants
    assert (grant.namespaces, grant.capabilities) == (("payments",), ("payments.*",))
    assert rules.quotas.of("payments").registrations_per_minute == 600


def test_the_token_for_monitoring_can_be_made_as_the_page_says(tmp_path: Path) -> None:
    (script,) = re.findall(
        r"<!-- tried: tokens -->\n```bash\n(.*?)```", (DOCS / "deploying.md").read_text(encoding="utf-8"), re.DOTALL
    )
    ended = type_in(script, tmp_path)
    assert ended.returncode == 0, ended.stderr
    made = tmp_path / "prometheus.token"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    file = str(tmp_path / "tokens.json")
    with daemon_process("--tokens-file", file, "--http", "127.0.0.1:0") as daemon:
        (ready,) = (line for line in daemon.lines() if line["message"] == "ready")
        for path in ("/metrics", "/sd/prometheus"):
            assert status_of(ready["http"], path, made.read_text().strip()) == 200
            assert status_of(ready["http"], path, "") == 401


def status_of(at: str, path: str, token: str) -> int:
    connection = HTTPConnection(at, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        return connection.getresponse().status
    finally:
        connection.close()
