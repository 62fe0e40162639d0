"""`orion-registry register` as people run it: STATIC, TTL, as long as it runs; from options and from a file."""

import json
import signal
import stat
from pathlib import Path

import pytest

from tests.cli.running import done, failed, run
from tests.cli.test_watch_process import next_of, start

OPTIONS = (
    "--host", "10.0.0.7", "--port", "631", "--protocol", "ipp", "--capability", "print.pdf", "--capability", "print.ps",
    "--tag", "colour", "--metadata", '{"floor": 2}', "--zone", "b", "--type", "device", "--version", "7",
    "--weight", "2.5", "--max-concurrency", "3", "--retention", "5m", "--service-id", "printer",
)  # fmt: skip


def test_every_option_is_registered_and_what_get_shows_can_be_registered_again(address: str, tmp_path: Path) -> None:
    at = ("--address", address)
    assert done("register", "lab/printer-1/print", *OPTIONS, *at) == ["registered printer"]
    (line,) = done("get", "--json", "printer", *at)
    first = json.loads(line)
    wanted = {
        "namespace": "lab", "agent_id": "printer-1", "service_name": "print", "service_type": "device",
        "address": "10.0.0.7:631", "protocol": "ipp", "capabilities": ["print.pdf", "print.ps"], "tags": ["colour"],
        "metadata": {"floor": 2}, "zone": "b", "version": "7", "weight": 2.5, "max_concurrency": 3,
        "retention_s": 300.0, "liveness": "STATIC", "ready": True,
    }  # fmt: skip
    assert {name: first[name] for name in wanted} == wanted
    done("remove", "printer", *at)
    file = tmp_path / "print.json"
    file.write_text(line)
    (told,) = done("register", "--file", str(file), "--json", *at)
    assert json.loads(told)["created"] is True
    again = json.loads(done("get", "--json", "printer", *at)[0])
    changed = {"registration_time", "reasons", "epoch"}
    assert {name: again[name] for name in again.keys() - changed} == {
        name: first[name] for name in first.keys() - changed
    }


def test_a_secret_file_is_made_once_and_lets_the_same_be_registered_again(address: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    ttl = ("register", "cron-1/report", "--liveness", "ttl", "--ttl", "1s", "--secret-file", str(file))
    assert done(*ttl, "--address", address)[0].startswith("registered ")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = file.read_text()
    assert len(secret.strip()) >= 32
    (line,) = done("get", "--json", "cron-1/report", "--address", address)
    assert (json.loads(line)["reasons"][0]["code"], json.loads(line)["liveness_ttl_s"]) == ("BEATING", 1.0)
    run("wait", "agent=nobody", "--timeout", "1500ms", "--address", address)
    assert "UNHEALTHY(SILENT)" in done("services", "--all", "--address", address)[1]
    assert done(*ttl, "--address", address)[0].startswith("updated ")
    assert file.read_text() == secret
    assert "HEALTHY(BEATING)" in done("services", "--address", address)[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_alive_as_long_as_it_runs(address: str, number: int, code: int) -> None:
    with start("register", "calc-1/calc", "--liveness", "stream", "--json", "--address", address) as running:
        try:
            service_id = next_of(running)["service_id"]
            assert "HEALTHY(STREAM_OPEN)" in done("services", "--address", address)[1]
            running.send_signal(number)
            assert running.wait(10) == code
        finally:
            running.kill()
    removed = json.loads(done("events", "--type", "SERVICE_REMOVED", "--json", "--address", address)[0])
    assert (removed["service_id"], removed["removal"]) == (service_id, "UNREGISTERED")


def test_one_that_lives_is_not_taken_unless_asked(address: str) -> None:
    with start("register", "calc-1/calc", "--liveness", "stream", "--json", "--address", address) as running:
        try:
            next_of(running)
            line = failed(1, "register", "calc-1/calc", "--address", address)
            assert "live" in line
            assert done("register", "calc-1/calc", "--takeover", "--address", address)[0].startswith("updated ")
            _, told = running.communicate(timeout=10)
        finally:
            running.kill()
    assert (running.returncode, "this copy stops" in told) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "content", "expected"),
    [
        ((), None, "agent_id is missing: name the service, AGENT/NAME"),
        (("calc-1",), None, "'calc-1' is no AGENT/NAME"),
        (("-/calc",), None, "No such option"),
        (("!/calc",), None, "service.agent_id: must be 1 to 128 of"),
        (("a/b", "--port", "70000"), None, "service.port: must be"),
        (("a/b", "--port", "x"), None, "'x' is not a valid integer"),
        (("a/b", "--metadata", "[1]"), None, "metadata: must be a JSON object, got [1]"),
        (("a/b", "--metadata", "{"), None, "metadata: must be a JSON object: Expecting"),
        (("a/b", "--ttl", "soon"), None, "'soon' is no span"),
        (("a/b", "--liveness", "check"), None, "Invalid value for '--liveness'"),
        (("a/b", "--ttl", "10m"), "", "--ttl is for --liveness ttl, and this one is static"),
        (("a/b", "--liveness", "stream", "--secret-file", "FILE"), "", "--secret-file is for static and ttl"),
        (("a/b", "--secret-file", "FILE"), " \n", "is empty: it must hold a secret"),
        (("a/b", "--secret-file", "/nowhere/x"), None, "/nowhere/x: no such file or directory"),
        (("a/b", "--secret-file", "/"), None, "/: is a directory"),
        (("--file", "/nowhere/x"), None, "/nowhere/x: no such file or directory"),
        (("--file", "FILE"), "{", "is not valid JSON: "),
        (("--file", "FILE"), "[]", "must be one JSON object"),
        (("--file", "FILE"), '{"agent": "a"}', "'agent' is no field of a service; known are agent_id, "),
        (("--file", "FILE"), '{"agent_id": "a", "service_name": 1}', "service_name: must be a text, got 1"),
        (("a/b", "--file", "FILE"), '{"port": true}', "port: must be a whole number, got True"),
        (("a/b", "--file", "FILE"), '{"weight": "1"}', "weight: must be a number, got '1'"),
        (("a/b", "--file", "FILE"), '{"tags": "gpu"}', "tags: must be a list of texts, got 'gpu'"),
        (("a/b", "--file", "FILE"), '{"liveness": "PULSE"}', "liveness: must be one of STREAM, TTL, CHECK, STATIC"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    arguments: tuple[str, ...], content: str | None, expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    given = [str(file) if argument == "FILE" else argument for argument in arguments]
    assert expected in failed(2, "register", *given)


def test_help_teaches() -> None:
    text = run("register", "--help").stdout
    assert "Examples:" in text
    assert "Exit codes:" in text
    assert max(map(len, text.splitlines())) <= 110
