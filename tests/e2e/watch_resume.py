"""Must-show 9, second half: 10^4 random changes while watchers are cut and resumed 200 times.

Agents register, update, report, open and drop streams, and leave at random. Three watchers (everything; what is ready
of one tag; what is UNHEALTHY of another) are cut in the middle of it, miss some changes, resume, see some more, and
must then show exactly what a fresh DiscoverServices shows. The daemon's history is short: some resume, some are told
RESYNC.
"""

import argparse
import asyncio
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.e2e.raw_stream import RawStream, connected, register, renewed, service
from tests.e2e.raw_watch import ALL, RawWatch, snapshot

SELECTORS = (ALL, sv.Selector(tags=["even"]), sv.Selector(tags=["odd"], statuses=[sv.SERVICE_STATUS_UNHEALTHY]))
SETTLE_S = 5.0
"""Within which a watcher must have been told of everything."""


@dataclass(slots=True)
class Member:
    """One service of the random fleet: its rights, and its stream while it has one."""

    agent_id: str
    ref: sv.SessionRef | None = None
    stream: RawStream | None = None


@dataclass(slots=True)
class Crowd:
    """Makes random changes; each leaves at least one edge."""

    stub: Any
    rng: random.Random
    members: list[Member]
    changes: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    async def change(self) -> None:
        """One random change of one service that nobody else changes now."""
        member = self.members.pop(self.rng.randrange(len(self.members)))
        try:
            await self._change(member)
            self.changes += 1
        finally:
            self.members.append(member)

    async def _change(self, member: Member) -> None:
        if member.ref is None:
            self._note("register")
            info = service(member.agent_id, tags=[self._tag()], retention=Duration())
            member.ref = await register(self.stub, info)
            return
        choices: tuple[str, ...]
        if member.stream is None:
            choices = ("hello", "hello", "update", "claim", "unregister")
        else:
            choices = ("drop", "drop", "report", "update", "detach", "moving", "stopping")
        kind = self.rng.choice(choices)
        self._note(kind)
        await getattr(self, f"_{kind}")(member, member.ref)

    def _note(self, kind: str) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def _tag(self) -> str:
        return self.rng.choice(("even", "odd"))

    async def _claim(self, member: Member, ref: sv.SessionRef) -> None:
        info = service(member.agent_id, tags=[self._tag()], zone=str(self.rng.random()), retention=Duration())
        member.ref = await register(self.stub, info)

    async def _update(self, member: Member, ref: sv.SessionRef) -> None:
        new = sv.ServiceInfo(tags=[self._tag()])
        mask = FieldMask(paths=["tags"])
        await self.stub.UpdateService(pb.UpdateServiceRequest(ref=ref, service=new, update_mask=mask))

    async def _unregister(self, member: Member, ref: sv.SessionRef) -> None:
        await self.stub.UnregisterService(pb.UnregisterServiceRequest(ref=ref))
        member.ref = None

    async def _hello(self, member: Member, ref: sv.SessionRef) -> None:
        member.stream = RawStream(self.stub)
        [result] = await member.stream.hello(member.agent_id, ref)
        assert result.epoch, result
        member.ref = renewed(ref, result.epoch)
        await member.stream.beat()

    async def _report(self, member: Member, ref: sv.SessionRef) -> None:
        status = self.rng.choice([sv.SERVICE_STATUS_STOPPING, sv.SERVICE_STATUS_UNKNOWN, sv.SERVICE_STATUS_HEALTHY])
        await self.stub.UpdateServiceStatus(pb.UpdateServiceStatusRequest(ref=ref, status=status))

    async def _detach(self, member: Member, ref: sv.SessionRef) -> None:
        assert member.stream is not None
        await member.stream.send(detach=hb.Detach(service_ids=[ref.service_id]))
        await self._bye(member, hb.GOODBYE_REASON_MOVING)

    async def _moving(self, member: Member, ref: sv.SessionRef) -> None:
        await self._bye(member, hb.GOODBYE_REASON_MOVING)

    async def _stopping(self, member: Member, ref: sv.SessionRef) -> None:
        await self._bye(member, hb.GOODBYE_REASON_STOPPING)
        member.ref = None

    async def _bye(self, member: Member, reason: hb.GoodbyeReason.ValueType) -> None:
        assert member.stream is not None
        stream, member.stream = member.stream, None
        await stream.send(goodbye=hb.Goodbye(reason=reason))
        assert (await stream.end()).error is None

    async def _drop(self, member: Member, ref: sv.SessionRef) -> None:
        assert member.stream is not None
        member.stream.drop()
        member.stream = None


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    changes: int = 0
    cuts: int = 0
    resyncs: int = 0
    compared: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


async def run(changes: int, cuts: int, services: int, history: int, seed: int) -> Outcome:
    """One run; every watcher is compared after each of its cuts."""
    outcome = Outcome()
    rng = random.Random(seed)
    async with (
        running_daemon(history_size=history) as daemon,
        connected(daemon.address) as stub,
        connected(daemon.address) as watching,
    ):
        crowd = Crowd(stub, rng, [Member(f"agent-{n}") for n in range(services)])
        watches = [RawWatch(watching, selector) for selector in SELECTORS]
        for watch in watches:
            watch.open()
        for _ in range(cuts):
            before, missed, after = split(rng, changes // cuts)
            await storm(crowd, before, [watch.cut for watch in watches])
            await storm(crowd, missed, [])
            for watch in watches:
                watch.open()
            outcome.cuts += 1
            await storm(crowd, after, [])
            await compare(stub, watches, outcome)
        for watch in watches:
            await watch.cut()
        outcome.changes, outcome.kinds = crowd.changes, crowd.kinds
        outcome.resyncs = sum(watch.resyncs for watch in watches)
    return outcome


def split(rng: random.Random, total: int) -> tuple[int, int, int]:
    """Changes before a cut, while it lasts, and after the resume: together `total`."""
    first, second = sorted(rng.randint(1, total - 1) for _ in range(2))
    return first, second - first, total - second


async def storm(crowd: Crowd, changes: int, at_half: list[Any]) -> None:
    """So many changes, several at a time, and something else in the middle of them."""
    lanes = [asyncio.create_task(lane(crowd, share)) for share in shares(changes, 4)]
    await asyncio.sleep(0)
    await asyncio.gather(*(each() for each in at_half))
    await asyncio.gather(*lanes)


def shares(total: int, lanes: int) -> list[int]:
    """`total` in about equal parts."""
    return [total // lanes + (n < total % lanes) for n in range(lanes)]


async def lane(crowd: Crowd, changes: int) -> None:
    """Changes one after the other."""
    for _ in range(changes):
        await crowd.change()


async def compare(stub: Any, watches: list[RawWatch], outcome: Outcome) -> None:
    """Each fold must become, and then be, what a fresh snapshot shows."""
    for watch, selector in zip(watches, SELECTORS, strict=True):
        deadline = time.monotonic() + SETTLE_S
        while (shown := watch.fold()) != (fresh := await snapshot(stub, selector)) or not watch.bookmarked.is_set():
            if time.monotonic() > deadline:
                wrong = {key for key in shown.keys() | fresh.keys() if shown.get(key) != fresh.get(key)}
                outcome.faults.append(f"after cut {outcome.cuts}: {len(wrong)} of {len(fresh)} differ, {selector}")
                return
            await asyncio.sleep(0.005)
        outcome.compared += 1


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument("--history", type=int, default=32, help="revisions that the daemon keeps")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    began = time.monotonic()
    outcome = asyncio.run(run(options.changes, options.cuts, options.services, options.history, options.seed))
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s: {outcome.changes} changes {outcome.kinds}")
    print(
        f"{outcome.cuts} cuts of {len(SELECTORS)} watchers, {outcome.resyncs} RESYNCs; {outcome.compared} folds equal"
    )
    for fault in outcome.faults[:10]:
        print("fault:", fault)
    print("FAILED" if outcome.faults else "passed")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
