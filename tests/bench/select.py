"""SelectService and Route beside bare echoes with messages of the same size; each selection is released again.

Judged is the server's CPU time, as in `unary`. A selection on Route counts its release too: 32 of each in a message.
"""

from orion_registry.core.selector import Selector
from orion_registry.wire.requests import encode_selector
from orion_registry_pb.v1 import balancer_pb2
from tests.bench.figures import Figure
from tests.bench.fleet import register
from tests.bench.setting import Setting

SELECTED, OTHERS = 10, 90
CONCURRENCY = 32
STREAMS = 4
"""Callers on Route streams: enough that the daemon never waits for them."""


async def measure(setting: Setting) -> list[Figure]:
    """The figures select, route-1 and route-32."""
    names = [f"slot-{number}" for number in range(SELECTED)]
    agents = await register(setting.registry.address, names, "serve")
    await register(setting.registry.address, [f"other-{number}" for number in range(OTHERS)], "draw")
    heartbeat = "/orion.registry.v1.RegistryService/Heartbeat"
    first = [agent.idle_hello.hex() for agent in agents]
    await setting.load.do(do="open", address=setting.registry.address, path=heartbeat, first=first, beat=agents[0].beat)
    selector = encode_selector(Selector(capabilities=("serve",)))
    request = balancer_pb2.SelectServiceRequest(selector=selector).SerializeToString().hex()
    figures = await _compare(setting, "select", "SelectService and ReleaseService", "select", request, CONCURRENCY)
    for batch in (1, 32):
        what = f"Route, {batch} selected and released a message"
        figures += await _compare(setting, f"route-{batch}", what, "route", request, STREAMS, batch)
    return figures


async def _compare(
    setting: Setting, name: str, what: str, do: str, request: str, concurrency: int, batch: int = 1
) -> list[Figure]:
    cpu = Figure(name=name, what=f"{what}: CPU", unit="us a selection", inverse=True)
    speed = Figure(name=f"{name}-speed", what=f"{what}: throughput", unit="selections/s")
    order = {"do": do, "request": request, "concurrency": concurrency, "batch": batch}
    for number in range(-1, setting.rounds):
        seconds = setting.seconds if number >= 0 else 0.5  # the first round warms up, and tells sizes to the echo
        ours = await setting.cost(setting.registry, "selections", echo=False, seconds=seconds, **order)
        reference = await setting.cost(setting.bare, "selections", echo=True, seconds=seconds, **order)
        if number >= 0:
            cpu.add(ours[0], reference[0])
            speed.add(ours[1], reference[1])
    return [cpu, speed]
