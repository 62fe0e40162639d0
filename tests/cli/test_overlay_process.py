"""`orion-registry drain` and its kin as people run them: processes, lines, JSON, exit codes, help."""

import asyncio
import json
import signal
import subprocess
import sys
import time

import click
import pytest

from orion_registry import LivenessMode, Load, RegistryClient, ServiceSpec, ServiceStatus
from orion_registry.cli.overlay_showing import line_of
from orion_registry.cli.overlay_target import read_target
from orion_registry.cli.showing import Paint
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.selector import Selector
from orion_registry.wire.overlay import OverlayState
from tests.cli.process import clean_environment
from tests.cli.running import done, failed, run
from tests.cli.test_info_events import COMMAND

COMMANDS = ("drain", "maintenance", "quarantine", "weight", "clear", "overlays", "remove")


def register(address: str, *agents: str, liveness: LivenessMode = LivenessMode.STATIC) -> list[str]:
    """Services called calc; returns their ids."""

    async def work() -> list[str]:
        async with RegistryClient(address) as client:
            specs = [
                ServiceSpec(agent_id=name, service_name="calc", liveness=liveness, tags=("gpu",)) for name in agents
            ]
            return [(await client.register(spec)).ref.service_id for spec in specs]

    return asyncio.run(work())


def waiting_drain(address: str) -> "subprocess.Popen[str]":
    """`drain calc-1/calc --wait` that has begun, of a service that never says that it has finished."""
    register(address, "calc-1", liveness=LivenessMode.STREAM)
    waiting = subprocess.Popen(
        [*COMMAND, "drain", "calc-1/calc", "--wait", "--address", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    while "DRAIN" not in done("overlays", "--address", address)[0]:
        time.sleep(0.1)
    return waiting


def test_a_service_is_taken_out_and_back(address: str) -> None:
    one, two = register(address, "calc-1", "calc-2")
    at = ("--address", address)
    assert done("overlays", *at) == ["nothing is set"]
    assert done("quarantine", "calc-1/calc", "--note", "wrong answers", *at) == ["1 service in quarantine"]
    assert done("maintenance", "agent=calc-2", *at) == ["1 service in maintenance"]
    assert done("weight", two, "0.5", *at) == ["set the weight of 1 service"]
    first, second = done("overlays", *at)
    assert first.startswith(f"QUARANTINE   calc-1/calc  {one}  since 20")
    assert first.endswith("Z  wrong answers")
    assert second.startswith(f"MAINTENANCE  calc-2/calc  {two}  weight 0.5  since ")
    (line,) = done("overlays", "--json", "--mode", "quarantine", "--agent", "calc-1", *at)
    told = json.loads(line)
    assert (told["mode"], told["service_id"], told["status"], told["registered"]) == (
        "QUARANTINE",
        one,
        "UNHEALTHY",
        True,
    )
    assert done("clear", "tag=gpu", *at) == ["cleared 2 of 2 services"]
    (line,) = done("clear", "--json", "tag=gpu", *at)
    assert (sorted(json.loads(line)["service_ids"]), json.loads(line)["changed"]) == (sorted([one, two]), 0)
    assert done("overlays", "--json", *at) == []
    told_events = done("events", *at, "--type", "OVERLAY_SET", "--type", "OVERLAY_CLEARED")
    assert told_events[0].endswith("QUARANTINE: wrong answers")
    assert told_events[2].endswith("MAINTENANCE, weight 0.5")


def test_drain_waits_until_it_is_safe_to_stop(address: str) -> None:
    """A static service at once; one that never says anything at the deadline."""
    register(address, "calc-1")
    assert done("drain", "calc-1/calc", "--wait", "--address", address) == ["drained 1 service: safe to stop"]
    register(address, "calc-2", liveness=LivenessMode.STREAM)
    (line,) = done("drain", "name=calc", "--deadline", "700ms", "--wait", "--json", ORION_ADDRESS=address)
    assert json.loads(line)["drained"] is True
    (line,) = done("drain", "calc-3/calc", "--deadline", "2h", "--address", address)
    assert line.startswith("draining 1 service; ")
    assert line.endswith(" (1 not registered now)")
    assert "nobody is registered there" in failed(1, "drain", "calc-3/calc", "--wait", "--address", address)
    assert [line.split("  ")[-2] for line in done("overlays", "--agent", "calc-3", "--address", address)] == [
        "not registered"
    ]


def test_ctrl_c_ends_the_wait_and_not_the_drain(address: str) -> None:
    waiting = waiting_drain(address)
    time.sleep(0.5)
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=10)
    assert waiting.returncode == 130
    assert done("overlays", "--address", address)[0].startswith("DRAIN ")


@pytest.mark.parametrize("command", ["clear", "quarantine"])
def test_what_somebody_ends_meanwhile_is_not_drained(address: str, command: str) -> None:
    waiting = waiting_drain(address)
    done(command, "calc-1/calc", "--address", address)
    told, why = waiting.communicate(timeout=10)
    assert (waiting.returncode, told) == (1, "")
    assert "drained no more" in why


def test_a_service_is_removed(address: str) -> None:
    one, two = register(address, "calc-1", "calc-2")
    assert done("remove", one, "--address", address) == [f"removed {one}"]
    (line,) = done("remove", two, "--json", "--address", address)
    assert json.loads(line)["service_id"] == two
    assert "no service" in failed(1, "remove", one, "--address", address)
    (three,) = register(address, "calc-3")
    assert done("remove", "calc-3/calc", "--address", address) == [f"removed {three}"]


def test_what_fails_says_why_in_a_line(address: str) -> None:
    at = ("--address", address)
    assert failed(1, "drain", "tag=none", *at) == "orion-registry: no service matches"
    assert "no service 'x' is registered" in failed(1, "clear", "x", *at)
    assert "weight: must be above 0" in failed(1, "weight", "a/b", "0", *at)
    assert "note: must be at most 256" in failed(1, "quarantine", "a/b", "--note", "x" * 257, *at)
    assert "is no span" in failed(2, "drain", "a/b", "--deadline", "soon", *at)
    assert "is no term" in failed(2, "drain", "color=red", *at)
    assert "127.0.0.1:1" in failed(1, "overlays", "--address", "127.0.0.1:1")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command: str) -> None:
    text = run(command, "--help").stdout
    assert "Examples:" in text
    assert "Exit codes:" in text
    if command != "overlays":
        assert "AGENT/NAME" in text
    assert max(map(len, text.splitlines())) <= 110


# Words.


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("abc", ServiceKey(service_id="abc")),
        ("a/n", ServiceKey(agent_id="a", service_name="n")),
        ("ns/a/n", ServiceKey(namespace="ns", agent_id="a", service_name="n")),
        ("agent=a", Selector(agent_id="a")),
        ("name=n,type=t,zone=z,namespace=ns", Selector(service_name="n", service_type="t", zone="z", namespace="ns")),
        ("capability=c,capability=d,tag=t", Selector(capabilities=("c", "d"), tags=("t",))),
    ],
)
def test_whom(text: str, target: ServiceKey | Selector) -> None:
    assert read_target(text) == target


@pytest.mark.parametrize(
    "text", ["", " ", "a/", "/n", "a/b/c/d", "color=red", "agent=", "agent=a,agent=b", "agent=a,", "=x"]
)
def test_nobody(text: str) -> None:
    with pytest.raises(click.UsageError, match="WHOM"):
        read_target(text)


def test_lines_of_what_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    state = {
        "key": ServiceKey(namespace="n", agent_id="a", service_name="s", service_id="i"),
        "mode": OverlayMode.DRAIN,
        "weight": None,
        "deadline_s": 30.0,
        "left_s": 12.5,
        "note": "",
        "set_by": "olga",
        "set_wall": 0.0,
        "registered": True,
        "status": ServiceStatus.STOPPING,
        "drained": False,
        "leases_left": 2,
        "load": Load(in_flight=1, queue_depth=3),
    }
    paint = Paint()
    since = "since 1970-01-01T00:00:00Z by olga"
    assert line_of(OverlayState(**state), paint) == (  # type: ignore[arg-type]
        f"DRAIN        n/a/s  i  1 in flight, 3 waiting, 2 leases, 12.5 s left  {since}"
    )
    state |= {"leases_left": 0, "load": None, "left_s": None}
    assert "no load reported  since" in line_of(OverlayState(**state), paint)  # type: ignore[arg-type]
    state |= {"drained": True}
    assert "DRAINED, safe to stop" in line_of(OverlayState(**state), paint)  # type: ignore[arg-type]
