"""README.md, and whole programs of docs/sdk.md and others: the Python examples run as they stand, against a daemon."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orion_registry import LivenessMode, Selector, ServiceSpec
from orion_registry import RegistryClient as AioRegistryClient
from orion_registry.sync import RegistryClient
from tests.cli.process import clean_environment

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("sdk.md", "balancing.md")]
AGENT, CALLER, EMBEDDED = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PROGRAMS = dict(re.findall(r"<!-- tried: (\w+) -->\n```python\n(.*?)```", "".join(PAGES), re.DOTALL))
DAEMON = '"127.0.0.1:6746"'
TOLD = {"session": "127.0.0.1 9000 HEALTHY\n", "progress": ""}
BESIDE_THE_AGENT = {
    "call": r"5 5 127\.0\.0\.1:\d+\n",
    "view": r"127\.0\.0\.1:\d+\n",
    "select": r"127\.0\.0\.1:\d+\n",
    "cache": r"False 1\nFalse 1\n",
}
IN_PARTS = {"threads", "exclude"}
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


def told_by(program: str, address: str = "", place: Path = ROOT, **environment: str) -> tuple[int, str, str]:
    """Exit code, stderr, stdout of an example; with an address it is one that names the daemon's."""
    assert (DAEMON in program) == bool(address)
    ended = subprocess.run(
        [sys.executable, "-c", program.replace(DAEMON, repr(address))],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=place,
        env=clean_environment(**environment),
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
    assert PROGRAMS.keys() == TOLD.keys() | BESIDE_THE_AGENT.keys() | IN_PARTS
    for name, told in TOLD.items():
        assert told_by(PROGRAMS[name], address) == (0, "", told)


@pytest.mark.usefixtures("agent")
def test_programs_beside_an_agent(address: str, tmp_path: Path) -> None:
    for name, told in BESIDE_THE_AGENT.items():
        program = PROGRAMS[name]
        at = address if DAEMON in program else ""
        code, errors, printed = told_by(program, at, tmp_path, ORION_ADDRESS=address)
        assert (code, errors) == (0, ""), name
        assert re.fullmatch(told, printed), name


@pytest.mark.usefixtures("agent")
def test_the_program_for_threads_prints_what_it_watches(address: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAMS["threads"]],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(ORION_ADDRESS=address),
    ) as process:
        assert process.stdout is not None
        try:
            assert [process.stdout.readline() for _ in range(3)] == ["5\n", "added calc\n", "synced \n"]
        finally:
            process.kill()


async def test_a_local_view_may_leave_out_what_has_failed(address: str, agent: "subprocess.Popen[bytes]") -> None:
    names: dict[str, Any] = {}
    exec(PROGRAMS["exclude"], names)
    tried: list[str] = []

    async def call(at: str) -> str:
        tried.append(at)
        if len(tried) == 1:
            raise ConnectionError
        return "done"

    spec = ServiceSpec(
        agent_id="other",
        service_name="other",
        host="127.0.0.1",
        port=1,
        capabilities=("math.add",),
        liveness=LivenessMode.STATIC,
    )
    async with AioRegistryClient(address) as client:
        await client.register(spec)
        async with client.local_view(Selector(capabilities=("math.add",))) as view:
            assert await names["call_one"](view, call) == "done"
    assert len(set(tried)) == 2
