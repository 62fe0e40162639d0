"""Must-show 4: one SIGKILL of a process with 2,000 agents, compared with a bare grpc.aio server in the same run.

Each round kills a fleet of the bare server, then one of the daemon, each stream on its own connection. `bare` is the
time from the kill to the end of the bare server's last handler; `server` that to the daemon's last UNHEALTHY by its own
timestamps; `watch` that to the moment when a watcher in this process has been told of all of them. Then the watcher's
fold must equal DiscoverServices(include_not_ready). Exit code 1 if a round's watch / bare is above --limit.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from examples.demo.processes import Child, Nursery
from orion_registry_pb.v1 import service_pb2 as sv
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.e2e.fleet import Fleet, raise_open_files_limit, start_daemon
from tests.e2e.raw_watch import RawWatch, snapshot

SETTLE_S = 2.0
"""Of beating, before the kill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round measured, in seconds after the kill."""

    bare_s: float
    server_s: float
    first_s: float
    watcher_s: float
    fold_equal: bool

    @property
    def ratio(self) -> float:
        """The watcher's last to the bare server's own last."""
        return self.watcher_s / self.bare_s

    def row(self, number: int) -> str:
        """One line of the table."""
        times = (
            f"{self.bare_s * 1e3:9.0f} {self.first_s * 1e3:9.0f} {self.server_s * 1e3:9.0f} {self.watcher_s * 1e3:9.0f}"
        )
        return f"{number:5d} {times} {self.ratio:9.2f}   {'equal' if self.fold_equal else 'DIFFERS'}"


HEADER = "round  bare ms  first ms server ms watch ms watch/bare   fold"


async def measure(agents: int, rounds: int) -> list[Round]:
    """All rounds; each prints its line."""
    with tempfile.TemporaryDirectory() as directory:
        async with Nursery(Path(directory)) as nursery:
            address = await start_daemon(nursery)
            bare = await nursery.start_ready("bare", "-m", "tests.e2e.mass_kill_bare")
            async with grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
                stub = RegistryServiceStub(channel)
                watch = RawWatch(stub)
                watch.open()
                measured = []
                print(HEADER, flush=True)
                for number in range(1, rounds + 1):
                    bare_s = await kill_bare(nursery, bare, agents, f"bare-{number}")
                    result = await kill_daemon(nursery, address, stub, watch, agents, f"fleet-{number}", bare_s)
                    measured.append(result)
                    print(result.row(number), flush=True)
                await watch.cut()
                return measured


async def kill_bare(nursery: Nursery, bare: Child, agents: int, name: str) -> float:
    """Seconds from the kill to the end of the bare server's last handler."""
    fleet = await Fleet.start(nursery, name, bare.ready["address"], agents, "--bare")
    await asyncio.sleep(SETTLE_S)
    killed = fleet.kill()
    ended, last = 0, 0.0
    for _ in range(200):
        await asyncio.sleep(0.1)
        bare.write_json({})
        told = await bare.read_json(10.0)
        ended, last = ended + told["ended"], max(last, told["last"])
        if ended == agents:
            return float(last - killed)
    raise RuntimeError(f"the bare server saw {ended} of {agents} streams end")


async def kill_daemon(
    nursery: Nursery, address: str, stub: object, watch: RawWatch, agents: int, name: str, bare_s: float
) -> Round:
    """One kill of agents of the daemon."""
    fleet = await Fleet.start(nursery, name, address, agents)
    ready = {sv.SERVICE_STATUS_HEALTHY}
    await watch.until(lambda: len(watch.services) == agents and {s.status for s in watch.services.values()} == ready)
    await asyncio.sleep(SETTLE_S)
    dead: dict[str, float] = {}
    told: list[sv.ServiceInfo] = []

    def seen(info: sv.ServiceInfo, now: float) -> None:
        if info.status == sv.SERVICE_STATUS_UNHEALTHY and info.service_id not in dead:
            dead[info.service_id] = now
            told.append(info)

    watch.seen = seen
    killed_wall = time.time()
    killed = fleet.kill()
    await watch.until(lambda: len(dead) == agents)
    watch.seen = None
    return Round(
        bare_s=bare_s,
        server_s=max(info.status_reasons[0].since.ToNanoseconds() for info in told) / 1e9 - killed_wall,
        first_s=min(dead.values()) - killed,
        watcher_s=max(dead.values()) - killed,
        fold_equal=watch.fold() == await snapshot(stub),
    )


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1.5, help="most that watch/bare may be in any round")
    options = parser.parse_args()
    raise_open_files_limit()
    measured = asyncio.run(measure(options.agents, options.rounds))
    worst = max(result.ratio for result in measured)
    passed = worst <= options.limit and all(result.fold_equal for result in measured)
    print(f"{'passed' if passed else 'FAILED'}: {options.agents} agents, worst {worst:.2f}, limit {options.limit:g}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
