"""Lives of callers: they select and release, wait and give up, and break off."""

import asyncio
import random
from contextlib import suppress

from google.protobuf.duration_pb2 import Duration

from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selector import Selector
from orion_registry.errors import Reason, RegistryError
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.soak.agents import PATIENCE_S
from tests.soak.world import BUSY, WORK, World

NONE_NOW = {Reason.NO_FREE_SLOT, Reason.NO_READY_SERVICE, Reason.QUEUE_FULL}
"""What a caller may be told: all slots may be taken, all agents may just have been killed."""
ENDS = (Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED)


async def select_and_release(world: World) -> None:
    """A caller takes slots one after the other, says how each call went, and is never sent to one that is dead."""
    async with BalancerClient(world.address, caller=f"caller-{random.randrange(20)}", timeout_s=PATIENCE_S) as client:
        for _ in range(20):
            dead = frozenset(world.killed)
            try:
                selection = await client.acquire(WORK, wait_s=2.0, ttl_s=5.0)
            except RegistryError as error:
                if error.reason not in NONE_NOW:
                    raise
                continue
            world.done["selections"] += 1
            if selection.service.agent_id in dead:
                world.fault(f"a caller was sent to {selection.service.agent_id}, which was known to be dead")
            await asyncio.sleep(random.uniform(0.0, 0.05))
            await client.release(selection, random.choice(ENDS))


async def wait_and_give_up(world: World) -> None:
    """Callers wait for the same few slots, and half of them give up before they get one."""
    async with BalancerClient(world.address, caller="patient", timeout_s=PATIENCE_S) as client:

        async def one() -> None:
            patience = random.choice((0.05, 3.0))
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    try:
                        selection = await client.acquire(BUSY, wait_s=2.0, ttl_s=2.0)
                    except RegistryError as error:
                        if error.reason not in NONE_NOW:
                            raise
                        return
                    await asyncio.sleep(random.uniform(0.0, 0.1))
                    client.finish(selection, Outcome.SUCCEEDED)

        await asyncio.gather(*(one() for _ in range(12)))


async def vanish(world: World) -> None:
    """A caller takes slots, and its Route stream ends with them in its hands: they end by themselves."""
    call = world.stub.balancer.Route()
    await call.write(pb.RouteRequest(hello=pb.RouteHello(caller="vanishing")))
    select = pb.SelectServiceRequest(
        selector=sv.Selector(capabilities=["work.do"]), lease_ttl=Duration(seconds=2), wait_timeout=Duration(seconds=1)
    )
    await call.write(pb.RouteRequest(commands=[pb.RouteCommand(id=number, select=select) for number in range(1, 4)]))
    await asyncio.sleep(random.uniform(0.0, 0.02))
    call.cancel()


async def look_around(world: World) -> None:
    """A caller discovers by selectors of which no two are alike, and pages through all."""
    tag = f"t{random.randrange(400)}"
    async with RegistryClient(world.address, timeout_s=PATIENCE_S) as client:
        for _ in range(10):
            await client.discover(Selector(tags=(tag,), include_not_ready=True))
            await client.discover(WORK)
