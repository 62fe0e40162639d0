"""What one agent with its connection, one watcher with its connection, and one lease take of the daemon's memory.

Private memory of the process before and after, divided by how many were added; beside it a connection with a stream
of a bare server. Each round has processes of its own: what an allocator has once taken it hardly gives back.
"""

import asyncio
import contextlib

from google.protobuf.duration_pb2 import Duration

from orion_registry.core.selector import Selector
from orion_registry.wire.requests import encode_selector
from orion_registry_pb.v1 import balancer_pb2, registry_pb2
from tests.bench.echo import READ
from tests.bench.figures import Figure
from tests.bench.fleet import register
from tests.bench.processes import LoadProcess, Server, bare, registry
from tests.bench.setting import Setting

PACKAGE = "/orion.registry.v1"
HEARTBEAT = f"{PACKAGE}.RegistryService/Heartbeat"
WARM = 100
"""Added before the first look: what every process takes once is no part of one agent."""
AGENTS, WATCHERS, LEASES = 2_000, 1_000, 50_000
QUICK_AGENTS, QUICK_WATCHERS, QUICK_LEASES = 300, 200, 10_000
ROUNDS = 3
AT_ONCE = 10
"""Leases that one call takes: as many as there are agents to choose from."""
LEASE_TTL = Duration(seconds=3_000)
SETTLE_S = 1.0


async def measure(setting: Setting) -> list[Figure]:
    """The figures memory, memory-watcher and memory-lease."""
    agents, watchers, leases = (AGENTS, WATCHERS, LEASES)
    if setting.quick:
        agents, watchers, leases = QUICK_AGENTS, QUICK_WATCHERS, QUICK_LEASES
    agent = Figure(name="memory", what="memory of an agent, its connection", unit="kB", beside="bare stream")
    watcher = Figure(name="memory-watcher", what="memory of a watcher, its connection", unit="kB", beside="bare stream")
    lease = Figure(name="memory-lease", what="memory of a lease", unit="kB")
    for _ in range(1 if setting.quick else min(ROUNDS, setting.rounds)):
        async with contextlib.AsyncExitStack() as stack:
            daemon, other = [await stack.enter_async_context(registry()) for _ in range(2)]
            reference = await stack.enter_async_context(bare())
            loads = [await stack.enter_async_context(LoadProcess()) for _ in range(3)]
            plain = await _streams(reference, loads[0], [b"hello" * 24] * agents)
            agent.add(await _agents(daemon, loads[1], agents), plain)
            lease.add(await _leases(daemon, loads[1], leases), None)
            watcher.add(await _watchers(other, loads[2], watchers), plain)
    return [agent, watcher, lease]


async def _settled(server: Server) -> float:
    await asyncio.sleep(SETTLE_S)
    return server.memory_kb


async def _streams(server: Server, load: LoadProcess, hellos: list[bytes]) -> float:
    """kB of the bare server for each stream."""
    first = [hello.hex() for hello in hellos]
    await load.do(do="open", address=server.address, path=READ, first=first[:WARM], beat="")
    before = await _settled(server)
    await load.do(do="open", address=server.address, path=READ, first=first, beat="")
    return (await _settled(server) - before) / len(first)


async def _agents(server: Server, load: LoadProcess, agents: int) -> float:
    """kB of the daemon for each: registered, with a stream on a connection of its own, beating."""
    before = 0.0
    for prefix, count in (("warm", WARM), ("agent", agents)):
        before = await _settled(server)
        names = [f"{prefix}-{number}" for number in range(count)]
        made = await register(server.address, names, prefix, slots=0)
        first = [agent.hello.hex() for agent in made]
        await load.do(do="open", address=server.address, path=HEARTBEAT, first=first, beat=made[0].beat)
    return (await _settled(server) - before) / agents


async def _leases(server: Server, load: LoadProcess, leases: int) -> float:
    """kB of the daemon for each lease that is held."""
    selector = encode_selector(Selector(capabilities=("warm",)))
    request = balancer_pb2.SelectServiceRequest(selector=selector, count=AT_ONCE, lease_ttl=LEASE_TTL)
    order = {"address": server.address, "path": f"{PACKAGE}.BalancerService/SelectService", "concurrency": 16}
    data = request.SerializeToString().hex()
    await load.do(do="calls", request=data, calls=WARM, **order)
    before = await _settled(server)
    await load.do(do="calls", request=data, calls=leases // AT_ONCE, **order)
    return (await _settled(server) - before) / leases


async def _watchers(server: Server, load: LoadProcess, watchers: int) -> float:
    """kB of the daemon for each watcher of the same hundred services, on a connection of its own."""
    await register(server.address, [f"watched-{number}" for number in range(WARM)], "watched")
    selector = encode_selector(Selector(include_not_ready=True))
    watch = registry_pb2.WatchServicesRequest(selector=selector).SerializeToString().hex()
    order = {"address": server.address, "path": f"{PACKAGE}.RegistryService/WatchServices", "request": watch}
    await load.do(do="watch", watchers=WARM, open_end=False, **order)
    before = await _settled(server)
    await load.do(do="watch", watchers=watchers, open_end=False, **order)
    return (await _settled(server) - before) / watchers
