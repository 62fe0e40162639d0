"""`orion-registry health`, `check` and `checks` as people run them: processes, lines, JSON, exit codes, help."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from orion_registry import CheckSpec, IcmpProbe, LivenessMode, RegistryClient, ServiceSpec, TcpProbe
from orion_registry.cli.health_showing import checked_lines, health_lines, stats_lines
from orion_registry.cli.showing import Paint
from orion_registry.core.checks.active import CheckHealth, Result
from orion_registry.core.checks.spec import ProbeKind
from orion_registry.core.checks.stats import HealthStats, RunStats
from orion_registry.core.checks.threshold import CheckState
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.core.model import ServiceStatus, StatusReason
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.timeline import StatusEdge
from orion_registry.wire.monitor import CheckedNow, ServiceHealth
from tests.cli.running import done, failed, run


@contextmanager
def listener() -> Iterator[int]:
    """A port that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def register(address: str, *checks: CheckSpec, port: int = 1, service_id: str = "", agent_id: str = "calc-1") -> str:
    """A STATIC service called calc; returns its id."""

    async def work() -> str:
        async with RegistryClient(address) as client:
            spec = ServiceSpec(
                agent_id=agent_id,
                service_name="calc",
                service_id=service_id,
                host="127.0.0.1",
                port=port,
                liveness=LivenessMode.STATIC,
                checks=checks,
            )
            return (await client.register(spec)).ref.service_id

    return asyncio.run(work())


def check(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs `check`, again while a run of one of the checks by itself, the first within 5 s, has just ended."""
    ended = run("check", *arguments)
    while "ended less than" in ended.stderr:
        time.sleep(1.1)
        ended = run("check", *arguments)
    return ended


PORT = CheckSpec(name="port", probes=(TcpProbe(),), interval_s=3600.0, fall=1)
AFAR = CheckSpec(name="afar", probes=(IcmpProbe(host="192.0.2.1"),), interval_s=3600.0)


def test_a_service_is_checked_and_shown(address: str) -> None:
    at = ("--address", address)
    with listener() as port:
        service_id = register(at[1], PORT, port=port)
        ended = check("calc-1/calc", *at)
        assert (ended.returncode, ended.stderr) == (0, "")
        found, service = ended.stdout.splitlines()
        assert found.startswith("port        PASSED       TCP   ")
        assert service == "service     HEALTHY, ready (STATIC)"
    told = done("health", service_id, *at)
    assert told[0] == f"service     {service_id}"
    assert told[1] == "status      HEALTHY, ready"
    assert told[2].startswith("reasons     STATIC since 20")
    assert told[3].startswith("heard of    ")
    assert told[4].startswith("check       port: PASSING, since 20")
    assert "PASSED       TCP" in told[5]
    assert told[-1].startswith("timeline    20")
    (line,) = done("health", service_id, "--json", *at)
    health = json.loads(line)
    assert (health["status"], health["checks"][0]["runs"][0]["verdict"]) == ("HEALTHY", "PASSED")
    assert done("checks", *at)[0] == "checks      1: 1 PASSING, 0 FAILING, 0 AWAITING"
    (line,) = done("checks", "--json", *at)
    runs = len(health["checks"][0]["runs"])
    assert (json.loads(line)["total"]["passed"], json.loads(line)["kinds"]["TCP"]["runs"]) == (runs, runs)


def test_the_exit_code_says_what_was_found(address: str) -> None:
    """1 if one failed, whatever the others say; 3 if one could not be looked at."""
    at = ("--address", address)
    register(at[1], PORT, AFAR, port=1)
    ended = check("calc-1/calc", "--json", *at)
    assert (ended.returncode, ended.stderr) == (1, "")
    told = json.loads(ended.stdout)
    assert [(one["check"], one["verdict"]) for one in told["results"]] == [("port", "FAILED"), ("afar", "DENIED")]
    assert (told["status"], told["ready"], told["reasons"][0]["code"]) == ("UNHEALTHY", False, "CHECK_FAILED")
    register(at[1], AFAR, agent_id="calc-2")
    ended = check("calc-2/calc", "--check", "afar", *at)
    assert (ended.returncode, ended.stderr) == (3, "")
    assert "DENIED" in ended.stdout
    assert "192.0.2.1" in ended.stdout


def test_what_fails_says_why_in_a_line_and_what_to_do(address: str) -> None:
    at = ("--address", address)
    register(at[1])
    for command in ("health", "check"):
        assert "no service 'x' is registered" in failed(1, command, "x", *at)
        assert "no service calc-9/calc is registered; `orion-registry services" in failed(
            1, command, "calc-9/calc", *at
        )
        assert "is no SERVICE_ID, AGENT/NAME" in failed(2, command, "a/b/c/d", *at)
    assert "has no checks: set service.checks; its agent sets" in failed(1, "check", "calc-1/calc", *at)
    register(at[1], PORT, agent_id="calc-2")
    assert "must be one of port, got 'disk'" in failed(1, "check", "calc-2/calc", "--check", "disk", *at)
    assert "above 0s" in failed(2, "check", "calc-2/calc", "--timeout", "0s", *at)
    assert "is no span" in failed(2, "check", "calc-2/calc", "--timeout", "soon", *at)
    register(at[1], PORT, agent_id="calc-3", service_id="one")
    register(at[1], PORT, agent_id="calc-3", service_id="two")
    assert "name one by its service_id: one, two" in failed(1, "health", "calc-3/calc", *at)
    for words in (("health", "x"), ("check", "x"), ("checks",)):
        assert "127.0.0.1:1" in failed(1, *words, "--address", "127.0.0.1:1")
        assert "address" in failed(2, *words, "--address", "nowhere")


@pytest.mark.parametrize("command", ["health", "check", "checks"])
def test_help_teaches(command: str) -> None:
    text = run(command, "--help").stdout
    assert "Examples:" in text
    assert "Exit codes:" in text
    assert max(map(len, text.splitlines())) <= 110


# Words.


def plain_paint(monkeypatch: pytest.MonkeyPatch) -> Paint:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    return Paint()


def result(verdict: Verdict, detail: str = "", attempts: int = 1) -> Result:
    outcome = Outcome(verdict=verdict, kind=ProbeKind.HTTP, detail=detail, latency_s=0.0123, attempts=attempts)
    return Result(check="web", outcome=outcome, wall=0.0)


def test_lines_of_a_service_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = CheckHealth(
        name="web",
        state=CheckState.FAILING,
        since_wall=0.0,
        stale=True,
        passes=1,
        failures=0,
        interval_s=30.0,
        next_run_s=0.0,
        results=tuple(result(Verdict.FAILED, f"status 50{n}, not 200 to 299", 2) for n in range(6)),
    )
    health = ServiceHealth(
        service_id="i",
        status=ServiceStatus.UNHEALTHY,
        reasons=(
            StatusReason(code=Code.CHECK_FAILED, since_wall=0.0),
            StatusReason(code=Code.STREAM_OPEN, since_wall=0.0),
        ),
        ready=False,
        last_heartbeat=None,
        checks=(failing,),
        timeline=tuple(
            StatusEdge(service_id="i", wall=float(n), status=ServiceStatus.UNHEALTHY, codes=(Code.CHECK_FAILED,))
            for n in range(12)
        ),
        revision=1,
    )
    lines = list(health_lines(health, plain_paint(monkeypatch)))
    at = "1970-01-01T00:00:00"
    assert lines[:5] == [
        "service     i",
        "status      UNHEALTHY, not ready",
        f"reasons     CHECK_FAILED since {at}Z",
        f"            STREAM_OPEN since {at}Z",
        "heard of    never",
    ]
    assert lines[5] == (
        f"check       web: FAILING, since {at}Z, STALE, passed 1 time in a row, every 30.0 s, running, or waiting for "
        "its turn"
    )
    assert lines[6:11] == [
        f"            {at}.000Z  FAILED       HTTP      12.3 ms  2 attempts  status 50{n}, not 200 to 299"
        for n in range(1, 6)
    ]
    assert lines[11] == f"timeline    {at[:-2]}02.000Z  UNHEALTHY (CHECK_FAILED)"
    assert len(lines) == 21


def test_a_long_name_of_a_check_stands_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = replace(result(Verdict.PASSED), check="health_check_url")
    checked = CheckedNow(results=(passed,), status=ServiceStatus.HEALTHY, reasons=(), ready=True)
    run_line, service = checked_lines(checked, plain_paint(monkeypatch))
    assert run_line.startswith("health_check_url  PASSED  ")
    assert service == "service           HEALTHY, ready ()"


def test_lines_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    paint = plain_paint(monkeypatch)
    checked = CheckedNow(results=(), status=ServiceStatus.HEALTHY, reasons=(), ready=True)
    assert next(iter(checked_lines(checked, paint))) == "nothing was run: the checks were changed meanwhile"
    none: dict[str, object] = dict.fromkeys(("average_s", "min_s", "max_s", "p50_s", "p95_s", "p99_s"))
    counts = dict.fromkeys(("runs", "passed", "failed", "unavailable", "denied"), 0)
    total = RunStats(kind=None, success_rate=1.0, **counts, **none)  # type: ignore[arg-type]
    states = dict.fromkeys(("checks", "awaiting", "passing", "failing", "stale", "running", "waiting"), 0)
    assert list(stats_lines(HealthStats(total=total, kinds=(), **states), paint)) == [
        "checks      0: 0 PASSING, 0 FAILING, 0 AWAITING",
        "now         0 running, 0 waiting for their turn, 0 stale",
        "runs        in all  0: 0 passed, 0 failed, 0 unavailable, 0 denied",
    ]
