"""The same work at the peers: a lookup of ten, a beat, and a change told to a watcher; see `tests.bench.peers`.

Judged nowhere: they do not do the same. Told is the server's CPU for each, and for lookups what 32 callers in one
Python client get; the clients of Redis and NATS speak to sockets without a library.
"""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio

from orion_etcd_pb.v1 import etcd_pb2 as etcd_pb
from orion_registry.core.frames import Beat
from orion_registry.core.selector import Selector
from orion_registry.wire.requests import encode_agent_frame, encode_selector
from orion_registry_pb.v1 import registry_pb2
from tests.bench.durable import DISK
from tests.bench.etcd import GRANT, KEEP_ALIVE, PUT, RANGE, WATCH, Etcd, etcd_version, put_request
from tests.bench.figures import Figure
from tests.bench.fleet import change_request, register
from tests.bench.numbers import NUMBER
from tests.bench.peers import Foreign, peer
from tests.bench.processes import LoadProcess, Server, registry
from tests.bench.setting import Setting

SERVICE = "/orion.registry.v1.RegistryService"
FOUND, OTHERS = 10, 90
CONCURRENCY = 32
SERVICE_SIZE = 330
"""Bytes of a service on our wire: what the peers keep for each."""
AGENTS, RATE = 200, 2_000
LEASE_S = 60

Measure = Callable[[float], Awaitable[tuple[float, float]]]
"""One round of so many seconds: CPU for each, and how many a second."""
Told = Callable[[], Awaitable[dict[str, float]]]
"""One round of changes: when watchers were told, see `tests.bench.watching`."""


async def measure(setting: Setting) -> list[Figure]:
    """The figures lookup-PEER, beat-PEER and watch-etcd."""
    async with contextlib.AsyncExitStack() as stack:
        keep = await stack.enter_async_context(etcd())
        redis, nats = await stack.enter_async_context(peer("redis")), await stack.enter_async_context(peer("nats"))
        loads = {name: await stack.enter_async_context(LoadProcess()) for name in ("etcd", "redis", "nats")}
        lookups = {"registry": await _our_lookup(setting)}
        beats = {"registry": await _our_beat(setting)}
        if keep is not None:
            lookups["etcd"] = await _etcd_lookup(setting, keep)
            beats["etcd"] = await _etcd_beat(setting, keep, loads["etcd"])
        if redis is not None:
            order = {"connections": AGENTS, "agents": FOUND + OTHERS, "found": FOUND, "size": SERVICE_SIZE}
            await loads["redis"].do(do="redis", part="fill", address=redis.address, **order)
            lookups["redis"] = _foreign(setting, redis, loads["redis"], "calls", do="redis", part="lookup")
            beats["redis"] = _foreign(setting, redis, loads["redis"], "messages", do="redis", part="beats", rate=RATE)
        if nats is not None:
            order = {"agents": FOUND + OTHERS, "found": FOUND, "size": SERVICE_SIZE}
            await loads["nats"].do(do="nats", part="fill", address=nats.address, **order)
            lookups["nats"] = _foreign(setting, nats, loads["nats"], "calls", do="nats", part="lookup")
        figures = await _in_turn(setting, "lookup", "a lookup of 10 of 100", "us a call", lookups, speed="calls/s")
        figures += await _in_turn(setting, "beat", "a beat", "us a beat", beats)
    return figures + await _watching(setting)


async def _in_turn(
    setting: Setting, name: str, what: str, unit: str, sides: dict[str, Measure], speed: str = ""
) -> list[Figure]:
    """Rounds of all in turn; a figure for each peer."""
    peers = [side for side in sides if side != "registry"]
    cpu = {each: Figure(name=f"{name}-{each}", what=f"{what}: CPU", unit=unit, beside=each) for each in peers}
    fast = {each: Figure(name=f"{name}-{each}-speed", what=what, unit=speed, beside=each) for each in peers}
    for number in range(-1, setting.rounds):
        seconds = setting.seconds if number >= 0 else 0.5  # the first round warms up
        took = {side: await run(seconds) for side, run in sides.items()}
        for each in peers if number >= 0 else ():
            cpu[each].add(took["registry"][0], took[each][0])
            fast[each].add(took["registry"][1], took[each][1])
    return [figure for each in peers for figure in ([cpu[each], fast[each]] if speed else [cpu[each]])]


@contextlib.asynccontextmanager
async def etcd() -> AsyncIterator[Etcd | None]:
    """One node of its own, or None and a line that says what is missing."""
    if not etcd_version():
        print("peers: etcd is not installed (Debian: apt-get install etcd-server): left out", flush=True)
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="orion-bench-", dir=DISK) as directory:
        async with Etcd(Path(directory)) as server:
            print(f"peers: beside {etcd_version()}", flush=True)
            yield server


def _foreign(setting: Setting, server: Foreign, load: LoadProcess, counted: str, **order: Any) -> Measure:
    return lambda seconds: replace(setting, load=load).cost(
        server, counted, concurrency=CONCURRENCY, seconds=seconds, **order
    )


def _grpc(setting: Setting, server: Server | Etcd, path: str, request: bytes) -> Measure:
    order: dict[str, Any] = {"do": "unary", "path": path, "request": request.hex(), "concurrency": CONCURRENCY}
    return lambda seconds: setting.cost(server, "calls", seconds=seconds, **order)


async def _our_lookup(setting: Setting) -> Measure:
    await register(setting.registry.address, [f"found-{number}" for number in range(FOUND)], "search")
    await register(setting.registry.address, [f"other-{number}" for number in range(OTHERS)], "draw")
    selector = encode_selector(Selector(capabilities=("search",), include_not_ready=True))
    request = registry_pb2.DiscoverServicesRequest(selector=selector)
    return _grpc(setting, setting.registry, f"{SERVICE}/DiscoverServices", request.SerializeToString())


async def _our_beat(setting: Setting) -> Measure:
    agents = await register(setting.registry.address, [f"beating-{number}" for number in range(AGENTS)], "beat")
    first = [agent.hello.hex() for agent in agents]
    path, address = f"{SERVICE}/Heartbeat", setting.registry.address
    await setting.load.do(do="open", address=address, path=path, first=first, beat="")
    messages = [encode_agent_frame(Beat(seq=1_000)).SerializeToString().hex()]
    return lambda seconds: setting.cost(
        setting.registry, "messages", do="write", messages=messages, rate=RATE, seconds=seconds
    )


async def _etcd_lookup(setting: Setting, server: Etcd) -> Measure:
    """Ten keys under a prefix, each with a value of a service's size, read linearizably, as etcd does it by default."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        put: Any = channel.unary_unary(PUT)
        for number in range(FOUND):
            await put(put_request(b"/search/%d" % number, b"s" * SERVICE_SIZE))
        for number in range(OTHERS):
            await put(put_request(b"/draw/%d" % number, b"s" * SERVICE_SIZE))
    request = etcd_pb.RangeRequest(key=b"/search/", range_end=b"/search0")
    return _grpc(setting, server, RANGE, request.SerializeToString())


async def _etcd_beat(setting: Setting, server: Etcd, load: LoadProcess) -> Measure:
    """A lease for each agent, kept alive on a stream and a connection of its own; each is answered."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        grant: Any = channel.unary_unary(GRANT)
        answers = [await grant(etcd_pb.LeaseGrantRequest(ttl=LEASE_S).SerializeToString()) for _ in range(AGENTS)]
    leases = [etcd_pb.LeaseGrantResponse.FromString(answer).id for answer in answers]
    messages = [etcd_pb.LeaseKeepAliveRequest(id=lease).SerializeToString().hex() for lease in leases]
    await load.do(do="open", address=server.address, path=KEEP_ALIVE, first=messages, beat="")
    return lambda seconds: replace(setting, load=load).cost(
        server, "messages", do="write", messages=messages, rate=RATE, seconds=seconds
    )


CHANGES = 50


async def _watching(setting: Setting) -> list[Figure]:
    """A change that is synced to disk, told to one watcher: UpdateService beside Put, from the request on."""
    figures = [
        Figure(name=f"watch-etcd-{share}", what=f"a durable change to a watcher: {share}", unit="ms", beside="etcd")
        for share in ("p50", "p99")
    ]
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="orion-bench-", dir=DISK))
        daemon = await stack.enter_async_context(registry(Path(directory)))
        ours = await ours_watched(await stack.enter_async_context(LoadProcess()), daemon)
        keep = await stack.enter_async_context(etcd())
        theirs = None
        if keep is not None:
            theirs = await etcd_watched(await stack.enter_async_context(LoadProcess()), keep)
        for number in range(-1, setting.rounds):
            took = await ours(), await theirs() if theirs is not None else {}
            for figure in figures if number >= 0 else ():
                key = f"{figure.name.rpartition('-')[2]}_ms"
                figure.add(took[0][key], took[1].get(key))
    return figures


async def ours_watched(load: LoadProcess, daemon: Server, watchers: int = 1) -> Told:
    """Opens watchers of everything; returns a round of changes."""
    selector = encode_selector(Selector(include_not_ready=True))
    watch = registry_pb2.WatchServicesRequest(selector=selector).SerializeToString().hex()
    order = {"address": daemon.address, "path": f"{SERVICE}/WatchServices", "request": watch}
    await load.do(do="watch", watchers=watchers, open_end=False, **order)
    change = await change_request(daemon.address, NUMBER.decode())
    return lambda: _changes(load, daemon.address, f"{SERVICE}/UpdateService", change)


async def etcd_watched(load: LoadProcess, server: Etcd, watchers: int = 1) -> Told:
    """The same at etcd."""
    create = etcd_pb.WatchCreateRequest(key=b"/changing/", range_end=b"/changing0")
    watch = etcd_pb.WatchRequest(create_request=create).SerializeToString().hex()
    await load.do(do="watch", address=server.address, path=WATCH, request=watch, watchers=watchers, open_end=True)
    value = NUMBER + b"s" * (SERVICE_SIZE - len(NUMBER))
    return lambda: _changes(load, server.address, PUT, put_request(b"/changing/one", value))


async def _changes(load: LoadProcess, address: str, path: str, request: bytes) -> dict[str, float]:
    return await load.do(do="changes", address=address, path=path, request=request.hex(), count=CHANGES, pause_s=0.002)
