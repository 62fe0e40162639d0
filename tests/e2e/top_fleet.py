"""A fleet worth looking at, for `tests.e2e.top` and the pictures: real agents, and callers that keep them busy.

As a child: `python -m tests.e2e.top_fleet ADDRESS crowd|calls|NAME`. It prints {"ready": ...} once it is.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before grpc is imported: a daemon that is away is no news

from examples.demo.processes import Child, Nursery, free_port
from orion_registry import CheckSpec, RegistryClient, Selector, ServiceSpec, TcpProbe
from orion_registry.client.balancer import BalancerClient
from orion_registry.client.specs import with_metadata
from orion_registry.errors import RegistryError

VICTIM = "coder-5"
"""The agent with a process of its own."""
CALLERS = 26


def _spec(
    name: str, number: int, zone: str, version: str, capabilities: str, slots: int, tags: str = ""
) -> ServiceSpec:
    spec = ServiceSpec(
        agent_id=f"{name}-{number}",
        service_name=name,
        host="127.0.0.1",
        port=7000 + number,
        zone=zone,
        version=version,
        capabilities=tuple(capabilities.split()),
        tags=tuple(tags.split()),
        max_concurrency=slots,
        retention_s=3_600.0,
    )
    return with_metadata(spec, {"team": "core", "owner": "agents@example.org"})


CROWD = (
    *(_spec("planner", n, f"eu-{n}", "2.3.1", "plan.route plan.review", 4) for n in (1, 2)),
    *(
        _spec("coder", n, f"eu-{1 + n % 2}", "1.8.0", "code.write code.review code.test", 2, "sandbox")
        for n in (1, 2, 3, 4)
    ),
    *(_spec("search", n, f"eu-{n}", "4.0.2", "web.search web.fetch", 8) for n in (1, 2, 3)),
    *(_spec("calc", n, f"eu-{1 + n % 2}", "1.0.0", "math.add math.solve math.plot", 4, "exact") for n in (1, 2, 3)),
    *(_spec("vision", n, "eu-1", "0.9.4", "image.describe image.ocr", 1, "gpu slow") for n in (1, 2)),
    *(_spec("memory", n, f"eu-{n}", "3.1.0", "memory.store memory.recall", 0) for n in (1, 2)),
    _spec("speech", 1, "eu-2", "0.4.0-rc1", "audio.transcribe", 2, "gpu"),
)
"""Without the victim and the one that answers no check."""
WANTED = ("plan.route", "code.write", "code.write", "web.search", "math.add", "image.ocr", "memory.recall")
"""What callers ask for, some of it more often."""


def specs_of(name: str) -> Sequence[ServiceSpec]:
    """The services of a child."""
    if name != "crowd":
        return [replace(CROWD[2], agent_id=name, port=7099, zone="eu-1")]
    probe = TcpProbe(host="127.0.0.1", port=free_port())  # nobody listens there
    broken = CheckSpec(name="smtp", probes=(probe,), interval_s=2.0, fall=2)
    mailer = replace(_spec("mailer", 1, "eu-2", "2.0.0", "mail.send", 3), checks=(broken,))
    return [*CROWD, mailer]


COUNT = len(CROWD) + 2
"""Services in all."""


async def start(nursery: Nursery, address: str) -> Child:
    """Everybody; returns the victim."""
    children = await asyncio.gather(
        *(nursery.start_ready(name, "-m", "tests.e2e.top_fleet", address, name) for name in ("crowd", VICTIM)),
    )
    await nursery.start_ready("calls", "-m", "tests.e2e.top_fleet", address, "calls")
    return children[1]


async def serve(address: str, name: str, stop: asyncio.Event) -> None:
    """Holds sessions until it is told to stop."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(RegistryClient(address))
        for spec in specs_of(name):
            await stack.enter_async_context(client.session(spec.agent_id, [spec]))
        print(json.dumps({"ready": name}), flush=True)
        await stop.wait()


async def call(address: str, stop: asyncio.Event) -> None:
    """Callers that take slots for a while, and tell how it went."""
    async with BalancerClient(address, caller="web-frontend") as balancer:
        callers = [asyncio.create_task(_caller(balancer, random.Random(number))) for number in range(CALLERS)]
        print(json.dumps({"ready": "calls"}), flush=True)
        await stop.wait()
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def _caller(balancer: BalancerClient, rng: random.Random) -> None:
    while True:
        try:
            async with balancer.select(Selector(capabilities=(rng.choice(WANTED),))):
                await asyncio.sleep(rng.uniform(0.2, 1.8))
        except RegistryError:
            await asyncio.sleep(0.5)
        await asyncio.sleep(rng.uniform(0.0, 0.3))


async def main(address: str, name: str) -> None:
    """Runs until SIGTERM, or until the parent is gone."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin, stop.set)  # nothing is ever written to it: readable means closed
    await (call(address, stop) if name == "calls" else serve(address, name, stop))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
