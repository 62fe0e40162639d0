"""orion-registry certs: files that the daemon and clients take, and what is said of them."""

import json
import re
import shlex
import stat
from pathlib import Path

from cryptography import x509

from orion_registry.core.access.rights import EVERYTHING, Rights, Role
from orion_registry.server.access_file import read_access
from tests.cli.process import daemon_process
from tests.cli.running import run

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")


def names_of(path: str) -> list[str]:
    certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found]


def test_an_authority_a_registry_and_a_client(tmp_path: Path) -> None:
    ended = run("certs", str(tmp_path / "certs"), "--host", "registry.example.org", "--host", "10.0.0.5")
    assert ended.returncode == 0, ended.stderr
    assert "--tls-client-ca-file" in ended.stdout
    assert "export ORION_CA_FILE=" in ended.stdout
    found = names_of(str(tmp_path / "certs" / "registry.pem"))
    assert found == ["localhost", "127.0.0.1", "::1", "registry.example.org", "10.0.0.5"]
    assert names_of(str(tmp_path / "certs" / "operator.pem")) == ["operator"]
    keys = [path for path in (tmp_path / "certs").iterdir() if path.name.endswith("key.pem")]
    assert len(keys) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_further_clients_are_of_the_same_authority_and_nothing_else_changes(tmp_path: Path) -> None:
    first = json.loads(run("certs", str(tmp_path), "--client", "calc", "--json").stdout)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.pem")}
    again = json.loads(run("certs", str(tmp_path), "--client", "spiffe://fleet/agents/b", "--json").stdout)
    assert set(again) - set(first) == {"fleet-agents-b"}
    assert names_of(again["fleet-agents-b"]) == ["spiffe://fleet/agents/b"]
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert run("certs", str(tmp_path), "--host", "10.0.0.5").returncode == 0
    assert run("certs", str(tmp_path), "--renew").returncode == 0
    assert names_of(str(tmp_path / "registry.pem")) == ["localhost", "127.0.0.1", "::1", "10.0.0.5"]
    assert names_of(again["fleet-agents-b"]) == ["spiffe://fleet/agents/b"]
    assert (tmp_path / "calc.pem").read_bytes() != before["calc.pem"]
    assert (tmp_path / "ca.pem").read_bytes() == before["ca.pem"]


def test_each_client_is_granted_what_was_asked_and_rows_that_are_there_stay(tmp_path: Path) -> None:
    made = json.loads(run("certs", str(tmp_path), "--client", "calc=agent,caller", "--client", "ops", "--json").stdout)
    book = read_access(made["access"]).book
    (grant,) = book.rights_of("calc").grants
    assert (grant.roles, grant.namespaces) == (frozenset({Role.AGENT, Role.CALLER}), ("*",))
    assert book.rights_of("ops") is EVERYTHING
    assert book.rights_of("other") == Rights()
    edited = Path(made["access"]).read_text().replace('"agent", "caller"', '"viewer"')
    Path(made["access"]).write_text(edited)
    again = run("certs", str(tmp_path), "--client", "calc=operator", "--client", "new=viewer")
    assert "grants something to calc already: edit it there" in again.stderr
    text = Path(made["access"]).read_text()
    assert text.startswith(edited)
    assert read_access(made["access"]).book.rights_of("new").grants[0].roles == frozenset({Role.VIEWER})
    assert text.count("[[grant]]") == 3


def test_what_is_wrong_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not ours")
    (tmp_path / "file").touch()
    for arguments, said in (
        ((str(tmp_path),), "holds other files than this command makes"),
        ((str(tmp_path / "new"), "--client", "two words"), "must be 1 to 255 printable ASCII characters"),
        ((str(tmp_path / "file"),), "is a file"),
        ((str(tmp_path / "new"), "--client", "10.0.0.1"), "an address is no identity"),
        ((str(tmp_path / "new"), "--client", "registry"), "which is another's"),
        ((str(tmp_path / "new"), "--client", "spiffe://a/b", "--client", "a-b"), "which is another's"),
        ((str(tmp_path / "new"), "--days", "0"), "--days"),
        ((str(tmp_path / "new"), "--client", "calc=admin"), "roles are agent, caller, operator, viewer, got 'admin'"),
        ((str(tmp_path / "new"), "--client", "calc="), "got ''"),
        ((str(tmp_path / "new"), "--client", "*.calc"), "an asterisk"),
    ):
        ended = run("certs", *arguments)
        assert ended.returncode == 2, ended
        assert said in ended.stderr
        assert ended.stderr.count("\n") == 1


def test_what_the_guide_says_can_be_typed(tmp_path: Path) -> None:
    """Certificates, a daemon that shows them, and a command that gets in; without them it does not."""
    made, served, exported = re.findall(r"```bash\norion-registry certs (.*?)\n```.*?orion-registry (serve .*?)\n```"
                                        r".*?export (.*?)\n", PAGE, re.DOTALL)[0]  # fmt: skip
    assert run("certs", *in_place(made, tmp_path)).returncode == 0
    options = in_place(served, tmp_path)[1:]
    files = dict(one.split("=") for one in in_place(exported, tmp_path))
    with daemon_process(*options) as daemon:
        address = daemon.wait_ready()
        let_in = run("info", ORION_ADDRESS=address, **files)
        assert let_in.returncode == 0, let_in.stderr
        kept_out = run("info", ORION_ADDRESS=address)
        assert (kept_out.returncode, "if it speaks TLS, set ca_file" in kept_out.stderr) == (1, True)
        flags = [part for name, file in files.items() for part in (f"--{name[6:].lower().replace('_', '-')}", file)]
        assert run("info", "--address", address, *flags).returncode == 0


def in_place(arguments: str, place: Path) -> list[str]:
    """The arguments, with the guide's directory `certs` in a place of the test's."""
    return [re.sub(r"(^|=)certs($|/)", rf"\1{place}/certs\2", part) for part in shlex.split(arguments)]


def test_the_lines_to_export_are_of_the_first_client_given(tmp_path: Path) -> None:
    lines = run("certs", str(tmp_path / "c"), "--client", "zoe=caller", "--client", "ann=agent").stdout.splitlines()
    assert lines[-1].endswith("zoe-key.pem")
