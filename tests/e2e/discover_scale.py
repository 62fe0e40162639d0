"""Must-show 9, first half: DiscoverServices of 10 among 10,000 services takes at most 1.5 times that of 10 among 10.

Two daemons, in processes of their own, hold 10 and 10,000 STATIC services. Calls go to them in turn, so that whatever
else the machine does hits both alike; medians are compared. Two readings: `match` is a selector that 10 of the 10,000
satisfy; `page` is page_size=10 of a selector that all satisfy. Exit code 1 if a ratio is above --limit.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from examples.demo.processes import Nursery
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.e2e.fleet import raise_open_files_limit, secret_of, start_daemon
from tests.e2e.raw_stream import connected, service

FOUND = 10
AT_ONCE = 64

READINGS = {
    "match": pb.DiscoverServicesRequest(selector=sv.Selector(capabilities=["rare"])),
    "page": pb.DiscoverServicesRequest(selector=sv.Selector(capabilities=["common"]), page_size=FOUND),
}


async def fill(stub: Any, services: int) -> None:
    """Registers so many services, ten of them with the rare capability, spread evenly."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        capabilities = ["common", f"own-{number}"] + ["rare"] * (number % (services // FOUND) == 0)
        info = service(
            f"agent-{number:05d}", capabilities=capabilities, tags=["a", "b"], liveness=sv.LIVENESS_MODE_STATIC
        )
        async with gate:
            await stub.RegisterService(pb.RegisterServiceRequest(service=info, secret=secret_of(info.agent_id)))

    await asyncio.gather(*map(one, range(services)))


async def measure(services: int, calls: int) -> dict[str, tuple[float, float]]:
    """Medians in seconds of (10 among 10, 10 among `services`) by reading."""
    with tempfile.TemporaryDirectory() as directory:
        async with Nursery(Path(directory)) as nursery:
            small_at, large_at = await start_daemon(nursery), await start_daemon(nursery, name="large")
            async with connected(small_at) as small, connected(large_at) as large:
                await fill(small, FOUND)
                await fill(large, services)
                return {name: await in_turn(small, large, request, calls) for name, request in READINGS.items()}


async def in_turn(small: Any, large: Any, request: pb.DiscoverServicesRequest, calls: int) -> tuple[float, float]:
    """Medians of so many calls to each, taken in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(calls):
        for stub, taken in zip((small, large), times, strict=True):
            began = time.perf_counter()
            answer = await stub.DiscoverServices(request)
            taken.append(time.perf_counter() - began)
            assert len(answer.services) == FOUND
    return median(times[0]), median(times[1])


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--limit", type=float, default=1.5)
    options = parser.parse_args()
    raise_open_files_limit()
    measured = asyncio.run(measure(options.services, options.calls))
    worst = 0.0
    for name, (small, large) in measured.items():
        worst = max(worst, large / small)
        times = f"10 of 10 {small * 1e3:.3f} ms, 10 of {options.services} {large * 1e3:.3f} ms"
        print(f"{name}: {times}, ratio {large / small:.2f}")
    print("passed" if worst <= options.limit else "FAILED")
    return 0 if worst <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
