"""Must-show: `orion-registry top` on real terminals of 80x24 and 200x50, with a real daemon and real agents.

An agent is killed and turns UNHEALTHY on both screens; rows are sorted and filtered as one types; a service is opened;
the daemon stops and comes back; the window changes its size; q leaves the terminal as it was. Then 5,000 services of
which 200 change a second: what it costs, and how long a key takes. `--out` keeps what the screens showed. Exit code 1
on any fault.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before grpc is imported: a daemon that is away is no news

from examples.demo.processes import ROOT, Nursery, free_port
from orion_registry import RegistryClient, ServiceSpec
from orion_registry.core.model import LivenessMode, ServiceStatus, SessionRef
from tests.e2e import top_fleet
from tests.e2e.fleet import start_daemon
from tests.e2e.tmux import Screen

SIZES = ((80, 24), (200, 50))
TOP = f"{sys.executable} -m orion_registry top"
UNREADY = 2
"""The victim once it is dead, and the one that answers no check."""


class Scene:
    """Screens side by side that see the same."""

    def __init__(self, directory: Path, out: Path | None, address: str) -> None:
        self._out = out
        self.screens = [Screen(f"{width}x{height}", directory, width, height) for width, height in SIZES]
        environment = {"ORION_ADDRESS": address, "PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}", "LC_ALL": "C.UTF-8"}
        for screen in self.screens:
            screen.start(f"cd {ROOT}; {TOP}; echo left with $?", environment)

    def press(self, *keys: str) -> None:
        """The same keys for all."""
        for screen in self.screens:
            screen.keys(*keys)

    async def see(self, name: str, *, holds: Callable[[str], object], timeout_s: float = 20.0) -> float:
        """Waits until all show it, and keeps what they show; returns the longest wait in seconds."""
        waits = [await screen.until(holds, name, timeout_s) for screen in self.screens]
        for screen in self.screens:
            self.keep(screen, name)
        print(f"{name:<12} seen after {max(waits):.2f} s")
        return max(waits)

    def keep(self, screen: Screen, name: str) -> None:
        """Its text, and its colours beside it."""
        if self._out is not None:
            place = self._out / f"{screen.name}-{name}"
            place.with_suffix(".txt").write_text(screen.text(), encoding="utf-8")
            place.with_suffix(".ansi").write_text(screen.styled(), encoding="utf-8")

    def close(self) -> None:
        """Ends all."""
        for screen in self.screens:
            screen.close()


def names(text: str) -> list[str]:
    """The services on a screen, from the top."""
    return re.findall(r"^([a-z]+-\d+/[a-z]+) ", text, re.MULTILINE)


def line_of(text: str, name: str) -> str:
    """A service's row."""
    return next((line for line in text.splitlines() if line.startswith(f"{name} ")), "")


async def tell(directory: Path, out: Path | None, nursery: Nursery) -> None:
    """The story with a small fleet. Raises AssertionError where it is not as it should be."""
    listen, data = f"127.0.0.1:{free_port()}", str(directory / "data")
    address = await start_daemon(nursery, "--data-dir", data, listen=listen)
    victim = await top_fleet.start(nursery, address)
    whole = f"{top_fleet.COUNT} services"
    scene = Scene(directory, out, address)
    try:
        await scene.see(
            "table",
            holds=lambda text: whole in text and "✗ 1 UNHEALTHY" in text and re.search(r"\|\d/\d]|\d+/\d+]", text),
        )
        await kill(scene, victim.kill)
        await look(scene)
        daemon = next(child for child in nursery.children if child.name == "daemon")
        await daemon.stop()
        await scene.see("lost", timeout_s=10.0, holds=lambda text: "CONNECTION LOST" in text and "trying again" in text)
        await start_daemon(nursery, "--data-dir", data, listen=listen, name="daemon-again")
        await scene.see("back", holds=lambda text: "is back" in text and "CONNECTION LOST" not in text)
        most = top_fleet.COUNT - UNREADY
        await scene.see("healthy", holds=lambda text: f"● {most} HEALTHY" in text, timeout_s=40.0)
        await leave(scene)
    finally:
        scene.close()


async def kill(scene: Scene, strike: Callable[[], None]) -> None:
    """An agent dies in front of everybody's eyes."""
    name = f"{top_fleet.VICTIM}/coder"
    before = time.monotonic()
    strike()
    await scene.see("killed", holds=lambda text: "✗ UNHEALTHY DISCONNECTED" in " ".join(line_of(text, name).split()))
    print(f"             killed -9 to all screens: {time.monotonic() - before:.2f} s")


async def look(scene: Scene) -> None:
    """Sorts, filters, opens, reads."""
    scene.press("N")
    await scene.see("by-name", holds=lambda text: "SERVICE▼" in text and names(text)[:1] == ["calc-1/calc"])
    scene.press("N")
    await scene.see("reversed", holds=lambda text: "SERVICE▲" in text and names(text)[:1] == ["vision-2/vision"])
    scene.press("L")
    await scene.see("by-load", holds=lambda text: "LOAD▼" in text)
    scene.press("/", "status:unh")
    await scene.see(
        "filtered", holds=lambda text: f"{UNREADY} of {top_fleet.COUNT}" in text and len(names(text)) == UNREADY
    )
    scene.press("C-u", "cap:code -agent:coder-1")
    await scene.see("typed", holds=lambda text: f"4 of {top_fleet.COUNT}" in text)
    scene.press("C-u", f"agent:{top_fleet.VICTIM}")
    await scene.see("victim", holds=lambda text: names(text) == [f"{top_fleet.VICTIM}/coder"])
    scene.press("Enter", "Enter")
    await scene.see("detail", holds=lambda text: re.search(r"CHANGED .*\n.* UNHEALTHY +DISCONNECTED", text))
    scene.press("Escape")
    await scene.see("table-again", holds=lambda text: "STATUS" in text and "filter agent:" in text)
    scene.press("C-l", "Escape")
    await scene.see("unfiltered", holds=lambda text: len(names(text)) > UNREADY and "filter agent:" not in text)
    scene.press("/", "mailer", "Enter", "Enter")
    await scene.see("checks", holds=lambda text: re.search(r"smtp +FAILING", text))
    scene.press("Escape")
    await scene.see("closed", holds=lambda text: "filter mailer" in text)
    scene.press("Escape", "S")
    await scene.see("by-status", holds=lambda text: "STATUS▼" in text and len(names(text)) > UNREADY)
    scene.press("E")
    await scene.see("events", holds=lambda text: "HEALTHY -> UNHEALTHY (DISCONNECTED)" in text)
    scene.press("?")
    await scene.see("help", holds=lambda text: "all terms must hold" in text)
    scene.press("?", "E")
    await scene.see("home", holds=lambda text: "STATUS▼" in text)
    small = scene.screens[0]
    small.keys("e")
    await small.until(lambda text: "─ events" in text, "events below the table")
    scene.keep(small, "pane")
    small.keys("e")


async def leave(scene: Scene) -> None:
    """Another size, and out."""
    wide = scene.screens[1]
    wide.resize(120, 30)
    await wide.until(lambda text: "VERSION" in text and "ADDRESS" not in text, "fewer columns in a smaller window")
    scene.keep(wide, "resized")
    scene.press("q")
    await scene.see("left", holds=lambda text: "left with 0" in text and "SERVICE" not in text)


# Many.


async def scale(directory: Path, out: Path | None, nursery: Nursery, count: int, rate: int, seconds: float) -> None:
    """Many services, many changes: prints what the screen costs, and how long a key takes."""
    address = await start_daemon(nursery, "--registration-rate", "100000", name="daemon-of-many")
    screen = Screen("many", directory, 200, 50)
    async with RegistryClient(address) as client:
        refs = await _register(client, count)
        changing = asyncio.create_task(_change(client, refs, rate))
        try:
            environment = {"ORION_ADDRESS": address, "PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}", "LC_ALL": "C.UTF-8"}
            screen.start(f"cd {ROOT}; echo $$ >{directory}/top.pid; exec {TOP}", environment)
            await screen.until(lambda text: f"{count:,} services" in text, "all services", 60.0)
            pid = int((directory / "top.pid").read_text())
            before, began = _cpu_s(pid), time.monotonic()
            times: list[float] = []
            while time.monotonic() - began < seconds:
                at = len(times) % 2
                screen.keys("End" if at == 0 else "Home")
                told = re.compile(f"-{count:,} of {count:,}$" if at == 0 else f" 1-.* of {count:,}$")
                times.append(await screen.until(lambda text: told.search(text.rstrip()), "what a key does"))  # noqa: B023
                await asyncio.sleep(0.1)
            share = (_cpu_s(pid) - before) / (time.monotonic() - began)
            if out is not None:
                (out / "many.txt").write_text(screen.text(), encoding="utf-8")
        finally:
            changing.cancel()
            screen.close()
    times.sort()
    half, most = times[len(times) // 2], times[-1]
    print(f"{count:,} services, {rate} changes/s: {100 * share:.0f} % of a core; {len(times)} keys: "
          f"half seen within {1000 * half:.0f} ms, all within {1000 * most:.0f} ms")  # fmt: skip


async def _register(client: RegistryClient, count: int) -> list[SessionRef]:
    limit = asyncio.Semaphore(50)

    async def one(number: int) -> SessionRef:
        spec = ServiceSpec(
            agent_id=f"agent-{number:05}",
            service_name="work",
            host="10.0.0.1",
            port=7000,
            zone=f"zone-{number % 7}",
            capabilities=("work.do", f"work.{number % 50}"),
            liveness=LivenessMode.STATIC,
            max_concurrency=8,
        )
        async with limit:
            return (await client.register(spec, timeout_s=30.0)).ref

    return list(await asyncio.gather(*map(one, range(count))))


async def _change(client: RegistryClient, refs: list[SessionRef], rate: int) -> None:
    """Services report that they stop, and that they go on again."""
    number, begun = 0, time.monotonic()
    while True:
        behind = int((time.monotonic() - begun) * rate) - number
        for _ in range(behind):
            status = ServiceStatus.STOPPING if number // len(refs) % 2 == 0 else ServiceStatus.HEALTHY
            await client.update_status(refs[number % len(refs)], status)
            number += 1
        await asyncio.sleep(0.01)


def _cpu_s(pid: int) -> float:
    """CPU time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(out: Path | None, services: int, seconds: float) -> int:
    """Runs it; returns the exit code."""
    with tempfile.TemporaryDirectory() as name:
        try:
            async with Nursery(Path(name)) as nursery:
                await tell(Path(name), out, nursery)
            if services:
                async with Nursery(Path(name)) as nursery:
                    await scale(Path(name), out, nursery, services, 200, seconds)
        except AssertionError as fault:
            print(f"FAULT {fault}\nfailed")
            return 1
    print("passed")
    return 0


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.top", description=__doc__)
    parser.add_argument("--out", type=Path, help="a folder for what the screens showed")
    parser.add_argument("--services", type=int, default=5_000, help="of the large fleet; 0: without")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the large fleet is looked at")
    options = parser.parse_args()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    return asyncio.run(run(options.out, options.services, options.seconds))


if __name__ == "__main__":
    sys.exit(main())
