"""`orion-registry services` and `get` as people run them: tables, JSON, exit codes, help."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from orion_registry import LivenessMode, RegistryClient, ServiceSpec, with_metadata
from orion_registry.cli.overlay_target import read_which
from orion_registry.core.selector import Selector
from tests.cli.process import clean_environment
from tests.cli.running import done, failed, run
from tests.cli.test_info_events import COMMAND


def register(address: str, *specs: ServiceSpec) -> list[str]:
    """Registers them; returns their ids."""

    async def work() -> list[str]:
        async with RegistryClient(address) as client:
            return [(await client.register(spec)).ref.service_id for spec in specs]

    return asyncio.run(work())


def spec_of(agent: str, name: str = "calc", **more: Any) -> ServiceSpec:
    """A service that stays."""
    about: dict[str, Any] = {"liveness": LivenessMode.STATIC, "host": "10.0.0.7", "port": 9000, **more}
    return ServiceSpec(agent_id=agent, service_name=name, **about)


WAITING: dict[str, Any] = {"liveness": LivenessMode.STREAM}
"""Of a service whose agent never comes: STARTING(AWAITING_BEAT)."""


def test_services(address: str) -> None:
    """Ready ones alone, and how many more there are; all with --all; a JSON object a line."""
    at = ("--address", address)
    assert done("services", *at) == ["no service matches"]
    one, two, _ = register(
        address,
        spec_of("calc-1", capabilities=("math.add", "math.mul"), tags=("gpu",), max_concurrency=4),
        spec_of("calc-2", capabilities=("math.add",), **WAITING),
        spec_of("calc-9", namespace="lab"),
    )
    told = done("services", *at)
    assert [line.split() for line in told] == [
        ["SERVICE", "STATUS", "ADDRESS", "IN", "FLIGHT", "CAPABILITIES", "SERVICE_ID"],
        ["calc-1/calc", "HEALTHY(STATIC)", "10.0.0.7:9000", "-/4", "math.add,", "math.mul", one],
        ["1", "service", "matches", "and", "is", "not", "ready;", "--all", "shows", "why"],
    ]
    assert told[0].index("SERVICE_ID") == told[1].index(one), "columns stand one below the other"
    assert done("services", "tag=cpu", *at) == ["no service matches"]
    assert done("services", "agent=calc-2", *at) == ["1 service matches and is not ready; --all shows why"]
    assert [line.split()[1] for line in done("services", "--all", "capability=math.add", *at)[1:]] == [
        "HEALTHY(STATIC)",
        "STARTING(AWAITING_BEAT)",
    ]
    lines = [json.loads(line) for line in done("services", "--all", "--json", ORION_ADDRESS=address)]
    assert [line["service_id"] for line in lines] == [one, two]
    assert [line["ready"] for line in lines] == [True, False]
    assert done("services", "lab/calc-9/calc", *at)[1].startswith("lab/calc-9/calc  HEALTHY(STATIC)")


def test_get(address: str) -> None:
    at = ("--address", address)
    spec = with_metadata(spec_of("calc-1", capabilities=("math.add",), zone="b"), {"model": "m", "cores": 8})
    (one, _) = register(address, spec, spec_of("calc-2"))
    told = dict(line.split(maxsplit=1) for line in done("get", "calc-1/calc", *at))
    assert told["service_id"] == one
    assert told["status"] == "HEALTHY, ready"
    assert told["metadata"] == '{"cores": 8, "model": "m"}'
    assert told["zone"] == "b"
    (line,) = done("get", "--json", one, *at)
    plain = json.loads(line)
    assert (plain["status"], plain["liveness"], plain["reasons"][0]["code"]) == ("HEALTHY", "STATIC", "STATIC")
    assert (plain["address"], plain["metadata"]["cores"]) == ("10.0.0.7:9000", 8)
    assert failed(1, "get", "nobody", *at).endswith("is registered; `orion-registry services --all` lists all")
    assert "no service calc-1/room is registered" in failed(1, "get", "calc-1/room", *at)
    assert "is 2 services: name one by its service_id" in failed(1, "get", "name=calc", *at)


@pytest.mark.parametrize(
    ("code", "arguments", "expected"),
    [
        (2, ("services", "color=red"), "WHICH: 'color' is no term"),
        (2, ("services", "calc-1"), "one service: orion-registry get"),
        (2, ("get", "a/b/c/d"), "'a/b/c/d' is no"),
        (2, ("get",), "Missing argument 'WHOM'"),
        (2, ("services", "--address", "nowhere"), "address: must be"),
        (1, ("services", "--address", "127.0.0.1:1"), "start it (orion-registry serve)"),
        (1, ("get", "x", "--address", "127.0.0.1:1"), "start it (orion-registry serve)"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(code: int, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in failed(code, *arguments)


@pytest.mark.parametrize("command", ["services", "get"])
def test_help_teaches(command: str) -> None:
    text = run(command, "--help").stdout
    assert "Examples:" in text
    assert "Exit codes:" in text
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        (None, Selector()),
        ("a/n", Selector(agent_id="a", service_name="n")),
        ("ns/a/n", Selector(namespace="ns", agent_id="a", service_name="n")),
        ("capability=c,tag=t", Selector(capabilities=("c",), tags=("t",))),
    ],
)
def test_which(text: str | None, selector: Selector) -> None:
    assert read_which(text) == selector


@pytest.mark.parametrize("text", ["", " ", "a", "a/", "/n", "a//n", "a/b/c/d", "color=red", "agent="])
def test_which_is_none(text: str) -> None:
    with pytest.raises(click.UsageError, match="WHICH"):
        read_which(text)


@pytest.mark.parametrize("command", ["services", "watch", "wait", "get", "doctor", "health", "check", "stats", "drain"])
def test_a_variable_that_is_not_set_does_not_mean_everybody(command: str) -> None:
    assert "is empty" in failed(2, command, "", "--address", "127.0.0.1:1")
    assert "is empty" in failed(2, command, "calc-1/", "--address", "127.0.0.1:1")


@pytest.mark.parametrize("command", ["services", "watch", "select", "leases", "events"])
def test_of_several_addresses_one_that_accepts_is_asked(address: str, command: str) -> None:
    register(address, spec_of("calc-1"))
    given = {"select": ("--where", "name=calc"), "watch": ("--json",)}.get(command, ())
    arguments = (*COMMAND, command, *given)
    environment = clean_environment(ORION_ADDRESS=f"127.0.0.1:1,unix:/nowhere,unix-abstract:nowhere,{address}")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline(), running.stderr.read()
        running.kill()


def test_an_empty_address_is_the_default() -> None:
    ended = run("services", ORION_ADDRESS="")
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0 or "127.0.0.1:6746" in ended.stderr


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_failure(address: str, closed: str) -> None:
    register(address, spec_of("calc-1"))
    script = f'exec "$@" {closed}'
    shell = ("sh", "-c", script, "sh", *COMMAND, "services", "--address", address)
    ended = subprocess.run(shell, capture_output=True, text=True, timeout=30, env=clean_environment(), check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_full_disk_under_stdout_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*COMMAND, "doctor", "--address", "127.0.0.1:1"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, env=clean_environment(), check=False,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, "orion-registry: stdout: no space left on device\n")


def test_a_mistake_is_one_line() -> None:
    assert "Choose from: bash, zsh, fish (see" in failed(2, "completion")
