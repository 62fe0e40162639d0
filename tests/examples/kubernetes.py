"""The Kubernetes recipe: the manifest is valid, and its commands do in their order what its README says.

    python -m tests.examples.kubernetes [--validator COMMAND]

Installs kubernetes-validate into an environment of its own (COMMAND: uses that one), and runs the manifest's commands
and its agent against a real daemon. Exit code 1 if anything does not hold.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from orion_registry.sync import BalancerClient
from tests.cli.process import clean_environment, daemon_process
from tests.examples.manifest import MANIFEST, PLACE, commands

VALIDATOR = "kubernetes-validate==1.37.0"
ROOT = Path(__file__).resolve().parents[2]
LOOK = 'orion-registry get "$AGENT_ID/calc"'
NAP_S = 2.0
SOON_S = 20.0


class Fault(Exception):
    """Something does not hold."""


def expect(holds: object, what: str) -> None:
    """Raises Fault unless it holds."""
    if not holds:
        raise Fault(what)


def validator(directory: Path) -> str:
    """kubernetes-validate, freshly installed."""
    python = directory / "validator" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", directory / "validator"], check=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", VALIDATOR]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    return str(python.parent / "kubernetes-validate")


class Pod:
    """The environment of one pod, and what runs in it."""

    def __init__(self, directory: Path, address: str) -> None:
        directory.mkdir(exist_ok=True)
        tool = directory / "orion-registry"
        tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m orion_registry "$@"\n', encoding="utf-8")
        tool.chmod(0o755)
        self.env = clean_environment(
            PATH=f"{directory}:{os.environ['PATH']}",
            PYTHONPATH=f"{ROOT}:{ROOT / 'generated'}",
            AGENT_ID="calc-0",
            ORION_ADDRESS=address,
            PORT="0",
        )

    def shell(self, line: str) -> tuple[int, str]:
        """Exit code and output of a line of the manifest."""
        done = subprocess.run(
            ["/bin/sh", "-ec", line], env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    @contextmanager
    def agent(self) -> Iterator["subprocess.Popen[bytes]"]:
        """The container's process."""
        process = subprocess.Popen([sys.executable, PLACE / "agent.py"], env=self.env, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def started(self, probe: str) -> None:
        """Until the startupProbe passes."""
        give_up_at = time.monotonic() + SOON_S
        while self.shell(probe)[0]:
            expect(time.monotonic() < give_up_at, "the startupProbe passes")


def recipe(pod: Pod, address: str) -> None:
    """Starts, stops under a call, and starts again."""
    clear, drain, wait = commands()
    expect(pod.shell(clear)[0] == 0, "a name that nothing is set for can be cleared")
    with pod.agent() as agent, BalancerClient(address) as balancer, ThreadPoolExecutor() as threads:
        pod.started(wait)
        call = threads.submit(balancer.call, "nap", {"seconds": NAP_S})
        time.sleep(0.5)  # it is under way
        code, said = pod.shell(drain)
        expect(code == 0, f"preStop: {said}")
        expect("safe to stop" in said, f"preStop says that it is safe: {said}")
        expect(call.done(), "preStop returns once the call has finished")
        expect(call.result() == f"slept {NAP_S:g} s", "the call under way is finished")
        expect(pod.shell(wait)[0] == 1, "what is drained is not selected")
        agent.send_signal(signal.SIGTERM)
        expect(agent.wait(SOON_S) == 0, "the agent's exit code after SIGTERM")
    print("preStop waited for the call under way; the agent said goodbye")
    with pod.agent():
        give_up_at = time.monotonic() + SOON_S
        while "DRAIN" not in pod.shell(LOOK)[1]:
            expect(time.monotonic() < give_up_at, "what preStop set holds for the next pod of the name")
        expect(pod.shell(wait)[0] == 1, "what is set for it keeps the next pod out of selection")
        expect(pod.shell(clear)[0] == 0, "the init container clears it")
        pod.started(wait)
    print("the next pod of the name is selected once the init container has cleared it")


def main() -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--validator", metavar="COMMAND", default="", help="a kubernetes-validate that is installed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orion-kubernetes-") as name:
        try:
            subprocess.run([given.validator or validator(Path(name)), "--strict", MANIFEST], check=True)
            with daemon_process() as daemon:
                address = daemon.wait_ready()
                recipe(Pod(Path(name) / "pod", address), address)
        except (Fault, subprocess.SubprocessError) as fault:
            print(f"FAULT: {fault}")
            return 1
    print("the recipe holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
