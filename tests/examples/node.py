"""The Node.js example against the real daemon: registers, beats, discovers, selects, says goodbye; is killed.

    python -m tests.examples.node [--modules DIR]

Copies examples/node and protos/ aside, installs its two packages with npm (DIR: takes the node_modules from there
instead), and runs it as a person would. Exit code 1 if anything does not hold.
"""

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orion_registry import CallFailed, Selector
from orion_registry.client.fold import WatchEvent
from orion_registry.client.insight import InsightClient
from orion_registry.sync import BalancerClient, RegistryClient
from tests.cli.process import clean_environment, daemon_process

ROOT = Path(__file__).resolve().parents[2]
AGENT = "node-tried"
ALL = Selector(agent_id=AGENT, include_not_ready=True)
NPM = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
SEEN_MS = 100.0
"""A crashed agent is not ready within (README)."""
SOON_S = 20.0
BEATS_S = 4.0
"""Longer than the silence that it would be UNHEALTHY after."""


class Fault(Exception):
    """Something does not hold."""


def expect(holds: object, what: str) -> None:
    """Raises Fault unless it holds."""
    if not holds:
        raise Fault(what)


def install(directory: Path, modules: str) -> Path:
    """The example with its packages; returns where client.mjs is."""
    shutil.copytree(ROOT / "protos", directory / "protos")
    shutil.copytree(
        ROOT / "examples" / "node", directory / "examples" / "node", ignore=shutil.ignore_patterns("node_modules")
    )
    place = directory / "examples" / "node"
    if modules:
        (place / "node_modules").symlink_to(Path(modules).resolve())
    else:
        subprocess.run(NPM, cwd=place, check=True, timeout=300)
    return place


class Client:
    """The example as a process."""

    def __init__(self, place: Path, address: str) -> None:
        env = clean_environment(AGENT_ID=AGENT)
        self.process = subprocess.Popen(
            ["node", "client.mjs", address], cwd=place, env=env, stdout=subprocess.PIPE, text=True
        )

    def lines(self, count: int) -> list[str]:
        """The next lines that it prints."""
        assert self.process.stdout is not None
        return [self.process.stdout.readline().rstrip() for _ in range(count)]


@contextmanager
def client(place: Path, address: str) -> Iterator[Client]:
    """The example, running; killed at the end if it still does."""
    running = Client(place, address)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()


def beats_and_leaves(place: Path, address: str) -> None:
    """It does what it says, is called from Python, and is gone after its goodbye."""
    with client(place, address) as one, BalancerClient(address) as balancer, RegistryClient(address) as looker:
        told = one.lines(5)
        print("\n".join(f"  {line}" for line in told))
        expect(
            told[:2] == [f"registered {AGENT}/text", f"discovered {AGENT}/text SERVICE_STATUS_HEALTHY"],
            "registers and discovers",
        )
        expect(told[2].startswith(f"selected {AGENT} at 127.0.0.1:"), "selects")
        expect(told[3] == "called noiro", "calls")
        expect(balancer.call("text.reverse", {"text": "abc"}) == "cba", "is called from Python")
        expect(fails(balancer), "tells what failed")
        time.sleep(BEATS_S)
        (service,) = looker.discover(ALL).services
        expect(service.status.name == "HEALTHY", f"beats, but is {service.status.name}")
        expect(asyncio.run(leases(address)) == 0, "releases its slot")
        one.process.send_signal(signal.SIGTERM)
        expect(one.process.wait(SOON_S) == 0, "its exit code after SIGTERM")
        expect(one.lines(1) == ["goodbye"], "says goodbye")
        expect(not looker.discover(ALL).services, "is gone after its goodbye")
    print(f"HEALTHY after {BEATS_S:g} s, gone after its goodbye")


def fails(balancer: BalancerClient) -> bool:
    """Whether a call that fails is told as one, with its text."""
    try:
        balancer.call("text.reverse", {"text": 1})
    except CallFailed as failure:
        return "TypeError: text: a text is needed" in str(failure)
    return False


async def leases(address: str) -> int:
    """How many are open."""
    async with InsightClient(address) as insight:
        return len([lease async for lease in insight.leases()])


def is_killed(place: Path, address: str) -> float:
    """Milliseconds from SIGKILL until a watcher has it UNHEALTHY."""
    with RegistryClient(address) as looker, looker.watch(ALL) as watch, client(place, address) as one:
        events = iter(watch)
        until(events, "HEALTHY")
        one.lines(5)
        began = time.perf_counter()
        os.kill(one.process.pid, signal.SIGKILL)
        until(events, "UNHEALTHY")
        return 1_000.0 * (time.perf_counter() - began)


def until(events: Iterator[WatchEvent], status: str) -> None:
    """Takes events until one tells of the status."""
    next(event for event in events if event.service is not None and event.service.status.name == status)


def survives_a_restart(place: Path, directory: Path) -> None:
    """The daemon is killed and started again on its port: the example comes back by itself."""
    data = str(directory / "data")
    with daemon_process("--data-dir", data) as daemon:
        address = daemon.wait_ready()
        with client(place, address) as one:
            one.lines(5)
            daemon.process.kill()
            daemon.wait()
            with daemon_process("--data-dir", data, listen=(address,)) as second:
                second.wait_ready()
                with RegistryClient(address) as looker, looker.watch(ALL) as watch:
                    until(iter(watch), "HEALTHY")
                one.process.send_signal(signal.SIGINT)
                expect(one.process.wait(SOON_S) == 0, "its exit code after Ctrl-C")


def main() -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", metavar="DIR", default="", help="node_modules to use; npm is not asked")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orion-node-") as name:
        try:
            place = install(Path(name), given.modules)
            with daemon_process() as daemon:
                address = daemon.wait_ready()
                beats_and_leaves(place, address)
                took = min(is_killed(place, address) for _ in range(3))
                print(f"UNHEALTHY {took:.1f} ms after SIGKILL, the best of 3")
                expect(took < SEEN_MS, f"its death is seen within {SEEN_MS:g} ms")
            survives_a_restart(place, Path(name))
            print("back by itself after a restart of the daemon")
        except (Fault, subprocess.SubprocessError, StopIteration) as fault:
            print(f"FAULT: {fault!r}")
            return 1
    print("the Node.js example holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
