"""Faults of the registry itself: paused, blocked, starved, killed, and a clock that jumps."""

import asyncio
import contextlib
import io
import random
import time

from tests.e2e import durable, restart, shutdown
from tests.faults import cgroup
from tests.faults.agents import Agents
from tests.faults.observer import healthy, unhealthy
from tests.faults.row import Group
from tests.faults.stage import Daemon, Stage

GROUP = Group("daemon")
VICTIMS = 3
"""Processes of one agent each, killed while the registry cannot see it."""


async def crowd(stage: Stage, daemon: Daemon, agents: int) -> list[Agents]:
    """Live agents in several processes, and the victims, which come last."""
    each = 125
    sizes = [min(each, agents - first) for first in range(0, agents, each)]
    processes = [await stage.agents(daemon, size, f"live-{n}") for n, size in enumerate(sizes)]
    return processes + [await stage.agents(daemon, 1, f"victim-{n}") for n in range(VICTIMS)]


def ids_of(processes: list[Agents]) -> tuple[str, ...]:
    """All agents of some processes."""
    return tuple(one for process in processes for one in process.ids)


async def after_the_stall(
    stage: Stage, daemon: Daemon, processes: list[Agents], began: float, resumed: float, *, doubts: tuple[str, ...]
) -> None:
    """The dead are found, all others live, without any of these reasons."""
    live, victims = ids_of(processes[:-VICTIMS]), ids_of(processes[-VICTIMS:])
    seen = await daemon.observer.until(victims, unhealthy, began, 30.0)
    stage.samples("dead found", seen, resumed, 8.0)
    back = await daemon.observer.until_all(live, healthy, 15.0)
    stage.finding.sample("all HEALTHY by", max(0.0, back - resumed))
    await asyncio.sleep(max(0.0, resumed + 12.0 - time.monotonic()))
    unknown = {sight.agent_id for sight in daemon.observer.since(began, "UNKNOWN")} - set(victims)
    stage.finding.count("UNKNOWN for a while", len(unknown))
    stage.nobody_died(daemon, live, began)
    stage.nobody_doubted(daemon, live, began, *doubts)
    still = await daemon.ready_ids()
    stage.finding.check(set(live) <= still, f"{len(set(live) - still)} of {len(live)} live agents are not ready")


async def paused(stage: Stage, seconds: float) -> None:
    """SIGSTOP of the daemon under a live fleet."""
    for number in range(stage.repeats):
        daemon = await stage.daemon()
        processes = await crowd(stage, daemon, 500)
        await stage.settle()
        began = stage.stop(daemon.pid)
        await asyncio.sleep(seconds / 2)
        for victim in processes[-VICTIMS:]:
            victim.kill()
        await asyncio.sleep(seconds / 2)
        resumed = stage.go_on(daemon.pid)
        # LATE may be: agents that gave their connections up are silent until their new ones have been let in.
        await after_the_stall(stage, daemon, processes, began, resumed, doubts=("HELD", "SILENT"))
        if number + 1 < stage.repeats:
            for process in processes:
                process.child.kill()


@GROUP.row(
    "10a",
    "pause-5",
    "the registry is stopped (SIGSTOP) for 5 s under 500 agents: no live agent is declared dead, "
    "and those killed meanwhile are found within 8 s",
    repeats=1,
)
async def pause_5(stage: Stage) -> None:
    await paused(stage, 5.0)


@GROUP.row("10b", "pause-30", "the same for 30 s: the agents have given up their connections", repeats=1)
async def pause_30(stage: Stage) -> None:
    await paused(stage, 30.0)


@GROUP.row("10c", "pause-300", "the same for 300 s", repeats=1, long=True)
async def pause_300(stage: Stage) -> None:
    await paused(stage, 300.0)


@GROUP.row(
    "11",
    "blocked-registry",
    "the registry's event loop is blocked for 5 s: no live agent is declared dead, the killed are found within 8 s, "
    "and the log says that it stalled",
    repeats=1,
)
async def blocked_registry(stage: Stage) -> None:
    daemon = await stage.daemon(entry=("-m", "tests.faults.daemon"))
    processes = await crowd(stage, daemon, 200)
    await stage.settle()
    began = (await daemon.ask("block", seconds=5.0))["t0"]
    await asyncio.sleep(2.5)
    for victim in processes[-VICTIMS:]:
        victim.kill()
    await after_the_stall(stage, daemon, processes, began, began + 5.0, doubts=("LATE", "HELD", "SILENT"))
    stage.finding.check(bool(daemon.logged("stalled")), "the log does not say that it stalled")


@GROUP.row(
    "12",
    "starved",
    "the registry has 10 % of a core for 60 s under 100 agents: nobody is declared dead",
    repeats=1,
    missing=cgroup.missing,
)
async def starved(stage: Stage) -> None:
    daemon = await stage.daemon()
    agents = await stage.agents(daemon, 100, "live")
    await stage.settle()
    began = time.monotonic()
    with cgroup.starved(daemon.pid, 0.10):
        await asyncio.sleep(15.0 if stage.ci else 60.0)
    await daemon.observer.until_all(agents.ids, healthy, 10.0)
    stage.nobody_died(daemon, agents.ids, began)


@GROUP.row(
    "13",
    "killed-registry",
    "kill -9 of the registry under load: every acknowledged write is there afterwards (tests.e2e.durable)",
    repeats=3,
    ci_repeats=1,
)
async def killed_registry(stage: Stage) -> None:
    kills, writes = 2 * stage.repeats, 4_000 * stage.repeats
    with contextlib.redirect_stdout(io.StringIO()):
        lives = await durable.measure(kills, writes, seed=random.randrange(10**6))
    stage.finding.faults += durable.faults_of(lives.lives)
    stage.finding.count("kills", kills)
    stage.finding.count("acknowledged writes", lives.run.acknowledged)


@GROUP.row(
    "14",
    "sigterm",
    "SIGTERM: every stream is told go_away and the registry has ended in under 3 s (tests.e2e.shutdown)",
    repeats=1,
)
async def sigterm(stage: Stage) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as told:
        stage.finding.faults += await shutdown.run(200 if stage.ci else 1_000)
    stage.finding.notes += [line.strip() for line in told.getvalue().splitlines() if "exit code" in line]


@GROUP.row(
    "15",
    "restart",
    "the registry restarts, by SIGKILL and by SIGTERM, under 1,000 agents: all back in under 10 s, none dead, none "
    "registered anew (tests.e2e.restart)",
    repeats=2,
)
async def restarted(stage: Stage) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        results = await restart.reconnect(1_000, stage.repeats)
    for result in results:
        stage.finding.sample(f"all back ({result.how})", result.all_s, restart.BACK_S)
        stage.finding.faults += [f"{result.how}: {fault}" for fault in result.faults]


@GROUP.row("16", "wall-clock", "the wall clock jumps by 1 h forth and back and by 1 s: nothing happens", repeats=1)
async def wall_clock(stage: Stage) -> None:
    daemon = await stage.daemon(entry=("-m", "tests.faults.daemon"))
    await stage.agents(daemon, 20, "stream")
    await stage.agents(daemon, 3, "ttl", "--ttl", "2")
    dead = await stage.agents(daemon, 1, "dead")
    dead.kill()
    await daemon.observer.until(dead.ids, unhealthy, 0.0, 5.0)
    await stage.settle()
    began = time.monotonic()
    for seconds in (3_600.0, -7_200.0, 3_600.0, 1.0, -1.0):
        await daemon.ask("jump", seconds=seconds)
        await asyncio.sleep(2.5 if stage.ci else 4.0)
    told = daemon.observer.since(began)
    stage.finding.count("events", len(told))
    stage.finding.check(not told, f"{len(told)} events, first {told[:1] and str(told[0])}")
    found = {info.agent_id for info in await daemon.found()}
    stage.finding.check(set(dead.ids) <= found, "the dead service was removed before its retention")


@GROUP.row(
    "17",
    "suspended",
    "registry and agents are all stopped for 20 s, as a suspended machine is: nobody is declared dead, all are HEALTHY "
    "within 10 s",
    repeats=2,
)
async def suspended(stage: Stage) -> None:
    daemon = await stage.daemon()
    processes = [await stage.agents(daemon, 20, f"live-{number}") for number in range(3)]
    live = ids_of(processes)
    pids = [daemon.pid, *(process.pid for process in processes)]
    for number in range(stage.repeats):
        await stage.settle()
        epochs = {one: daemon.observer.now[one].epoch for one in live}
        began = min([stage.stop(pid) for pid in pids])
        await asyncio.sleep(600.0 if stage.long else 10.0 if stage.ci else 20.0)
        resumed = max([stage.go_on(pid) for pid in (pids if number % 2 == 0 else reversed(pids))])
        await asyncio.sleep(1.0)
        back = await daemon.observer.until_all(live, healthy, 15.0)
        stage.finding.sample("all HEALTHY by", max(0.0, back - resumed), 10.0)
        await asyncio.sleep(8.0)
        stage.nobody_died(daemon, live, began)
        stage.nobody_doubted(daemon, live, began, "LATE", "HELD", "SILENT")
        older = [one for one in live if daemon.observer.now[one].epoch < epochs[one]]
        stage.finding.check(not older, f"{len(older)} epochs went back")
