"""Durable, must-show 2: a restart of the daemon kills nobody.

    python -m tests.e2e.restart

(a) 10,000 services are stored, some STATIC, some with a short ttl. The daemon is killed and started: from exec to the
first DiscoverServices that is answered it may take 3 s; before, the answer is NOT_SERVING, never part of the services.
The first answer holds all of them. STATIC ones are HEALTHY at once, the others UNKNOWN(RESTORED), and nobody is
declared dead within 10 s.
(b) 1,000 agents with live streams, each on its own connection, and a watcher. After SIGKILL, and after SIGTERM, all are
HEALTHY again within 10 s, nobody registered anew, nobody was removed, listed twice or told to be UNHEALTHY; the watcher
resumed, was told RESYNC once, and shows what a fresh snapshot shows.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from examples.demo.processes import Child, Nursery, free_port
from orion_registry.errors import Reason
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.e2e.durable import everything, stored_part
from tests.e2e.fleet import Fleet, daemon_address, raise_open_files_limit
from tests.e2e.raw_stream import connected, error_of, look, register, service
from tests.e2e.raw_watch import ALL, RawWatch, snapshot

SERVING_S = 3.0
SPARED_S = 10.0
"""How long nobody may be declared dead."""
BACK_S = 10.0
POLL_S = 0.005
STATIC_EVERY, TTL_EVERY = 20, 7
TTL_S = 1.0

WATCHING = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))


class Host:
    """A daemon that is started again and again, on one port and one data directory."""

    def __init__(self, nursery: Nursery, directory: Path, *options: str) -> None:
        self._nursery = nursery
        # By default this measures the way back, not the door.
        self._options = options or ("--admission-rate", "1000000")
        self._data = directory / "data"
        self._port = free_port()
        self._lives = 0
        self.daemon: Child
        self.address = f"127.0.0.1:{self._port}"

    async def start(self) -> float:
        """Starts it; returns the time before. It may not serve yet."""
        self._lives += 1
        before = time.monotonic()
        place = ("--listen", self.address, "--data-dir", str(self._data))
        arguments = ("-m", "orion_registry", "serve", "--http", "off", *place, *self._options, "--log-format", "json")
        self.daemon = await self._nursery.start(f"daemon-{self._lives}", *arguments)
        return before

    async def end(self, how: signal.Signals) -> float:
        """Ends it; returns how long that took."""
        before = time.monotonic()
        os.kill(self.daemon.pid, how)
        await self.daemon.stop()
        return time.monotonic() - before

    def log_times(self) -> dict[str, float]:
        """When it said what first, by the wall clock."""
        told: dict[str, float] = {}
        for line in self.daemon.log.read_text().splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                told.setdefault(entry["message"], datetime.fromisoformat(entry["timestamp"]).timestamp())
        return told


# (a) What is stored comes back.


@dataclass(slots=True)
class Start:
    """One start, in seconds after exec."""

    began_s: float = 0.0
    inside_s: float = 0.0
    cpu_s: float = 0.0
    serving_s: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    dead_s: float | None = None
    faults: list[str] = field(default_factory=list)


async def fill(address: str, services: int) -> None:
    """Registers so many services, each of an agent of its own."""
    async with connected(address) as stub:
        numbers = iter(range(services))

        async def lane() -> None:
            for number in numbers:
                await register(stub, stored_service(number))

        await asyncio.gather(*(lane() for _ in range(64)))


def stored_service(number: int) -> sv.ServiceInfo:
    """One of 10,000: of a usual size, most of them alive by their stream."""
    fields: dict[str, Any] = {}
    if number % STATIC_EVERY == 0:
        fields["liveness"] = sv.LIVENESS_MODE_STATIC
    elif number % TTL_EVERY == 0:
        fields["liveness"], fields["liveness_ttl"] = sv.LIVENESS_MODE_TTL, Duration(seconds=int(TTL_S))
    info = service(f"agent-{number}", tags=["stored", f"n-{number % 50}"], version="1.2.3", **fields)
    info.retention.FromSeconds(3_600)
    info.capabilities.extend(["work.do", f"work.{number % 100}"])
    info.metadata.update({"number": number, "model": "large", "limits": {"tokens": 4_096, "parallel": [1, 2, 4]}})
    return info


async def restored(host: Host, services: int, spared_s: float, patience_s: float) -> Start:
    """Kills the daemon that holds so many services, starts it, looks at it for `patience_s`."""
    async with connected(host.address) as stub:
        before = {info.service_id: stored_part(info, info) async for info in everything(stub)}
    await host.end(signal.SIGKILL)
    start = Start()
    wall = time.time()
    exec_at = await host.start()
    first = await first_answer(host, start)
    start.serving_s = time.monotonic() - exec_at
    start.cpu_s = cpu_s(host.daemon.pid)
    told = host.log_times()
    start.began_s, start.inside_s = told["starting"] - wall, told["ready"] - told["starting"]
    if first.not_ready_count + len(first.services) < 1 or len(before) != services:
        start.faults.append(f"the first answer: {first}; {len(before)} of {services} were stored")
    async with grpc.aio.insecure_channel(host.address, options=WATCHING) as channel:
        stub = RegistryServiceStub(channel)
        found = {info.service_id: info async for info in everything(stub)}
        after = {service_id: stored_part(info, info) for service_id, info in found.items()}
        if after != before:
            wrong = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
            start.faults.append(f"{len(wrong)} services are not what they were")
        await watch_them(stub, start, exec_at + start.serving_s, patience_s)
    if start.dead_s is not None and start.dead_s < spared_s:
        start.faults.append(f"somebody was declared dead after {start.dead_s:.1f} s")
    return start


async def first_answer(host: Host, start: Start) -> pb.DiscoverServicesResponse:
    """Asks until it is answered; notes how it is refused before."""
    request = pb.DiscoverServicesRequest(selector=ALL, page_size=1)
    await accepting(host)
    async with grpc.aio.insecure_channel(host.address, options=WATCHING) as channel:
        stub: Any = RegistryServiceStub(channel)
        health: Any = health_pb2_grpc.HealthStub(channel)
        while True:
            probe = (await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)).status
            start.refused[f"health {health_pb2.HealthCheckResponse.ServingStatus.Name(probe)}"] += 1
            try:
                answer: pb.DiscoverServicesResponse = await stub.DiscoverServices(request, wait_for_ready=True)
            except grpc.aio.AioRpcError as failure:
                error = error_of(failure)
                start.refused[error.reason.name] += 1
                if error.reason is not Reason.NOT_SERVING or host.daemon.exit_code is not None:
                    raise RuntimeError(f"{error}\n{host.daemon.log_tail()}") from failure
                await asyncio.sleep(POLL_S)
                continue
            return answer


def cpu_s(pid: int) -> float:
    """CPU that a process has used: what a busy machine does not change."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def accepting(host: Host, timeout_s: float = 20.0) -> None:
    """Waits until the port is open, without gRPC's back-off."""
    deadline = time.monotonic() + timeout_s
    ip, _, port = host.address.rpartition(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(ip, int(port))
            writer.close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{host.address} is not open\n{host.daemon.log_tail()}") from error
            await asyncio.sleep(POLL_S)
        else:
            return


async def watch_them(stub: Any, start: Start, served_at: float, patience_s: float) -> None:
    """What a watcher is told up to `patience_s` after serving: nobody speaks for these services, nobody is dead yet."""
    watch = RawWatch(stub)
    expected = {sv.LIVENESS_MODE_STATIC: ("HEALTHY", "STATIC")}
    wrong: Counter[tuple[str, str]] = Counter()

    def seen(info: sv.ServiceInfo, now: float) -> None:
        if info.status == sv.SERVICE_STATUS_UNHEALTHY:
            if start.dead_s is None:
                start.dead_s = now - served_at
        elif look(info) != expected.get(info.liveness, ("UNKNOWN", "RESTORED")):
            wrong[look(info)] += 1

    watch.seen = seen
    watch.removed = lambda event: start.faults.append(f"{event.service.service_id} was removed")
    watch.open()
    await watch.until(watch.bookmarked.is_set)
    with suppress(TimeoutError):
        await watch.until(lambda: start.dead_s is not None, served_at + patience_s - time.monotonic())
    start.faults += [f"{count} services were {status}({reason})" for (status, reason), count in wrong.items()]
    if not await settled(stub, watch):
        start.faults.append("the watcher's fold differs from a snapshot")
    await watch.cut()


async def settled(stub: Any, watch: RawWatch, within_s: float = 5.0) -> bool:
    """Whether a watcher comes to show what a fresh snapshot shows; edges may be under way."""
    deadline = time.monotonic() + within_s
    while watch.fold() != await snapshot(stub):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


# (b) Those who are alive stay alive.


@dataclass(slots=True)
class Return:
    """What one restart was for a live fleet, in seconds after the signal; cpu_s: the new daemon's until then."""

    how: str
    ended_s: float = 0.0
    serving_s: float = 0.0
    half_s: float = 0.0
    all_s: float = 0.0
    cpu_s: float = 0.0
    back: int = 0
    faults: list[str] = field(default_factory=list)

    def row(self) -> str:
        """One line of the table."""
        times = f"{self.ended_s:8.2f} {self.serving_s:10.2f} {self.half_s:13.2f} {self.all_s:12.2f}"
        return f"{self.how:8s} {times} {self.back:8d} {len(self.faults):7d}"


HEADER = "signal    gone s  serving s  half back s  all back s  HEALTHY  faults"


async def returns(
    host: Host, stub: Any, watch: RawWatch, agents: int, how: signal.Signals, *, patience_s: float = 3 * BACK_S
) -> Return:
    """Restarts the daemon under a live fleet; waits `patience_s` for all to come back."""
    result = Return(how.name)
    before = {info.service_id: info async for info in everything(stub)}
    highest = max(info.epoch for info in before.values())
    healthy: dict[str, float] = {}
    dead: Counter[tuple[str, str]] = Counter()
    resyncs = watch.resyncs

    def seen(info: sv.ServiceInfo, now: float) -> None:
        if info.status == sv.SERVICE_STATUS_HEALTHY:
            healthy.setdefault(info.service_id, now)
        elif info.status == sv.SERVICE_STATUS_UNHEALTHY:
            dead[look(info)] += 1

    watch.removed = lambda event: result.faults.append(f"{event.service.service_id} was removed: {event.removal}")
    watch.seen = seen
    signalled = time.monotonic()
    result.ended_s = await host.end(how)
    healthy.clear()
    await host.start()
    await daemon_address(host.daemon)
    result.serving_s = time.monotonic() - signalled
    await watch.cut()
    watch.open()
    try:
        await watch.until(lambda: len(healthy) == agents, timeout_s=patience_s)
    except TimeoutError:
        result.faults.append(f"{agents - len(healthy)} agents did not come back")
    result.cpu_s = cpu_s(host.daemon.pid)
    watch.seen, watch.removed = None, None
    times = sorted(healthy.values()) or [signalled]
    result.half_s, result.all_s = times[len(times) // 2] - signalled, times[-1] - signalled
    result.faults += [f"{count} times {status}({reason})" for (status, reason), count in dead.items()]
    if watch.resyncs != resyncs + 1:
        result.faults.append(f"the watcher was told RESYNC {watch.resyncs - resyncs} times")
    await same_services(stub, watch, before, highest, result)
    return result


async def same_services(
    stub: Any, watch: RawWatch, before: dict[str, sv.ServiceInfo], highest: int, result: Return
) -> None:
    """Every service is there, once, as it was registered, with a new epoch, and the watcher shows the same."""
    if not await settled(stub, watch):
        result.faults.append("the watcher's fold differs from a snapshot")
    after = [info async for info in everything(stub)]
    result.back = sum(info.status == sv.SERVICE_STATUS_HEALTHY for info in after)
    if sorted(info.service_id for info in after) != sorted(before):
        result.faults.append(f"{len(before)} services became {len(after)}")
    changed = [info for info in after if stored_part(info, info) != stored_part(before[info.service_id], info)]
    if changed:
        result.faults.append(f"{len(changed)} were registered anew, such as {changed[0].service_id}")
    if old := [info for info in after if info.epoch <= highest]:
        result.faults.append(f"{len(old)} epochs are not above {highest}, that of earlier lives")


# Both.


async def restore(services: int, spared_s: float = SPARED_S, patience_s: float = 60.0) -> Start:
    """Part (a)."""
    with tempfile.TemporaryDirectory() as directory:
        async with Nursery(Path(directory)) as nursery:
            host = Host(nursery, Path(directory))
            await host.start()
            await daemon_address(host.daemon)
            await fill(host.address, services)
            return await restored(host, services, spared_s, patience_s)


async def reconnect(agents: int, restarts: int) -> list[Return]:
    """Part (b): so many restarts by each signal, under one fleet. Each prints its line."""
    with tempfile.TemporaryDirectory() as directory:
        async with Nursery(Path(directory)) as nursery:
            host = Host(nursery, Path(directory))
            await host.start()
            await daemon_address(host.daemon)
            await Fleet.start(nursery, "fleet", host.address, agents, "--reconnect")
            async with grpc.aio.insecure_channel(
                host.address, options=(*WATCHING, ("grpc.initial_reconnect_backoff_ms", 100))
            ) as channel:
                stub = RegistryServiceStub(channel)
                watch = RawWatch(stub)
                watch.open()
                await watch.until(watch.bookmarked.is_set)
                print(HEADER, flush=True)
                results = []
                for how in (signal.SIGKILL, signal.SIGTERM) * restarts:
                    result = await returns(host, stub, watch, agents, how)
                    if result.all_s >= BACK_S:
                        result.faults.append(f"all were back after {result.all_s:.1f} s")
                    print(result.row(), flush=True)
                    results.append(result)
                    await asyncio.sleep(1.0)
                await watch.cut()
                return results


def busy() -> str:
    """How busy the machine is: with a load far above its cores the times say little."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--restarts", type=int, default=2, help="by each signal")
    options = parser.parse_args()
    raise_open_files_limit()
    start = asyncio.run(restore(options.services))
    if start.serving_s >= SERVING_S:
        start.faults.append(f"it served after {start.serving_s:.2f} s")
    print(f"(a) {options.services} services, SIGKILL, seconds after exec; {busy()}")
    print(f"    imports done                 {start.began_s:6.2f}")
    print(f"    start inside the daemon      {start.inside_s:6.2f}")
    print(f"    CPU used until then          {start.cpu_s:6.2f}")
    print(f"    first DiscoverServices       {start.serving_s:6.2f}   limit {SERVING_S:g}")
    dead = "never" if start.dead_s is None else f"{start.dead_s:6.2f}"
    print(f"    first declared dead          {dead}   after serving; at least {SPARED_S:g}")
    print(f"    answers until then           {dict(start.refused)}")
    print(f"(b) {options.agents} agents with live streams, seconds after the signal; limit {BACK_S:g}; {busy()}")
    results = asyncio.run(reconnect(options.agents, options.restarts))
    faults = [*start.faults, *(f"{result.how}: {fault}" for result in results for fault in result.faults)]
    for fault in faults[:10]:
        print("fault:", fault)
    print("FAILED" if faults else "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
