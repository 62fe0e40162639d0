"""`orion-registry info` and `events` as people run them: processes, lines, JSON, exit codes."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from orion_registry import LivenessMode, RegistryClient, ServiceSpec, __version__
from orion_registry.cli.events import TYPES, _Lines
from orion_registry.cli.info import lines_of
from orion_registry.cli.showing import Paint, plural, show_span, show_time
from orion_registry.core import events as core
from orion_registry.core.checks.verdict import Verdict
from orion_registry.core.events import EVENT_CLASSES, LoggedEvent, RegistryEvent
from orion_registry.core.model import RemovalReason, ServiceStatus
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.overlay import OverlayMode
from orion_registry.runtime.coordinator import MASS_HOLD, STORE_DOWN
from orion_registry.wire.server_info import HeldAlarm, ServerInfo
from tests.cli.process import clean_environment, daemon_process
from tests.cli.running import done, failed

COMMAND = (sys.executable, "-m", "orion_registry")


def fill(address: str) -> str:
    """A service that stays, and one that came and went; returns the id of the first."""

    async def register() -> str:
        async with RegistryClient(address) as client:
            spec = ServiceSpec(agent_id="calc-1", service_name="calc", liveness=LivenessMode.STATIC)
            stays = await client.register(spec)
            goes = await client.register(ServiceSpec(agent_id="calc-2", service_name="calc"))
            await client.unregister(goes.ref)
            return stays.ref.service_id

    return asyncio.run(register())


# With a daemon.


def test_info(address: str) -> None:
    fill(address)
    lines = done("info", "--address", address)
    assert [line.split("  ")[0] for line in lines] == [
        "registry", "health", "services", "reasons", "connected",
        "store", "audit", "history", "listens on", "profile", "versions",
    ]  # fmt: skip
    assert lines[0].startswith(f"registry    serving on {address}, up ")
    assert lines[2] == "services    1: 1 HEALTHY"
    assert lines[-1].startswith(f"versions    orion-registry {__version__}, Python {sys.version.split()[0]}, grpcio ")
    (line,) = done("info", "--json", ORION_ADDRESS=address)
    told = json.loads(line)
    assert (told["address"], told["serving"], told["by_status"]) == (address, True, {"HEALTHY": 1})
    assert (told["event_seq"], told["alarms"], told["store_kind"]) == (4, [], "memory")


def test_events(address: str) -> None:
    service_id = fill(address)
    told = [json.loads(line) for line in done("events", "--json", "--address", address)]
    assert [(line["seq"], line["type"]) for line in told] == [
        (1, "REGISTRY_STARTED"),
        (2, "SERVICE_REGISTERED"),
        (3, "SERVICE_REGISTERED"),
        (4, "SERVICE_REMOVED"),
    ]
    assert told[1] == {
        "seq": 2,
        "time": told[1]["time"],
        "type": "SERVICE_REGISTERED",
        "service_id": service_id,
        "agent_id": "calc-1",
        "namespace": "default",
        "service_name": "calc",
        "status": "HEALTHY",
        "reasons": ["STATIC"],
    }
    plain = done("events", "--address", address)
    about = f"calc-1 {service_id} calc in default: HEALTHY (STATIC)"
    assert " ".join(plain[1].split()) == f"2 {told[1]['time']} SERVICE_REGISTERED {about}"

    def seqs(*flags: str) -> list[int]:
        return [json.loads(line)["seq"] for line in done("events", "--json", "--address", address, *flags)]

    assert seqs("--service", service_id) == [2]
    assert seqs("--agent", "calc-2") == [3, 4]
    assert seqs("--type", "service_removed", "--type", "REGISTRY_STARTED") == [1, 4]
    assert seqs("--since", "3") == [4]
    assert seqs("--since", "4") == []
    assert (seqs("--last", "2"), seqs("-n", "0"), seqs("--last", "99")) == ([3, 4], [], [1, 2, 3, 4])
    assert "leave one out" in failed(2, "events", "--last", "2", "--since", "3", "--address", address)
    line = failed(1, "events", "--since", "9", "--address", address)
    assert line == "orion-registry: after_seq: the latest event is 4, got 9; begin again from 0"
    assert "service_id: must be" in failed(1, "events", "--service", "-", "--address", address)


def follow(address: str, *flags: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "events", "--follow", "--json", "--address", address, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    )


def next_of(process: "subprocess.Popen[str]") -> Any:
    """The next event; a busy machine may make the daemon stall at any time."""
    assert process.stdout is not None
    while (told := json.loads(process.stdout.readline()))["type"] == "STALL_CREDITED":
        continue
    return told


def test_following() -> None:
    """What was, what comes, and the end: with the registry, or by Ctrl-C."""
    with (
        daemon_process() as daemon,
        follow(address := daemon.wait_ready()) as all_of_it,
        follow(address, "--since", "1") as later,
    ):
        try:
            assert next_of(all_of_it)["type"] == "REGISTRY_STARTED"
            fill(address)
            told = [next_of(all_of_it)["type"] for _ in range(3)]
            assert told == ["SERVICE_REGISTERED", "SERVICE_REGISTERED", "SERVICE_REMOVED"]
            assert next_of(later)["type"] == "SERVICE_REGISTERED"
            later.send_signal(signal.SIGINT)
            assert later.wait(10) == 130
            daemon.stop()
            assert next_of(all_of_it)["type"] == "REGISTRY_STOPPING"
            assert all_of_it.wait(10) == 1
            assert all_of_it.stderr is not None
            assert all_of_it.stderr.read() == "orion-registry: the registry is stopping\n"
        finally:
            all_of_it.kill()
            later.kill()


def test_a_registry_that_is_killed_under_a_follower() -> None:
    """It is told how to go on, and nothing of TLS: it was understood."""
    with daemon_process() as daemon, follow(daemon.wait_ready()) as process:
        try:
            assert next_of(process)["seq"] == 1
            daemon.stop(signal.SIGKILL)
            assert process.wait(20) == 1
            assert process.stderr is not None
            (line,) = process.stderr.read().splitlines()
            assert re.search(r"; go on with --since [0-9a-f]{32}:[1-9]$", line)
            assert "start it (orion-registry serve)" in line
            assert "TLS" not in line
        finally:
            process.kill()


def test_a_place_names_the_life(address: str) -> None:
    """In this life one goes on from it; after a restart, when numbers begin at 1 again, one is told."""
    fill(address)
    life = json.loads(done("info", "--json", "--address", address)[0])["history_id"]
    about = ("events", "--json", "--address", address)
    assert [json.loads(line)["seq"] for line in done(*about, "--since", f"{life}:3")] == [4]
    with follow(address, "--since", f"{life}:3") as process:
        try:
            assert next_of(process)["seq"] == 4
        finally:
            process.kill()
    other = "0123456789abcdef"
    for more in ((), ("--follow",)):
        line = failed(1, *about, *more, "--since", f"{other}:1")
        assert line == (
            f"orion-registry: --since {other}:1 is of another life of the registry: this one is {life}, "
            "and its events begin at 1; leave --since out to see them"
        )


@pytest.mark.parametrize("command", ["info", "events"])
def test_a_reader_that_goes_away_is_no_failure(address: str, command: str) -> None:
    """`events | head -1`, and `info`, which writes all at its end."""
    fill(address)
    with subprocess.Popen(
        [*COMMAND, command, "--address", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(PYTHONUNBUFFERED=""),  # as people have it: the last line is written when it exits
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(20)) == (b"", 0)


def test_colour_on_a_terminal_alone(address: str) -> None:
    def on_a_terminal(**environment: str) -> str:
        master, slave = pty.openpty()
        arguments = [*COMMAND, "info", "--address", address]
        subprocess.run(arguments, stdout=slave, env=clean_environment(**environment), timeout=20, check=True)
        os.close(slave)
        told = os.read(master, 65_536).decode()
        os.close(master)
        return told

    assert "\x1b[32mserving\x1b[0m" in on_a_terminal()
    assert "\x1b" not in on_a_terminal(NO_COLOR="1")
    assert "\x1b" not in "".join(done("info", "--address", address))


# Without one.


@pytest.mark.parametrize("command", ["info", "events"])
def test_nobody_there(command: str) -> None:
    line = failed(1, command, "--address", "127.0.0.1:1")
    assert "start it (orion-registry serve)" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "--address", "nowhere"], "address: must be HOST:PORT or unix:PATH, got 'nowhere'"),
        (["events", "--type", "NOTHING"], "'NOTHING' is not one of"),
        (["events", "--since", "-1"], "'-1' is neither SEQ nor HISTORY:SEQ"),
        (["events", "--since", "one"], "'one' is neither SEQ nor HISTORY:SEQ, such as 1500"),
        (["events", "--since", ":1"], "':1' is neither SEQ nor HISTORY:SEQ"),
        (["events", "--since", "life:"], "'life:' is neither SEQ nor HISTORY:SEQ"),
        (["events", "--since", str(2**63)], "SEQ must be 0 to 9,223,372,036,854,775,807"),
        (["events", "--since", "9" * 5_000], "SEQ must be 0 to 9,223,372,036,854,775,807"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str) -> None:
    assert words in failed(2, *arguments)


def test_a_profile_that_is_none() -> None:
    assert failed(2, "info", ORION_PROFILE="slow").endswith("ORION_PROFILE: must be one of lan, wan, dev, got 'slow'")


@pytest.mark.parametrize("command", ["info", "events"])
def test_help_teaches(command: str) -> None:
    text = "\n".join(done(command, "--help"))
    for part in ("Examples:", "Exit codes: 0 ", "--address", "--json", f"orion-registry {command} --json | jq"):
        assert part in text


# What people read.

ABOUT: dict[str, Any] = {"service_id": "s", "agent_id": "a", "namespace": "n"}
HEALTHY, UNHEALTHY = ServiceStatus.HEALTHY, ServiceStatus.UNHEALTHY
SHOWN: tuple[tuple[RegistryEvent, str], ...] = (
    (
        core.ServiceRegistered(**ABOUT, service_name="c", status=HEALTHY, reasons=(Code.STATIC,)),
        "SERVICE_REGISTERED  a  s  c in n: HEALTHY (STATIC)",
    ),
    (core.ServiceUpdated(**ABOUT, generation=1_000), "SERVICE_UPDATED     a  s  generation 1,000"),
    (
        core.ServiceRemoved(**ABOUT, status=UNHEALTHY, removal=RemovalReason.EXPIRED),
        "SERVICE_REMOVED     a  s  EXPIRED, was UNHEALTHY",
    ),
    (
        core.StatusChanged(**ABOUT, before=HEALTHY, after=UNHEALTHY, reasons=(Code.SILENT,), ready=False),
        "STATUS_CHANGED      a  s  HEALTHY -> UNHEALTHY (SILENT)",
    ),
    (
        core.StatusChanged(
            **ABOUT, before=HEALTHY, after=HEALTHY, reasons=(Code.PROBATION, Code.STREAM_OPEN), ready=False
        ),
        "STATUS_CHANGED      a  s  HEALTHY (PROBATION, STREAM_OPEN), not ready",
    ),
    (
        core.OverlaySet(**ABOUT, mode=OverlayMode.DRAIN, weight=0.5, deadline_s=30.0, note="new disk", set_by="alice"),
        "OVERLAY_SET         a  s  DRAIN, weight 0.5, deadline 30.0 s, by alice: new disk",
    ),
    (
        core.OverlaySet(**ABOUT, mode=OverlayMode.QUARANTINE, weight=None, deadline_s=None, note="", set_by=""),
        "OVERLAY_SET         a  s  QUARANTINE",
    ),
    (core.OverlayCleared(**ABOUT, cleared_by="bob"), "OVERLAY_CLEARED     a  s  by bob"),
    (core.OverlayCleared(**ABOUT, cleared_by=""), "OVERLAY_CLEARED     a  s"),
    (
        core.CheckNotRun(**ABOUT, check="http", verdict=Verdict.DENIED, detail="10.0.0.9 is not allowed"),
        "CHECK_NOT_RUN       a  s  http: DENIED, 10.0.0.9 is not allowed",
    ),
    (core.StallCredited(lag_s=1.25), "STALL_CREDITED      stood still for 1.2 s"),
    (core.AlarmRaised(name="STORE_DOWN", text="full"), "ALARM_RAISED        STORE_DOWN: full"),
    (core.AlarmCleared(name="STORE_DOWN"), "ALARM_CLEARED       STORE_DOWN"),
    (core.HellosRefused(count=7), "HELLOS_REFUSED      7 hellos told to come back later"),
    (core.SnapshotImported(added=1, kept=2), "SNAPSHOT_IMPORTED   1 service added, 2 kept"),
    (core.RegistryStarted(services=0), "REGISTRY_STARTED    0 services restored"),
    (core.RegistryStopping(), "REGISTRY_STOPPING"),
)


def test_a_line_for_each_type(capsys: pytest.CaptureFixture[str]) -> None:
    show = _Lines()
    for seq, (event, _) in enumerate(SHOWN, 1):
        show(LoggedEvent(seq, 0.5, event))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{seq:>7}  1970-01-01T00:00:00.500Z  {text}" for seq, (_, text) in enumerate(SHOWN, 1)]
    assert {event.type for event, _ in SHOWN} == set(EVENT_CLASSES)
    assert {event.type.name for event, _ in SHOWN} == set(TYPES)


def test_the_docs_list_all_types_and_fields() -> None:
    """docs/events.md: a row for each type, in their order, with the fields that --json prints."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    told = {row[1].strip().strip("`"): re.findall(r"`(\w+)`", row[3]) for row in rows}
    assert told == {kind.name: [field.name for field in fields(cls)] for kind, cls in EVENT_CLASSES.items()}
    assert list(told) == list(TYPES)


def test_the_docs_list_all_alarms() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text()
    assert set(re.findall(r"^\| ([A-Z]+_[A-Z_]+) \|", text, re.MULTILINE)) == {MASS_HOLD, STORE_DOWN}


def test_alarms_stand_first() -> None:
    info = ServerInfo(
        version="1", started_wall=0.0, uptime_s=3_700.0, history_id="h", revision=1, event_seq=2, serving=False,
        listen_addresses=("a:1", "unix:/b"), profile="lan", lag_s=0.002, worst_lag_s=1.5, stalls=2, credited_s=75.0,
        last_stall_s=15.0, alarms=(HeldAlarm(name="STORE_DOWN", text="full", since_wall=60.0),), services=3,
        by_status={UNHEALTHY: 1, HEALTHY: 2}, by_reason={Code.SILENT: 1, Code.STATIC: 2}, agents=1, streams=2,
        watchers=1, event_watchers=0, refused_hellos=1, store_kind="sqlite", store_trouble="full",
        python_version="3", grpcio_version="1", refusals={"WRITE_RATE": 1, "NAMESPACE_SERVICES": 12_000},
    )  # fmt: skip
    assert list(lines_of(info, "a:1", Paint())) == [
        "ALARM STORE_DOWN since 1970-01-01T00:01:00Z: full",
        "registry    starting or stopping on a:1, up 1 h 1 min, since 1970-01-01T00:00:00Z",
        "health      lag 2 ms (worst of the last minute 1.5 s), 2 stalls of 1 min 15 s together, the last one 15.0 s; "
        "1 hello refused",
        "services    3: 2 HEALTHY, 1 UNHEALTHY",
        "reasons     2 STATIC, 1 SILENT",
        "connected   1 agent on 2 streams; 1 watch of services, 0 of events",
        "refused     NAMESPACE_SERVICES 12,000, WRITE_RATE 1",
        "store       sqlite: full",
        "audit       record 0",
        "history     h, revision 1, event 2",
        "listens on  a:1, unix:/b",
        "profile     lan",
        "versions    orion-registry 1, Python 3, grpcio 1",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"), (0.0124, "12 ms"), (59.94, "59.9 s"), (60.0, "1 min 0 s"), (3_599.0, "59 min 59 s"),
        (7_260.0, "2 h 1 min"), (200_000.0, "2 d 7 h"),
    ],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert show_span(seconds) == text


def test_small_words() -> None:
    assert (plural(1, "watch"), plural(2, "watch"), plural(2_000, "agent")) == ("1 watch", "2 watches", "2,000 agents")
    assert show_time(1_795_431_600.25) == "2026-11-23T11:00:00.250Z"
