"""Faults of agents: they leave, crash, hang, block, flap."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from google.protobuf.duration_pb2 import Duration

from orion_registry_pb.v1 import heartbeat_pb2 as hb
from tests.e2e import kill_latency
from tests.e2e.raw_stream import RawStream, register, renewed, service
from tests.faults.observer import healthy, reason, unhealthy
from tests.faults.row import Group
from tests.faults.stage import AGAIN_AND_AGAIN, Stage

GROUP = Group("agents")
AROUND = 20
"""Other agents, which must not be touched."""


@GROUP.row("1", "goodbye", "an agent that says goodbye is gone in under 100 ms, without an alarm", repeats=10)
async def goodbye(stage: Stage) -> None:
    daemon = await stage.daemon()
    for number in range(stage.repeats):
        leaving = await stage.agents(daemon, 1, f"leaving-{number}")
        moving = await stage.agents(daemon, 1, f"moving-{number}")
        t0 = (await leaving.ask("goodbye"))["t0"]
        seen = await daemon.observer.until(leaving.ids, lambda sight: sight.status == "GONE", t0, 5.0)
        stage.samples("gone", seen, t0, 0.1)
        t0 = (await moving.ask("goodbye", moving=True))["t0"]
        seen = await daemon.observer.until(moving.ids, reason("RECONNECT_GRACE"), t0, 5.0)
        stage.samples("moving", seen, t0, 0.1)
    died = daemon.observer.since(0.0, "UNHEALTHY")
    stage.finding.check(not died, f"a goodbye was taken for a death: {died[:1]}")
    stage.finding.check(not daemon.logged("alarm"), f"alarms: {daemon.logged('alarm')}")


@GROUP.row(
    "2",
    "kill",
    "kill -9: UNHEALTHY in under 100 ms, and no call that starts later goes to the dead",
    repeats=20,
    ci_repeats=8,
)
async def kill(stage: Stage) -> None:
    crowd = 50 if stage.ci else 200
    outcome = await kill_latency.measure(stage.repeats, crowd, 50.0, stage.directory, quiet=True)
    for run in outcome.runs:
        stage.finding.sample("UNHEALTHY", run.ms / 1e3, kill_latency.LIMIT_MS / 1e3)
        stage.finding.count("calls after", run.calls_after)
        stage.finding.count("at the dead port", run.late)
    stage.finding.check(outcome.holds, outcome.summary())


@GROUP.row("3", "sigstop", "a hung process (SIGSTOP) is out in under 3 s; after SIGCONT it is back in under 2 s")
async def sigstop(stage: Stage) -> None:
    daemon = await stage.daemon(*AGAIN_AND_AGAIN)
    around = await stage.agents(daemon, AROUND, "around")
    frozen = await stage.agents(daemon, 3, "frozen")
    began = time.monotonic()
    for _ in range(stage.repeats):
        await stage.settle()
        t0 = stage.stop(frozen.pid)
        seen = await daemon.observer.until(frozen.ids, unhealthy, t0, 10.0)
        stage.samples("UNHEALTHY", seen, t0, 3.0)
        await asyncio.sleep(max(0.0, (5.0 if stage.ci else 15.0) - (time.monotonic() - t0)))
        t0 = stage.go_on(frozen.pid)
        seen = await daemon.observer.until(frozen.ids, healthy, t0, 10.0)
        stage.samples("back", seen, t0, 2.0)
    stage.nobody_died(daemon, around.ids, began)


@GROUP.row(
    "4",
    "blocked-loop",
    "an agent whose event loop is blocked for 8 s: LATE after 1.5 s, out in under 3.2 s, back with its first beat",
)
async def blocked_loop(stage: Stage) -> None:
    daemon = await stage.daemon(*AGAIN_AND_AGAIN)
    around = await stage.agents(daemon, AROUND, "around")
    blocked = await stage.agents(daemon, 3, "blocked")
    began = time.monotonic()
    for _ in range(stage.repeats):
        await stage.settle()
        seconds = 5.0 if stage.ci else 8.0
        t0 = (await blocked.ask("block", seconds=seconds))["t0"]
        seen = await daemon.observer.until(blocked.ids, reason("LATE"), t0, 10.0)
        stage.samples("LATE", seen, t0, 1.7)
        seen = await daemon.observer.until(blocked.ids, unhealthy, t0, 10.0)
        stage.samples("UNHEALTHY", seen, t0, 3.2)
        wrong = [s for s in daemon.observer.since(t0, "UNHEALTHY") if s.reasons[0] != "SILENT"]
        stage.finding.check(not wrong, f"not by the beat deadline: {wrong[:1]}")
        seen = await daemon.observer.until(blocked.ids, healthy, t0 + seconds, seconds + 10.0)
        stage.samples("back", seen, t0 + seconds, 1.2)
    stage.nobody_died(daemon, around.ids, began)


@GROUP.row(
    "9",
    "flapping",
    "an agent that falls 20 times a minute is on PROBATION after the 4th fall, costs watchers at most 3 events a "
    "cycle, and is ready again 10 s after it has settled",
    repeats=1,
)
async def flapping(stage: Stage) -> None:
    daemon = await stage.daemon()
    cycles, cycle_s = (8, 2.0) if stage.ci else (20, 3.0)
    stub = await stage.stub(daemon.address)
    ref = await register(stub, service("flapper"))
    began = time.monotonic()
    for _ in range(cycles):
        stream = RawStream(stub)
        [result] = await stream.hello("flapper", ref)
        ref = renewed(ref, result.epoch)
        await stream.beat()
        await asyncio.sleep(cycle_s / 2)
        stream.drop()
        await asyncio.sleep(cycle_s / 2)
    told = daemon.observer.since(began)
    ready = sum(sight.ready for sight in told)
    stage.finding.count("events a cycle", len(told) / cycles)
    stage.finding.count("ready events", ready)
    stage.finding.check(len(told) <= 3 * cycles, f"{len(told)} events in {cycles} cycles")
    stage.finding.check(ready <= 5, f"ready {ready} times")
    stream = RawStream(stub)
    t0 = time.monotonic()
    await stream.hello("flapper", ref)
    async with beating(stream):
        await daemon.observer.until(["flapper"], reason("PROBATION"), t0, 2.0)
        seen = await daemon.observer.until(["flapper"], healthy, t0, 15.0)
    stage.samples("ready again", seen, t0, 11.0)


@contextlib.asynccontextmanager
async def beating(stream: RawStream) -> AsyncIterator[None]:
    """Beats once a second meanwhile."""

    over = asyncio.Event()

    async def beat() -> None:
        while not over.is_set():
            await stream.beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await over.wait()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        over.set()  # not cancelled: a cancelled write takes the whole stream with it
        await task


@GROUP.row(
    "A1",
    "stuck",
    "an agent that beats but makes no progress for --stuck-after (2 s) is STUCK: HEALTHY, but last choice; "
    "progress or the end of the task clears it within 1 beat",
)
async def stuck(stage: Stage) -> None:
    daemon = await stage.daemon("--stuck-after", "2s")
    stub = await stage.stub(daemon.address)
    ref = await register(stub, service("busy"))
    stream = RawStream(stub)
    await stream.hello("busy", ref)
    for number in range(stage.repeats):

        def working(progress: int, *, idle: bool = False) -> hb.ServiceBeat:
            news = hb.ServiceBeat(service_id=ref.service_id, progress=progress)
            if not idle:
                news.task_age.CopyFrom(Duration(nanos=1_000_000))
            return news

        t0 = time.monotonic()
        await stream.beat(working(10 * number + 1))
        async with beating(stream):
            seen = await daemon.observer.until(["busy"], reason("STUCK"), t0, 5.0)
        stage.samples("STUCK", seen, t0, 2.0 + 0.3)
        sight = daemon.observer.now["busy"]
        stage.finding.check(sight.status == "HEALTHY" and sight.ready, f"it is {sight}, ready {sight.ready}")
        t0 = time.monotonic()
        await stream.beat(working(10 * number + 2))
        seen = await daemon.observer.until(["busy"], healthy, t0, 5.0)
        stage.samples("cleared", seen, t0, 0.1)
        await stream.beat(working(10 * number + 2, idle=True))
        t0 = time.monotonic()
        async with beating(stream):
            await asyncio.sleep(3.0)
        idle = [sight for sight in daemon.observer.since(t0) if "STUCK" in sight.reasons]
        stage.finding.check(not idle, "an idle agent was taken for stuck")


@GROUP.row(
    "A2",
    "ttl",
    "a TTL agent (2 s) that no longer beats is UNHEALTHY within its ttl + 0.2 s, and back with its next beat; "
    "a daemon that is stopped for 5 s declares none dead",
)
async def ttl(stage: Stage) -> None:
    daemon = await stage.daemon(*AGAIN_AND_AGAIN)
    agents = await stage.agents(daemon, 3, "ttl", "--ttl", "2")
    for _ in range(stage.repeats):
        await stage.settle()
        t0 = (await agents.ask("silence"))["t0"]
        seen = await daemon.observer.until(agents.ids, unhealthy, t0, 10.0)
        stage.samples("UNHEALTHY", seen, t0, 2.0 + 0.2)
        t0 = time.monotonic()
        await agents.ask("beat")
        seen = await daemon.observer.until(agents.ids, healthy, t0, 10.0)
        stage.samples("back", seen, t0, 1.0)
    await stage.settle()
    began = stage.stop(daemon.pid)
    await asyncio.sleep(5.0)
    stage.go_on(daemon.pid)
    await asyncio.sleep(4.0)
    stage.nobody_died(daemon, agents.ids, began)
