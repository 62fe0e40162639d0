"""Lives of those who misuse it, and of those who look on."""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress

import aiohttp
import grpc.aio

from orion_registry_pb.v1 import balancer_pb2, registry_pb2
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.faults.rows_protocol import lean_channel, was_cut
from tests.soak.world import World

METHODS = (
    "/orion.registry.v1.RegistryService/RegisterService",
    "/orion.registry.v1.RegistryService/DiscoverServices",
    "/orion.registry.v1.BalancerService/SelectService",
    "/orion.registry.v1.AdminService/ListEvents",
    "/orion.registry.v1.NoService/NoMethod",
)
CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.OK}
LOUD = 20
FLOOD_S = 10.0
"""A watcher that takes nothing for 5 s is cut; changes must have filled its window by then."""


async def send_garbage(world: World) -> None:
    """Bytes that are no message: INVALID_ARGUMENT."""
    call = world.stub.channel.unary_unary(random.choice(METHODS))
    try:
        await call(b"\xff" + os.urandom(random.randrange(400)), timeout=10.0)
    except grpc.aio.AioRpcError as error:
        if error.code() not in CODES:
            world.fault(f"garbage was answered {error.code().name}: {error.details()}")


async def cancel_calls(world: World) -> None:
    """Calls of every kind are cancelled within milliseconds, before, while and after they are answered."""
    calls = [
        world.stub.registry.DiscoverServices(registry_pb2.DiscoverServicesRequest()),
        world.stub.balancer.SelectService(
            balancer_pb2.SelectServiceRequest(selector=sv.Selector(capabilities=["busy.do"]))
        ),
        world.stub.registry.WatchServices(registry_pb2.WatchServicesRequest()),
        world.stub.registry.Heartbeat(),
        world.stub.balancer.Route(),
    ]
    with suppress(asyncio.CancelledError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
        if random.random() < 0.5:
            await calls[3].write(hb.HeartbeatRequest(hello=hb.Hello(agent_id=world.name("half"))))
    await asyncio.sleep(random.choice((0.0, 0.001, 0.01)))
    for call in calls:
        call.cancel()


async def watch_without_reading(world: World) -> None:
    """A watcher that takes nothing is cut, while others change what it should have been told."""
    refs: list[sv.SessionRef] = []
    try:
        for _ in range(LOUD):
            info = sv.ServiceInfo(
                agent_id=world.name("loud"), service_name="loud", host="127.0.0.1", port=7000,
                liveness=sv.LIVENESS_MODE_STATIC, capabilities=["loud.do"],
            )  # fmt: skip
            made = await world.stub.registry.RegisterService(registry_pb2.RegisterServiceRequest(service=info))
            refs.append(sv.SessionRef(service_id=made.service.service_id, secret=made.secret))
        async with lean_channel(world.address) as lean:
            selector = sv.Selector(capabilities=["loud.do"])
            call = lean.WatchServices(registry_pb2.WatchServicesRequest(selector=selector))
            began = time.monotonic()
            while time.monotonic() - began < FLOOD_S:
                await _change(world, refs)
                await asyncio.sleep(0.2)
            cut, why = await was_cut(call)
            if not cut:
                world.fault(f"a watcher that reads nothing: {why}")
    finally:
        for ref in refs:
            await world.stub.registry.UnregisterService(registry_pb2.UnregisterServiceRequest(ref=ref))


async def _change(world: World, refs: Sequence[sv.SessionRef]) -> None:
    """Each of them, with a lot to say."""
    for ref in refs:
        request = registry_pb2.UpdateServiceRequest(ref=ref)
        request.service.metadata.update({"text": os.urandom(4_000).hex()})
        request.update_mask.paths.append("metadata")
        await world.stub.registry.UpdateService(request)


async def read_pages(world: World) -> None:
    """Somebody opens the page's stream of changes, reads for a while, and goes."""
    with suppress(TimeoutError, aiohttp.ServerTimeoutError):
        async with asyncio.timeout(random.uniform(0.1, 4.0)):
            async with world.http.get(f"{world.http_url}/api/v1/watch") as answer:
                if answer.status != 200:
                    world.fault(f"a page was answered {answer.status}: {await answer.text()}")
                async for _ in answer.content:
                    world.done["lines read"] += 1


async def ask_wrongly(world: World) -> None:
    """HTTP requests that are refused."""
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        async with world.http.get(f"{world.http_url}/api/v1/services", headers=headers) as answer:
            if answer.status not in {403, 421}:
                world.fault(f"a forged {[*headers]} was answered {answer.status}")
