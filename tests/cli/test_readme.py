"""README.md, and whole programs of docs/sdk.md: the Python examples run as they stand, against a daemon."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orion_registry import Selector
from orion_registry.sync import RegistryClient
from tests.cli.process import clean_environment

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SDK = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
AGENT, CALLER, EMBEDDED = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PROGRAMS = dict(re.findall(r"<!-- tried: (\w+) -->\n```python\n(.*?)```", SDK, re.DOTALL))
DAEMON = '"127.0.0.1:6746"'
TOLD = {"session": "127.0.0.1 9000 HEALTHY\n", "progress": ""}
LINES = 150


@pytest.fixture
def agent(address: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The first example, ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", AGENT],
        stderr=subprocess.DEVNULL,
        env=clean_environment(ORION_ADDRESS=address),
    )
    try:
        with RegistryClient(address) as client, client.watch(Selector(capabilities=("math.add",))) as watch:
            next(event for event in watch if event.service is not None and event.service.ready)
        yield process
    finally:
        process.kill()
        process.wait()


def told_by(program: str, address: str = "") -> tuple[int, str, str]:
    """Exit code, stderr, stdout of an example; with an address it is one that names the daemon's."""
    assert (DAEMON in program) == bool(address)
    ended = subprocess.run(
        [sys.executable, "-c", program.replace(DAEMON, repr(address))],
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(),
        check=False,
    )
    return ended.returncode, ended.stderr, ended.stdout


def test_it_is_short_and_its_agent_is_the_example() -> None:
    assert len(README.splitlines()) < LINES
    assert (ROOT / "examples" / "agent.py").read_text(encoding="utf-8").endswith(AGENT)


def test_an_agent_and_one_who_calls_it(address: str, agent: "subprocess.Popen[bytes]") -> None:
    assert told_by(CALLER, address) == (0, "", "5\n")
    agent.terminate()
    assert agent.wait(10) == 0


def test_the_registry_inside_a_program() -> None:
    assert told_by(EMBEDDED) == (0, "", "calc-1 healthy\n")


def test_programs_of_the_sdk(address: str) -> None:
    assert PROGRAMS.keys() == TOLD.keys()
    for name, program in PROGRAMS.items():
        assert told_by(program, address) == (0, "", TOLD[name])
