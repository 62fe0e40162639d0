"""docs/pictures/top.svg: `orion-registry top` in front of a real fleet with its troubles."""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from examples.demo.processes import ROOT, Nursery
from orion_registry.client.admin import AdminClient
from orion_registry.core.overlay import OverlayMode
from orion_registry.core.selector import Selector
from tests.e2e import top_fleet
from tests.e2e.fleet import start_daemon
from tests.e2e.svg import picture
from tests.e2e.tmux import Screen

WIDTH, HEIGHT = 126, 36
BUSY_S = 6.0
"""Until there are some ages, loads and events to see."""


async def make() -> str:
    """Runs everything; returns the picture."""
    with tempfile.TemporaryDirectory() as name:
        async with Nursery(Path(name)) as nursery:
            address = await start_daemon(nursery, listen=_listen())
            victim = await top_fleet.start(nursery, address)
            await asyncio.sleep(BUSY_S)
            async with AdminClient(address) as admin:
                await admin.set_overlay(Selector(agent_id="search-2"), OverlayMode.DRAIN, note="new disk")
                await admin.set_overlay(Selector(agent_id="vision-2"), OverlayMode.QUARANTINE, note="wrong answers")
            screen = Screen("picture", Path(name), WIDTH, HEIGHT)
            try:
                path = f"{ROOT}:{ROOT / 'generated'}"
                command = f"cd {ROOT}; {sys.executable} -m orion_registry top --address {address}"
                screen.start(command, {"PYTHONPATH": path, "LC_ALL": "C.UTF-8", "NO_COLOR": ""})
                await screen.until(lambda text: "search-2/search" in text, "the fleet")
                victim.kill()
                await screen.until(lambda text: "DISCONNECTED" in text, "the crash")
                await asyncio.sleep(BUSY_S / 2)
                return picture(screen.styled(), WIDTH, "orion-registry top")
            finally:
                screen.close()


def _listen() -> str:
    """The address that readers know, unless somebody has it."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 6746))
        except OSError:
            return "127.0.0.1:0"
    return "127.0.0.1:6746"


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures.top", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures", help="the folder")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    (out / "top.svg").write_text(asyncio.run(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
