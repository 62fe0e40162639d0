"""Lives of agents: they come and change and go, are killed, and are checked."""

import asyncio
import random
from contextlib import suppress
from dataclasses import replace

from orion_registry.client.client import RegistryClient
from orion_registry.core.checks.spec import CheckSpec, TcpProbe
from orion_registry.core.frames import GoodbyeReason
from orion_registry.core.model import LivenessMode, Load, ServiceSpec
from orion_registry.errors import NotFound
from tests.faults.agents import Agents
from tests.faults.observer import GONE, Sight, healthy
from tests.soak.world import World

KILLED_AT_ONCE = 4
PATIENCE_S = 30.0
"""For an answer: a machine that is busy is no fault of the registry's."""
CHECK_S = 1.0
"""Interval of checks, seconds: the shortest that there is."""


def spec_of(agent_id: str, *capabilities: str, **fields: object) -> ServiceSpec:
    """A service that is not listed for long once it is dead."""
    return ServiceSpec(
        agent_id=agent_id,
        service_name="soak",
        host="127.0.0.1",
        port=7000,
        capabilities=capabilities,
        retention_s=2.0,
        **fields,  # type: ignore[arg-type]  # of a life
    )


def dead(sight: Sight) -> bool:
    """Fallen, or removed since."""
    return sight.status in {"UNHEALTHY", GONE}


def passing(sight: Sight) -> bool:
    """HEALTHY, by its checks."""
    return sight.status == "HEALTHY"


async def come_and_go(world: World) -> None:
    """An agent registers, tells its load, changes what it says of itself, and says goodbye, or unregisters."""
    agent_id = world.name("visitor")
    spec = spec_of(agent_id, "visit.do", tags=(f"t{random.randrange(400)}",))
    async with RegistryClient(world.address, timeout_s=PATIENCE_S) as client:
        session = client.session(agent_id, [spec])
        await session.start()
        for number in range(random.randrange(4)):
            session.set_load(Load(in_flight=number, utilization=random.random()))
            changed = replace(spec, metadata_json=f'{{"n":{number},"text":"{"x" * random.randrange(2_000)}"}}')
            await client.update(session.ref(), changed, ("metadata",))
            await asyncio.sleep(random.uniform(0.1, 1.0))
        match random.randrange(3):
            case 0:
                await session.stop()
            case 1:
                await session.stop(GoodbyeReason.MOVING)
            case _:
                await client.unregister(session.ref())
                await session.stop()


async def break_off(world: World) -> None:
    """An agent's goodbye is interrupted, and its connection ends with its stream."""
    agent_id = world.name("broken")
    async with RegistryClient(world.address, timeout_s=PATIENCE_S) as client:
        session = client.session(agent_id, [spec_of(agent_id, "visit.do")])
        await session.start()
        await asyncio.sleep(random.uniform(0.0, 1.0))
        with suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.0, 0.01)):
                await session.stop(GoodbyeReason.MOVING)


async def be_killed(world: World) -> None:
    """A process of agents is killed; once that is seen nobody is sent there any more."""
    agents = await Agents.start(world.nursery, world.address, KILLED_AT_ONCE, world.name("victim"), "--retention", "2")
    await world.until(agents.ids, healthy)
    await asyncio.sleep(random.uniform(0.0, 3.0))
    agents.kill()
    await world.until(agents.ids, dead)
    world.killed.update(agents.ids)
    await agents.child.stop()
    world.nursery.children.remove(agents.child)


async def be_checked(world: World) -> None:
    """A service whose target comes, goes away and comes back, and which is unregistered under its checks."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    check = CheckSpec(name="tcp", probes=(TcpProbe(),), interval_s=CHECK_S, timeout_s=CHECK_S / 2, fall=1, rise=1)
    spec = replace(
        spec_of(world.name("checked"), "checked.do", liveness=LivenessMode.CHECK, checks=(check,)), port=port
    )
    async with RegistryClient(world.address, timeout_s=PATIENCE_S) as client:
        ref = (await client.register(spec)).ref
        try:
            await world.until((spec.agent_id,), passing)
            server.close()
            await server.wait_closed()
            await world.until((spec.agent_id,), dead)
        finally:
            server.close()
            with suppress(NotFound):  # dead for longer than its retention
                await client.unregister(ref)


async def beat_by_hand(world: World) -> None:
    """A TTL agent beats a few times and is forgotten."""
    spec = spec_of(world.name("ttl"), "visit.do", liveness=LivenessMode.TTL, liveness_ttl_s=1.0)
    async with RegistryClient(world.address, timeout_s=PATIENCE_S) as client:
        ref = (await client.register(spec)).ref
        for _ in range(random.randrange(5)):
            await client.send_heartbeat(ref)
            await asyncio.sleep(0.2)
