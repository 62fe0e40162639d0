"""DiscoverServices (10 results) and GetService beside a bare echo of the same sizes; what is found beats meanwhile.

Judged is the server's CPU time for a call: it is what a call costs, hardly depends on how fast the client or how busy
the machine is, and one event loop serves 1 / CPU calls a second. Throughput of one client with 32 callers is told too.
"""

import grpc.aio

from orion_registry.core.frames import Beat
from orion_registry.core.selector import Selector
from orion_registry.wire.requests import encode_agent_frame, encode_selector
from orion_registry_pb.v1 import registry_pb2
from tests.bench.echo import UNARY
from tests.bench.figures import Figure
from tests.bench.fleet import register
from tests.bench.setting import Setting

SERVICE = "/orion.registry.v1.RegistryService"
FOUND, OTHERS = 10, 90
CONCURRENCY = 32


async def measure(setting: Setting) -> list[Figure]:
    """The figures discover and get."""
    names = [f"found-{number}" for number in range(FOUND)]
    agents = await register(setting.registry.address, names, "search")
    await register(setting.registry.address, [f"other-{number}" for number in range(OTHERS)], "draw")
    first = [agent.hello.hex() for agent in agents]
    beat = encode_agent_frame(Beat(seq=1)).SerializeToString().hex()
    path = f"{SERVICE}/Heartbeat"
    await setting.load.do(do="open", address=setting.registry.address, path=path, first=first, beat=beat)
    selector = encode_selector(Selector(capabilities=("search",)))
    discover = registry_pb2.DiscoverServicesRequest(selector=selector).SerializeToString()
    get = registry_pb2.GetServiceRequest(service_id=agents[0].service_id).SerializeToString()
    figures = await _compare(setting, "discover", "DiscoverServices, 10 of 100", "DiscoverServices", discover)
    return figures + await _compare(setting, "get", "GetService", "GetService", get)


async def _compare(setting: Setting, name: str, what: str, method: str, request: bytes) -> list[Figure]:
    path = f"{SERVICE}/{method}"
    size = await answer_size(setting.registry.address, path, request)
    cpu = Figure(name=name, what=f"{what}: CPU", unit="us a call", inverse=True)
    speed = Figure(name=f"{name}-speed", what=f"{what}: throughput", unit="calls/s")
    order = {"do": "unary", "request": request.hex(), "concurrency": CONCURRENCY}
    for number in range(-1, setting.rounds):
        seconds = setting.seconds if number >= 0 else 0.5  # the first round warms up
        ours = await setting.cost(setting.registry, "calls", path=path, seconds=seconds, **order)
        reference = await setting.cost(setting.bare, "calls", path=f"{UNARY}/{size}", seconds=seconds, **order)
        if number >= 0:
            cpu.add(ours[0], reference[0])
            speed.add(ours[1], reference[1])
    return [cpu, speed]


async def answer_size(address: str, path: str, request: bytes) -> int:
    """Bytes of the registry's answer: the echo sends as many."""
    async with grpc.aio.insecure_channel(address) as channel:
        answer: bytes = await channel.unary_unary(path)(request)  # type: ignore[misc, arg-type, var-annotated, unused-ignore]
        return len(answer)
