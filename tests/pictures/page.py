"""Pictures of the page: python -m tests.pictures.page --out DIR

A daemon, a crowd of agents, operators at work, and an agent that has just been killed.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orion_registry import BalancerClient, Selector
from orion_registry.client.admin import AdminClient
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.selection.performance import Outcome
from tests.e2e.page_browser import PHONE, Look, chromium, look
from tests.e2e.page_stage import Stage, stage

SERVICES = 96
SIZE = (1280, 760)
SETTLE_S = 14.0
"""Checks fail, calls are reported, lines get a shape."""

LARGEST = 200_000
"""Bytes of one picture: they are part of every clone."""


async def operate(made: Stage) -> None:
    """One service drains, one is worked on, one is not trusted."""
    async with AdminClient(made.address) as admin:
        await admin.set_overlay(ServiceKey(service_id="translator-0013"), OverlayMode.DRAIN, note="new model at noon")
        await admin.set_overlay(ServiceKey(service_id="planner-0029"), OverlayMode.MAINTENANCE, note="disk replaced")
        await admin.set_overlay(ServiceKey(service_id="reader-0048"), OverlayMode.QUARANTINE, note="wrong answers")


async def fleet(seen: Look, made: Stage, out: Path) -> None:
    """The list, a moment after a kill."""
    victim = await made.start_crowd(1, "--first", str(SERVICES), "--callers", "0", "--trouble", "0")
    await seen.go()
    await seen.until("() => document.querySelector('#fleet-rows').textContent.includes('calculator')")
    await asyncio.sleep(2.0)
    victim.kill()
    await seen.until("() => document.querySelector('#fleet-rows').textContent.includes('liskov-5')")
    await asyncio.sleep(1.2)
    await seen.shot(out, "page-light")


async def service(seen: Look, out: Path) -> None:
    """One service that is called, beside the list."""
    await seen.go("#/fleet?q=is%3Aready+cap%3Atext&service=translator-0004")
    await seen.until("() => document.querySelector('#detail .spark') !== null")
    await asyncio.sleep(SETTLE_S)
    await seen.shot(out, "page-dark")


async def call(made: Stage, caller: str, rng: random.Random) -> None:
    """Calls that service, one call after the other."""
    wanted = Selector(agent_id="dijkstra-1", service_name="translator")
    async with BalancerClient(made.address, caller=caller) as balancer:
        while True:
            selection = await balancer.acquire(wanted, wait_s=30.0)
            await asyncio.sleep(2.0 + 3.0 * rng.random())
            await balancer.release(selection, Outcome.SUCCEEDED, 0.03 + rng.lognormvariate(-3.2, 0.5))


@asynccontextmanager
async def calls(made: Stage) -> AsyncIterator[None]:
    """Callers of that service."""
    callers = ("gateway", "planner", "nightly")
    tasks = [asyncio.create_task(call(made, caller, random.Random(caller))) for caller in callers]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def phone(seen: Look, out: Path) -> None:
    """The list, small."""
    await seen.go()
    await seen.until("() => document.querySelector('#fleet-rows').textContent.includes('calculator')")
    await asyncio.sleep(2.0)
    await seen.shot(out, "page-phone")


async def make(out: Path) -> None:
    """All of them."""
    async with chromium() as browser, stage() as made:
        await made.start_crowd(SERVICES, "--callers", "60", "--trouble", "8")
        await operate(made)
        await asyncio.sleep(SETTLE_S)
        async with look(browser, made.base, size=SIZE) as seen:
            await fleet(seen, made, out)
        async with look(browser, made.base, size=SIZE, theme="dark") as seen, calls(made):
            await service(seen, out)
        async with look(browser, made.base, size=PHONE) as seen:
            await phone(seen, out)


def main() -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="DIR", required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    asyncio.run(make(given.out))
    sizes = {path.name: path.stat().st_size for path in sorted(given.out.glob("page-*.png"))}
    print(", ".join(f"{name} {size // 1_000} kB" for name, size in sizes.items()))
    return int(max(sizes.values()) > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
