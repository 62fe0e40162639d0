"""`orion-registry select`, `leases` and `stats` as people run them."""

import json
import signal

import pytest

from tests.cli.running import done, failed, run
from tests.cli.test_services_process import WAITING, register, spec_of
from tests.cli.test_watch_process import next_of, start

ADD = ("math.add",)


def test_select_shows_the_chosen_and_gives_its_slot_back(address: str) -> None:
    at = ("--address", address)
    (one, two) = register(
        address,
        spec_of("calc-1", capabilities=ADD, max_concurrency=1),
        spec_of("calc-2", capabilities=ADD, max_concurrency=4),
    )
    assert done("select", "math.add", "--strategy", "least_connections", "--exclude", one, *at) == [
        f"calc-2/calc  10.0.0.7:9000  {two}"
    ]
    (line,) = done("select", "--where", "agent=calc-1", "--json", *at)
    told = json.loads(line)
    assert (told["service"]["service_id"], told["held"], told["ttl_s"]) == (one, False, 60.0)
    assert done("leases", *at) == ["no leases are open"]
    assert json.loads(done("stats", "--json", *at)[0])["strategies"]["LEAST_CONNECTIONS"]["selections"] == 1
    assert json.loads(done("stats", one, "--json", *at)[0])["succeeded"] == 0, "nobody called: it says nothing of it"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_slot_is_held_until_told(address: str, number: int, code: int) -> None:
    """It stands in leases and stats; nobody else gets it, until its end gives it back."""
    at = ("--address", address)
    (one,) = register(address, spec_of("calc-1", capabilities=ADD, max_concurrency=1))
    with start("select", "math.add", "--hold", "--json", "--caller", "ann", *at) as holding:
        try:
            selection_id = next_of(holding)["selection_id"]
            header, row = done("leases", *at)
            assert header.split() == ["CALLER", "AGE", "LEFT", "STREAM", "SERVICE_ID", "SELECTION_ID"]
            assert (row.split()[0], row.split()[-3:]) == ("ann", ["open", one, selection_id])
            assert done("leases", "--caller", "bob", *at) == ["no leases are open"]
            (line,) = done("leases", "--service", "calc-1/calc", "--json", *at)
            assert json.loads(line)["selection_id"] == selection_id
            assert done("stats", "calc-1/calc", *at)[1] == "slots     1 taken of 1; 1 lease"
            assert done("stats", *at)[0] == "leases    1 open"
            assert "slots of 1 matching service" in failed(1, "select", "math.add", *at)
            holding.send_signal(number)
            assert holding.wait(10) == code
        finally:
            holding.kill()
    assert done("leases", *at) == ["no leases are open"]


def test_who_holds_a_slot_is_told_that_its_service_is_gone(address: str) -> None:
    (one,) = register(address, spec_of("calc-1"))
    with start("select", "--where", "name=calc", "--hold", "--address", address) as holding:
        try:
            assert holding.stdout is not None
            assert holding.stdout.readline() == f"calc-1/calc  10.0.0.7:9000  {one}\n"
            done("remove", one, "--address", address)
            _, told = holding.communicate(timeout=10)
        finally:
            holding.kill()
    assert holding.returncode == 1
    assert told.splitlines()[1] == "orion-registry: the service is lost: it was removed"


def test_explain_shows_every_candidate_and_what_stands_against_it(address: str) -> None:
    at = ("--address", address)
    one, two, three = register(
        address,
        spec_of("calc-1", capabilities=ADD),
        spec_of("calc-2", capabilities=ADD),
        spec_of("calc-3", capabilities=ADD, **WAITING),
    )
    told = done("select", "math.add", "--explain", "--exclude", two, *at)
    assert [" ".join(line.split()) for line in told[1:4]] == [
        f"calc-1/calc chosen 0 0.0625 1 100% - {one}",
        f"calc-2/calc not wanted (--exclude) 0 0.0625 1 100% - {two}",
        f"calc-3/calc not ready: AWAITING_BEAT 0 1 100% - {three}",
    ]
    assert told[4] == f"WEIGHTED_LEAST_LOAD: {one} at 0.0625; 1 NOT_READY, 1 EXCLUDED"
    (line,) = done("select", "math.add", "--explain", "--json", *at)
    plain = json.loads(line)
    assert plain["chosen"] in {one, two}
    assert [candidate["tier"] for candidate in plain["candidates"]] == ["FIRST", "FIRST", "NEVER"]
    assert done("select", "math.mul", "--explain", *at) == [
        "no service matches; `orion-registry services --all` lists what there is"
    ]
    assert done("leases", *at) == ["no leases are open"], "it selects nothing"


def test_what_is_wrong_is_said_in_a_line(address: str) -> None:
    at = ("--address", address)
    assert "name a CAPABILITY" in failed(2, "select", *at)
    assert "--explain selects nothing" in failed(2, "select", "x", "--explain", "--hold", *at)
    assert "Invalid value for '--strategy'" in failed(2, "select", "x", "--strategy", "best", *at)
    assert "no service matches" in failed(1, "select", "math.add", *at)
    assert "caller: must be" in failed(2, "select", "math.add", "--caller", "-", *at)
    register(address, spec_of("calc-1", capabilities=ADD, **WAITING))
    assert "AWAITING_BEAT" in failed(1, "select", "math.add", *at)
    assert "no service calc-7/calc is registered" in failed(1, "stats", "calc-7/calc", *at)
    assert "'a/b/c/d' is no" in failed(2, "leases", "--service", "a/b/c/d")
    assert "start it (orion-registry serve)" in failed(1, "stats", "--address", "127.0.0.1:1")


@pytest.mark.parametrize("command", ["select", "leases", "stats"])
def test_help_teaches(command: str) -> None:
    text = run(command, "--help").stdout
    assert "Examples:" in text
    assert "Exit codes:" in text
    assert max(map(len, text.splitlines())) <= 110
