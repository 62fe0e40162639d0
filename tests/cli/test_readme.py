"""README.md: its Python examples run as they stand, against a daemon."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orion_registry import Selector
from orion_registry.sync import RegistryClient
from tests.cli.process import clean_environment, daemon_process

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
DAEMON = '"127.0.0.1:6746"'
TOLD = {1: "5\n", 2: "5\n", 3: "127.0.0.1 9000 HEALTHY\n", 4: ""}
CALLERS = (1, 2)


@pytest.fixture
def address() -> Iterator[str]:
    with daemon_process() as daemon:
        yield daemon.wait_ready()


@pytest.fixture
def agent(address: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The first example, ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", EXAMPLES[0]],
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


def told_by(number: int, address: str) -> tuple[int, str, str]:
    """Exit code, stderr, stdout of an example."""
    assert DAEMON in EXAMPLES[number]
    ended = subprocess.run(
        [sys.executable, "-c", EXAMPLES[number].replace(DAEMON, repr(address))],
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(),
        check=False,
    )
    return ended.returncode, ended.stderr, ended.stdout


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 1 + len(TOLD)
    assert "agent.run()" in EXAMPLES[0]


def test_an_agent_and_those_who_call_it(address: str, agent: "subprocess.Popen[bytes]") -> None:
    for number in CALLERS:
        assert told_by(number, address) == (0, "", TOLD[number])
    agent.terminate()
    assert agent.wait(10) == 0


@pytest.mark.parametrize("number", sorted(TOLD.keys() - set(CALLERS)))
def test_an_example(number: int, address: str) -> None:
    assert told_by(number, address) == (0, "", TOLD[number])
