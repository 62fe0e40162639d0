"""python -m tests.bench.route_alone: Route without gRPC: what its commands cost the thread that takes them.

A turn selects a batch and releases the one before, on the registry of `select`: 10 services of 100 match. Told is the
CPU time from the moment a message is there until its answer is handed over: the tenth least, and the median, of all.
"""

import argparse
import asyncio
import sys
import time
from typing import Any

import grpc.aio

from orion_registry.core.config import RegistryConfig
from orion_registry.core.model import Actor
from orion_registry.core.selector import Selector
from orion_registry.runtime.clock import SystemClock
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.balancer_service import BalancerService
from orion_registry.server.door import Door
from orion_registry.server.methods import BALANCER_METHODS
from orion_registry.server.registry_service import RegistryService
from orion_registry.server.route_stream import Route
from orion_registry.server.stream import Stream
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.entropy import SeededEntropy
from orion_registry.wire.requests import encode_selector
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1 import registry_pb2, service_pb2
from tests.bench.select import OTHERS, SELECTED

STATIC = service_pb2.LIVENESS_MODE_STATIC
WARM_UP = 20
"""Turns that are not counted."""


class FakeContext:
    """The caller, in place of grpc's context: takes each answer, and makes the next message of it."""

    def __init__(self, batch: int, turns: int) -> None:
        wanted = pb.SelectServiceRequest(selector=encode_selector(Selector(capabilities=("serve",))))
        self._selects = [pb.RouteCommand(id=number, select=wanted) for number in range(batch)]
        self._turns = turns
        self._held: list[str] = []
        self._answer = b""
        self._began = 0.0
        self.times: list[float] = []

    async def read(self) -> Any:
        """The next message."""
        if self._began:
            self.times.append(time.thread_time() - self._began)
            results = pb.RouteResponse.FromString(self._answer).results[len(self._held) :]
            self._held = [result.select.selections[0].selection_id for result in results]
        if len(self.times) == self._turns:
            return grpc.aio.EOF
        releases = (pb.ReleaseServiceRequest(selection_id=one, outcome=pb.CALL_OUTCOME_SUCCEEDED) for one in self._held)
        commands = [pb.RouteCommand(id=1_000 + place, release=one) for place, one in enumerate(releases)]
        data = pb.RouteRequest(commands=[*commands, *self._selects]).SerializeToString()
        self._began = time.thread_time()
        return data

    async def write(self, data: bytes) -> None:
        """An answer."""
        self._answer = data


async def measure(batch: int, turns: int) -> list[float]:
    """Seconds of each turn, in order of size."""
    coordinator = Coordinator(
        config=RegistryConfig(admission_rate=1e6), store=MemoryStore(), clock=SystemClock(), entropy=SeededEntropy(1)
    )
    await coordinator.start()
    registry, actor = RegistryService(coordinator), Actor(identity="")
    for number in range(SELECTED + OTHERS):
        info = service_pb2.ServiceInfo(
            agent_id=f"agent-{number}", service_name="calc", host="10.0.0.1", port=80, liveness=STATIC
        )
        info.capabilities.append("serve" if number < SELECTED else "draw")
        await registry.register(registry_pb2.RegisterServiceRequest(service=info), actor)
    (method,) = (method for method in BALANCER_METHODS if method.name == "Route")
    door = Door(lambda: True, lambda: coordinator.registry)
    context: Any = FakeContext(batch, turns + WARM_UP)
    await Route(BalancerService(coordinator), actor, Stream(method, door, door.check(method), context, actor)).run()
    await coordinator.stop()
    return sorted(context.times[WARM_UP:])


def main() -> int:
    """Prints a line for each batch."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.route_alone", description=__doc__)
    parser.add_argument("--selections", type=int, default=64_000, help="of each batch")
    options = parser.parse_args()
    for batch in (1, 32):
        times = asyncio.run(measure(batch, options.selections // batch))
        least, median = (times[int(len(times) * share)] * 1e6 / batch for share in (0.1, 0.5))
        print(f"{batch:>3} a message: {least:6.1f} us a selection with its release, median {median:.1f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
