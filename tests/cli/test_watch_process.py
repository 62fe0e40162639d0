"""`orion-registry watch` and `wait` as people and scripts run them."""

import json
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from tests.cli.process import clean_environment, daemon_process
from tests.cli.running import done, failed, run
from tests.cli.test_info_events import COMMAND
from tests.cli.test_services_process import WAITING, register, spec_of


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    )


def next_of(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_watch_shows_what_is_and_what_comes(address: str) -> None:
    (one,) = register(address, spec_of("calc-1"))
    with start("watch", "--json", "name=calc", "--address", address) as watching:
        try:
            first = next_of(watching)
            assert (first["event"], first["service"]["service_id"]) == ("added", one)
            assert next_of(watching) == {"event": "synced"}
            register(address, spec_of("calc-2"), spec_of("other", "room"), spec_of("calc-3", **WAITING))
            assert next_of(watching)["service"]["agent_id"] == "calc-2", (
                "neither another name nor one that is not ready"
            )
            done("quarantine", one, "--address", address)
            gone = next_of(watching)
            assert (gone["event"], gone["removal"], gone["service"]["agent_id"]) == ("removed", "OUT_OF_VIEW", "calc-1")
            watching.send_signal(signal.SIGINT)
            while watching.poll() is None:  # as make, `timeout` and terminals do, and slow ones among them
                watching.send_signal(signal.SIGINT)
                time.sleep(0.001)
            assert watching.communicate(timeout=10) == ("", "")
            assert watching.returncode == 130
        finally:
            watching.kill()


def test_watch_for_people_and_its_end_by_a_closed_pipe(address: str) -> None:
    (one,) = register(address, spec_of("calc-1", **WAITING))
    with start("watch", "--all", "--address", address) as watching:
        try:
            assert watching.stdout is not None
            line = watching.stdout.readline().rstrip("\n")
            assert line == f"added     calc-1/calc  STARTING(AWAITING_BEAT)  10.0.0.7:9000  {one}"
            assert watching.stdout.readline() == "-- 1 service\n"
            watching.stdout.close()
            register(address, spec_of("calc-2"))
            assert watching.wait(10) == 0
        finally:
            watching.kill()


def test_watch_goes_on_when_the_registry_is_back() -> None:
    with daemon_process() as first:
        address = first.wait_ready()
        watching = start("watch", "--json", "--address", address)
        assert next_of(watching) == {"event": "synced"}
        first.stop()
    try:
        with daemon_process(listen=(address,)):
            register(address, spec_of("calc-1"))
            seen = [next_of(watching), next_of(watching)]
        assert {one["event"] for one in seen} == {"added", "synced"}
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=10)
        assert f"{address} is away; what is shown may be old" in told
        assert "it is back" in told
    finally:
        watching.kill()
        watching.communicate()


def test_wait_ends_when_enough_are_ready(address: str) -> None:
    register(address, spec_of("calc-1", capabilities=("math.add",)))
    with start("wait", "--capability", "math.add", "--count", "2", "--address", address) as waiting:
        try:
            time.sleep(0.8)
            assert waiting.poll() is None, "one is not two"
            (two,) = register(address, spec_of("calc-2", capabilities=("math.add",)))
            told, why = waiting.communicate(timeout=10)
        finally:
            waiting.kill()
    assert (waiting.returncode, why) == (0, "")
    assert told.splitlines()[1] == f"calc-2/calc  10.0.0.7:9000  {two}"


def test_wait_waits_for_the_registry_itself() -> None:
    with daemon_process() as first:
        address = first.wait_ready()
    waiting = start("wait", "agent=calc-1", "--timeout", "20s", "--address", address)
    try:
        time.sleep(0.5)
        with daemon_process(listen=(address,)):
            threading.Timer(0.5, register, (address, spec_of("calc-1"))).start()
            told, _ = waiting.communicate(timeout=15)
        assert (waiting.returncode, told[:13]) == (0, "calc-1/calc  ")
    finally:
        waiting.kill()
        waiting.communicate()


def test_wait_says_what_is_missing(address: str) -> None:
    at = ("--address", address)

    def why(*arguments: str) -> str:
        ended = run("wait", *arguments, *at)
        assert ended.returncode == 1
        (line,) = ended.stderr.splitlines()
        return line

    assert why("--timeout", "300ms").startswith(
        "orion-registry: 0 of 1 ready after 300 ms: nothing that matches is reg"
    )
    register(address, spec_of("calc-1"), spec_of("calc-2", **WAITING))
    assert done("wait", "--timeout", "0s", *at)[0].startswith("calc-1/calc  10.0.0.7:9000  ")
    line = why("--timeout", "0s", "--count", "3")
    assert line.startswith(
        "orion-registry: 1 of 3 ready: not ready: calc-2/calc STARTING(AWAITING_BEAT); `orion-registry "
    )
    assert why("agent=calc-1", "--timeout", "0s", "--count", "2").endswith(": no others that match are registered")
    ended = run("wait", "--json", "--count", "2", "--timeout", "100ms", *at)
    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert (told["ready"], told["wanted"], [one["agent_id"] for one in told["services"]]) == (False, 2, ["calc-1"])


ENDING = """
import asyncio, os, signal, sys
from orion_registry.cli.stopping import stoppable

async def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep({after})
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.1)
        print("said goodbye", flush=True)

sys.exit(asyncio.run(stoppable(work())))
"""


@pytest.mark.parametrize(("after", "told"), [(0.05, "said goodbye\n"), (0.7, "")])
def test_a_later_signal_ends_at_once_and_one_that_comes_twice_is_one(after: float, told: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDING.format(after=after)], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, told, "")


@pytest.mark.parametrize(
    ("code", "arguments", "expected"),
    [
        (2, ("wait", "--count", "0"), "Invalid value for '--count'"),
        (2, ("wait", "--timeout", "soon"), "'soon' is no span"),
        (2, ("watch", "calc-1"), "WHICH: 'calc-1' is no"),
        (1, ("watch", "--address", "127.0.0.1:1"), "start it (orion-registry serve)"),
        (1, ("wait", "--timeout", "200ms", "--address", "127.0.0.1:1"), "0 of 1 ready after 200 ms: cannot reach"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(code: int, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in failed(code, *arguments)


@pytest.mark.parametrize("command", ["watch", "wait"])
def test_help_teaches(command: str) -> None:
    text = run(command, "--help").stdout
    assert "Examples:" in text
    assert "Exit codes:" in text
    assert max(map(len, text.splitlines())) <= 110


IGNORING = """
import signal, sys
from types import SimpleNamespace
from orion_registry.cli import stopping

sys.__unraisablehook__ = lambda told: print(told.exc_value, file=sys.stderr)
signal.signal(signal.SIGINT, stopping._Stop(None, None))
stopping.stopped()
for text in ("Signal 2 ignored due to race condition", "the disk is full"):
    sys.unraisablehook(SimpleNamespace(exc_value=OSError(text), object=None))
"""


def test_of_a_signal_that_comes_while_it_is_being_ignored_python_says_nothing() -> None:
    """CPython hands such a one to the hook, once in some thousand times."""
    ended = subprocess.run([sys.executable, "-c", IGNORING], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "the disk is full\n")
