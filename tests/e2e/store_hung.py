"""Must-show 10, first half: the store hangs for 10 s. Health and discovery must not notice, and no write may get lost.

200 agents beat from a second process. Before, while the store hangs, and after: the time of 10 beats until their ack,
and of DiscoverServices, again and again. While it hangs, single agents in processes of their own are killed with
SIGKILL, a watcher notes when it sees it; and writers try to register, update, unregister and say goodbye. Exit code 1
unless

  beats, discovery   median while hung <= --limit times the median before
  kills              each seen in under 100 ms
  writes             each refused with UNAVAILABLE/STORE_DOWN and RetryInfo: the first after 3 s, later ones at once
  after the release  every write has happened exactly once, also those that were tried again with the same request_id
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import grpc.aio
from google.protobuf.field_mask_pb2 import FieldMask

from examples.demo.processes import Nursery
from orion_registry.errors import Reason
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.e2e.fleet import Fleet, raise_open_files_limit, secret_of
from tests.e2e.raw_stream import RawStream, connected, error_of, register, renewed, service
from tests.e2e.raw_watch import RawWatch, snapshot

BEATS = 10
"""Of one measurement: the registry acknowledges every 10th."""

PACE_S = 0.02
"""Between two measurements."""

SOON_S = 0.5
"""What counts as refused at once."""


@dataclass(slots=True)
class Findings:
    """What a run found."""

    beats: dict[str, list[float]] = field(default_factory=dict)
    discoveries: dict[str, list[float]] = field(default_factory=dict)
    kills_s: list[float] = field(default_factory=list)
    refusals: list[tuple[float, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def check(self, holds: bool, what: str) -> None:
        """Notes what does not hold."""
        if not holds:
            self.faults.append(what)

    def ratio(self, times: dict[str, list[float]]) -> float:
        """Median while hung to median before, or after where that is more: others may have kept the machine busy."""
        return median(times["hung"]) / max(median(times[phase]) for phase in ("before", "after") if phase in times)


class Run:
    """One run against one daemon."""

    def __init__(self, nursery: Nursery, daemon: Any, stub: Any, hang_s: float, kills: int) -> None:
        self._nursery = nursery
        self._daemon = daemon
        self._stub = stub
        self._hang_s = hang_s
        self._kills = kills
        self._told: Counter[tuple[str, bool]] = Counter()
        self.found = Findings()

    async def tell(self, command: str) -> None:
        """Commands the daemon's store."""
        self._daemon.write_json({"do": command})
        await self._daemon.read_json(5.0)

    async def run(self) -> Findings:
        """The whole story."""
        watch = RawWatch(self._stub)
        watch.open()
        await watch.bookmarked.wait()
        victims = [
            await Fleet.start(self._nursery, f"victim-{n}", self._daemon.ready["address"], 1, "--prefix", f"victim-{n}")
            for n in range(self._kills)
        ]
        writers = Writers(self._stub, self.found)
        await writers.prepare()
        stream = RawStream(self._stub)
        await stream.hello("measure")
        await self._measure("before", stream, min(3.0, self._hang_s))
        await self.tell("hang")
        hung = asyncio.create_task(self._measure("hung", stream, self._hang_s))
        writing = asyncio.create_task(writers.try_all(self._hang_s))
        await asyncio.sleep(0.3)
        for victim in victims:
            await self._kill(victim, watch)
        await hung
        await self.tell("release")
        await writing
        await writers.check_all()
        await self._measure("after", stream, 1.0)
        fresh = await snapshot(self._stub)
        self.found.check(watch.fold() == fresh, "the watcher's fold differs from a fresh snapshot")
        await watch.cut()
        return self.found

    async def _measure(self, phase: str, stream: RawStream, seconds: float) -> None:
        beats = self.found.beats[phase] = []
        discoveries = self.found.discoveries[phase] = []
        request = pb.DiscoverServicesRequest(selector=sv.Selector(capabilities=["work.do"]), page_size=10)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            for _ in range(BEATS):
                await stream.beat()
            await stream.frame("ack")
            beaten = time.monotonic()
            answer = await self._stub.DiscoverServices(request)
            discoveries.append(time.monotonic() - beaten)
            beats.append(beaten - began)
            self.found.check(len(answer.services) == 10, f"discovery found {len(answer.services)} of 10")
            await asyncio.sleep(PACE_S)

    async def _kill(self, victim: Fleet, watch: RawWatch) -> None:
        seen: list[float] = []

        def note(info: sv.ServiceInfo, now: float) -> None:
            if info.agent_id.startswith("victim") and info.status == sv.SERVICE_STATUS_UNHEALTHY:
                seen.append(now)

        watch.seen = note
        killed = victim.kill()
        await watch.until(lambda: bool(seen), timeout_s=10.0)
        watch.seen = None
        self.found.kills_s.append(seen[0] - killed)
        await asyncio.sleep(0.2)


class Writers:
    """Writes while the store hangs, and what must have become of them."""

    def __init__(self, stub: Any, found: Findings) -> None:
        self._stub = stub
        self._found = found
        self._refs: dict[str, sv.SessionRef] = {}
        self._registrations: list[pb.RegisterServiceRequest] = []
        self._leaving: RawStream | None = None

    async def prepare(self) -> None:
        """Registers what will be updated, unregistered, and left."""
        for name in ("updated", "unregistered", "left"):
            self._refs[name] = await register(self._stub, service("writer", name))
        self._leaving = RawStream(self._stub)
        [result] = await self._leaving.hello("writer", self._refs["left"])
        self._refs["left"] = renewed(self._refs["left"], result.epoch)

    async def try_all(self, seconds: float) -> None:
        """Writes of every kind at once, then registrations again and again; all are to be refused."""
        assert self._leaving is not None
        until = time.monotonic() + seconds
        await self._leaving.send(goodbye=hb.Goodbye(reason=hb.GOODBYE_REASON_STOPPING))
        mask = FieldMask(paths=["tags"])
        update = pb.UpdateServiceRequest(
            ref=self._refs["updated"], service=sv.ServiceInfo(tags=["new"]), update_mask=mask
        )
        early = asyncio.gather(
            self._refused(self._stub.UpdateService(update)),
            self._refused(self._stub.UnregisterService(pb.UnregisterServiceRequest(ref=self._refs["unregistered"]))),
            self._refused(self._register("early", "1")),
            self._refused(self._register("early", "2")),
        )
        leaving = (await self._leaving.end()).error
        self._found.check(
            leaving is not None and leaving.reason is Reason.STORE_DOWN, f"goodbye while hung ended with {leaving}"
        )
        await early
        number = 0
        while time.monotonic() < until - SOON_S:
            number += 1
            took_s = await self._refused(self._register("late", str(number)))
            self._found.check(took_s < SOON_S, f"a later write was refused after {took_s:.2f} s only")
            await asyncio.sleep(0.1)

    def _register(self, kind: str, number: str) -> Awaitable[object]:
        name = f"{kind}-{number}"
        request = pb.RegisterServiceRequest(
            service=service("writer", name), secret=secret_of("writer"), request_id=f"request-{name}"
        )
        self._registrations.append(request)
        call: Awaitable[object] = self._stub.RegisterService(request)
        return call

    async def _refused(self, call: Any) -> float:
        """Seconds until it was refused; anything else than STORE_DOWN with RetryInfo is a fault."""
        began = time.monotonic()
        try:
            self._found.check(False, f"a write was answered while the store hung: {await call}")
            return 0.0
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure)
        took_s = time.monotonic() - began
        if error.reason is not Reason.STORE_DOWN or not error.retry_after_s:
            self._found.faults.append(f"a write was refused with {error}")
            return took_s
        self._found.refusals.append((took_s, error.retry_after_s))
        return took_s

    async def check_all(self) -> None:
        """After the release: tries all again with the same request_id, and looks at what there is."""
        check = self._found.check
        await asyncio.sleep(0.2)
        names = {info.service_name: info for info in await self._services()}
        updated = names["updated"]
        check(updated.generation == 2 and list(updated.tags) == ["new"], "the update did not happen exactly once")
        check("unregistered" not in names, "the pending UnregisterService did not happen")
        check("left" not in names, "the goodbye did not unregister")
        check({"early-1", "early-2"} <= names.keys(), "pending registrations were lost")
        check(not any(name.startswith("late") for name in names), "a write that was refused at once happened")
        for request in self._registrations:
            answer = await self._stub.RegisterService(request)
            name = request.service.service_name
            check(answer.service.generation == 1 and answer.created, f"{name} was registered more than once")
            if name in names:
                check(answer.service.epoch == names[name].epoch, f"{name} has another epoch after the retry")

    async def _services(self) -> list[sv.ServiceInfo]:
        selector = sv.Selector(agent_id="writer", include_not_ready=True)
        request = pb.DiscoverServicesRequest(selector=selector, page_size=1_000)
        return list((await self._stub.DiscoverServices(request)).services)


async def measure(hang_s: float, agents: int, kills: int) -> Findings:
    """One run, with its processes."""
    with tempfile.TemporaryDirectory() as directory:
        async with Nursery(Path(directory)) as nursery:
            daemon = await nursery.start_ready("daemon", "-m", "tests.e2e.store_hung_daemon")
            await Fleet.start(nursery, "fleet", daemon.ready["address"], agents)
            async with connected(daemon.ready["address"]) as stub:
                return await Run(nursery, daemon, stub, hang_s, kills).run()


def report(found: Findings) -> None:
    """The table."""
    for name, times in (("10 beats", found.beats), ("discover", found.discoveries)):
        medians = "  ".join(f"{phase} {median(each) * 1e3:6.2f} ms ({len(each)})" for phase, each in times.items())
        print(f"{name}: {medians}  hung/rest {found.ratio(times):.2f}")
    print("kill seen after ms:", " ".join(f"{seen * 1e3:.1f}" for seen in found.kills_s))
    first, later = max(took for took, _ in found.refusals), median(took for took, _ in found.refusals)
    print(f"writes refused with RetryInfo: {len(found.refusals)}, longest {first:.2f} s, median {later * 1e3:.1f} ms")
    for fault in found.faults:
        print("fault:", fault)


def passed(found: Findings, limit: float) -> bool:
    """Whether everything held."""
    for name, times in (("beats", found.beats), ("discovery", found.discoveries)):
        found.check(found.ratio(times) <= limit, f"{name} took {found.ratio(times):.2f} times as long while hung")
    found.check(max(found.kills_s) < 0.1, f"a kill was seen after {max(found.kills_s) * 1e3:.0f} ms")
    found.check(len(found.refusals) > 5, f"only {len(found.refusals)} writes were refused")
    return not found.faults


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hang", type=float, default=10.0, help="seconds that the store hangs, above 4")
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--limit", type=float, default=1.5)
    options = parser.parse_args()
    raise_open_files_limit()
    found = asyncio.run(measure(options.hang, options.agents, options.kills))
    good = passed(found, options.limit)
    report(found)
    print("passed" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
