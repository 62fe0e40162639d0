"""A fleet to look at, in one process: python -m examples.demo.crowd REGISTRY [--services 120] [--changes 2]

Agents with names, capabilities, zones and versions as a real fleet has them, each on a connection of its own; callers
that take slots on them and report outcomes; and some trouble: agents that are lost, late in what they do, not ready,
failing a check. `--changes N`: so many services change their status every second. Prints one line of JSON when all are
registered. Ends when its standard input does, or with Ctrl-C.
"""

import argparse
import asyncio
import json
import math
import random
import sys
import time
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from orion_registry import BalancerClient, RegistryClient, Selector, ServiceSpec
from orion_registry.client.session import HeartbeatSession
from orion_registry.client.specs import with_metadata
from orion_registry.core.checks.spec import CheckSpec, TcpProbe
from orion_registry.core.model import Load, ServiceStatus
from orion_registry.core.selection.performance import Outcome
from orion_registry.errors import RegistryError

AT_ONCE = 50
"""Agents that start at the same time: more only fill the accept queue."""

KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("calculator", ("math.add", "math.multiply", "math.solve")),
    ("embedder", ("text.embed", "text.rerank")),
    ("planner", ("plan.route", "plan.schedule")),
    ("reader", ("image.ocr", "image.classify")),
    ("translator", ("text.translate",)),
    ("librarian", ("search.index", "search.query")),
    ("editor", ("text.summarise", "text.rewrite")),
    ("reviewer", ("code.review", "code.test", "code.complete")),
    ("listener", ("speech.listen", "speech.say")),
)
NAMES = (
    *("ada", "boole", "church", "curie", "dijkstra", "euler", "fermat", "gauss", "hopper", "kay", "knuth", "lamport"),
    *("liskov", "noether", "pascal", "perlman", "ritchie", "shannon", "tarjan", "turing", "wirth"),
)
ZONES = ("eu-1", "eu-2", "us-1", "ap-1")
TAGS = ("gpu", "canary", "batch", "exact", "slow")
SLOTS = (2, 4, 4, 8, 8, 16, 0)
TEAMS = ("platform", "research", "support")
UNWELL = (ServiceStatus.STARTING, ServiceStatus.STOPPING, ServiceStatus.UNHEALTHY)
UNWELL_SHARE = 0.03
"""Of those that change: the others are well."""


@dataclass(slots=True)
class Member:
    """One service of the crowd; `phase` shifts the wave of its load; `steady`: its status is left alone."""

    spec: ServiceSpec
    session: HeartbeatSession
    service_id: str
    phase: float
    steady: bool = False


@dataclass(slots=True)
class Crowd:
    """All of it."""

    random: random.Random
    members: list[Member] = field(default_factory=list)


def specification(number: int, agent_id: str, dice: random.Random) -> ServiceSpec:
    """The service with that number: the same one for the same dice."""
    name, capabilities = KINDS[number % len(KINDS)]
    spec = ServiceSpec(
        agent_id=agent_id,
        service_name=name,
        service_id=f"{name}-{number:04d}",
        host=f"10.{number // 62_500}.{number // 250 % 250}.{number % 250 + 1}",
        port=7_000 + number % 7,
        protocol="grpc",
        version=f"{1 + number % 3}.{number % 5}.{number % 4}",
        zone=ZONES[number // len(KINDS) % len(ZONES)],
        capabilities=capabilities[: dice.randint(1, len(capabilities))],
        tags=tuple(sorted(dice.sample(TAGS, dice.choice((0, 0, 1, 2))))),
        max_concurrency=dice.choice(SLOTS),
        retention_s=3_600.0,
    )
    return with_metadata(spec, {"team": dice.choice(TEAMS), "model": f"m-{dice.choice((7, 13, 70))}b"})


def agent_name(number: int) -> str:
    """ada-1, boole-1, ... ada-2, ..."""
    return f"{NAMES[number % len(NAMES)]}-{number // len(NAMES) + 1}"


async def start(crowd: Crowd, options: argparse.Namespace, stack: AsyncExitStack) -> None:
    """Registers all, `options.per_agent` services each, and troubles some."""
    gate = asyncio.Semaphore(AT_ONCE)
    end = options.first + options.services
    numbers = range(options.first, end, options.per_agent)
    specs = {
        first: [
            specification(number, agent_name(first // options.per_agent), crowd.random)
            for number in range(first, min(first + options.per_agent, end))
        ]
        for first in numbers
    }
    failing = CheckSpec(name="tcp", probes=(TcpProbe(host="127.0.0.1", port=9),), interval_s=2.0, timeout_s=0.5, fall=2)
    troubled = crowd.random.sample(list(numbers), min(len(numbers), options.trouble))
    for first in troubled[0::4]:
        specs[first] = [replace(spec, checks=(failing,)) for spec in specs[first]]
    for first in troubled[1::4]:
        specs[first] = [replace(spec, stuck_after_s=1.0) for spec in specs[first]]

    async def join(first: int) -> None:
        async with gate:
            client = await stack.enter_async_context(RegistryClient(options.registry))
            session = client.session(specs[first][0].agent_id, specs[first])
            await session.start()
            for spec in specs[first]:
                service_id = session.ref(spec.service_id).service_id
                crowd.members.append(
                    Member(spec, session, service_id, crowd.random.random() * 100, steady=first in troubled)
                )
            if first in troubled[2::4]:
                await client.close()  # without a goodbye, as a crash would
            elif first in troubled[3::4]:
                session.report_status(ServiceStatus.STARTING)
            elif first in troubled[1::4]:
                session.report_task(1)

    await asyncio.gather(*map(join, numbers))


async def wave(crowd: Crowd) -> None:
    """Loads come and go."""
    while True:
        now = time.monotonic()
        for member in crowd.members:
            slots = member.spec.max_concurrency or 6
            share = 0.45 + 0.4 * math.sin(now / 9 + member.phase)
            queued = 2 if share > 0.84 else 0
            member.session.set_load(Load(in_flight=round(slots * share), queue_depth=queued), member.service_id)
        await asyncio.sleep(1.0)


async def change(crowd: Crowd, per_second: float) -> None:
    """Services report that they are not ready, and that they are again."""
    well = [member for member in crowd.members if not member.steady]
    most = max(1, round(len(well) * UNWELL_SHARE))
    unwell: deque[Member] = deque()
    due = time.monotonic()
    while True:
        if len(unwell) < most:
            member = well.pop(crowd.random.randrange(len(well)))
            unwell.append(member)
            member.session.report_status(crowd.random.choice(UNWELL), member.service_id)
        else:
            member = unwell.popleft()
            well.append(member)
            member.session.report_status(ServiceStatus.HEALTHY, member.service_id)
        due = max(due + 1 / per_second, time.monotonic() - 0.5)
        await asyncio.sleep(due - time.monotonic())


async def call(crowd: Crowd, balancer: BalancerClient, caller: random.Random) -> None:
    """One caller: takes a slot, works, tells what became of it."""
    while True:
        capability = caller.choice(caller.choice(KINDS)[1])
        try:
            async with asyncio.timeout(5.0):
                selection = await balancer.acquire(Selector(capabilities=(capability,)))
        except (RegistryError, TimeoutError):  # none is free now: the next one may be
            await asyncio.sleep(0.5)
            continue
        await asyncio.sleep(0.3 + caller.expovariate(0.5))
        took = 0.02 + caller.lognormvariate(-3.2, 0.5)
        outcome = Outcome.FAILED if caller.random() < 0.01 else Outcome.SUCCEEDED
        await balancer.release(selection, outcome, took)


async def run(options: argparse.Namespace) -> None:
    """All of it until standard input ends."""
    crowd = Crowd(random.Random(options.seed))
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        await start(crowd, options, stack)
        tasks = [group.create_task(wave(crowd))]
        if options.changes > 0:
            tasks.append(group.create_task(change(crowd, options.changes)))
        for number in range(options.callers):
            balancer = await stack.enter_async_context(
                BalancerClient(options.registry, caller=("gateway", "planner", "nightly")[number % 3])
            )
            tasks.append(group.create_task(call(crowd, balancer, random.Random(options.seed + number))))
        print(json.dumps({"ready": len(crowd.members), "took_s": round(time.monotonic() - began, 2)}), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        for task in tasks:
            task.cancel()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo.crowd", description=__doc__.partition("\n\n")[0])
    parser.add_argument("registry", help="HOST:PORT")
    parser.add_argument("--services", type=int, default=120)
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first service")
    parser.add_argument("--per-agent", type=int, default=1, help="services that one agent offers")
    parser.add_argument("--changes", type=float, default=0.0, metavar="N", help="changes of status per second")
    parser.add_argument("--callers", type=int, default=6)
    parser.add_argument("--trouble", type=int, default=8, help="agents that are not well")
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
