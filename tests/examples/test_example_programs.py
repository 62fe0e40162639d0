"""The small programs of examples/ run as they stand; examples/calc, demo and third_party are run by tests/e2e."""

import re
import subprocess
import sys
from pathlib import Path

from examples.cluster.__main__ import member_flags
from orion_registry import Selector
from orion_registry.sync import RegistryClient
from tests.cli.process import clean_environment, daemon_process

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TEN = 10
SCENARIOS = [
    "Registration",
    "Discovery",
    "Load balancing",
    "Health monitoring",
    "Fault tolerance",
    "Statistics",
    "Clean-up",
]


def test_an_agent_in_ten_lines_and_its_caller() -> None:
    with daemon_process() as daemon:
        address = daemon.wait_ready()
        env = clean_environment(ORION_ADDRESS=address)
        agent = subprocess.Popen([sys.executable, EXAMPLES / "agent.py"], env=env, stderr=subprocess.DEVNULL)
        try:
            with RegistryClient(address) as client, client.watch(Selector(capabilities=("math.add",))) as watch:
                next(event for event in watch if event.service is not None and event.service.ready)
            told = subprocess.run(
                [sys.executable, EXAMPLES / "caller.py"],
                env=env,
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            )
            assert (told.stdout, told.stderr) == ("5\n", "")
            agent.terminate()
            assert agent.wait(10) == 0
        finally:
            agent.kill()
            agent.wait()


def test_the_agent_in_ten_lines_has_no_more() -> None:
    """Docstring and blank lines aside."""
    code = (EXAMPLES / "agent.py").read_text(encoding="utf-8").partition('"""\n')[2]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= TEN


def test_the_seven_scenarios_in_one_process() -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "service_discovery_demo.py")]
    told = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=30, check=False)
    assert (told.returncode, told.stderr) == (0, ""), told.stdout
    titles = re.findall(r"^\d\. (.+)$", told.stdout, re.MULTILINE)
    assert titles == SCENARIOS
    assert "NOT" not in told.stdout
    assert told.stdout.count("   ok: ") >= 3 * len(SCENARIOS)


def test_no_member_of_the_cluster_to_try_takes_the_port_of_another_for_http() -> None:
    assert member_flags(1, 6746, "127.0.0.1:2379")[2:4] == ["--http", "127.0.0.1:0"]
