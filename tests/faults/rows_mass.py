"""Faults that take many agents at once."""

import asyncio
import time

from tests.faults import held
from tests.faults.observer import healthy, not_ready, reason, unhealthy
from tests.faults.row import Group
from tests.faults.stage import AGAIN_AND_AGAIN, Daemon, Stage

GROUP = Group("mass")
AGENTS = 50
"""Of which 20 fall: 40 %."""


@GROUP.row(
    "18",
    "cut-40",
    "40 % of 50 agents are cut off at once: held (HEALTHY, last choice) within 3.5 s and still discoverable, with an "
    "alarm; all as before within 5 s after it heals",
    repeats=2,
)
async def cut_40(stage: Stage) -> None:
    daemon = await stage.daemon(*AGAIN_AND_AGAIN)
    around = await stage.agents(daemon, 30, "around")
    proxy = await stage.proxy(daemon)
    cut = await stage.agents(daemon, 20, "cut", through=proxy.address)
    for _ in range(stage.repeats):
        alarms = len(daemon.logged("alarm", alarm="MASS_HOLD"))
        await stage.settle()
        t0 = time.monotonic()
        await proxy.tell("freeze")
        seen = await daemon.observer.until(cut.ids, reason("HELD"), t0, 10.0)
        stage.samples("HELD", seen, t0, 3.5)
        out = {s.agent_id: s.at for s in reversed(daemon.observer.since(t0)) if s.agent_id in cut.ids and not s.ready}
        for agent_id, at in out.items():
            stage.finding.sample("not ready until HELD", seen[agent_id] - at)
        found = await daemon.ready_ids()
        stage.finding.check(set(cut.ids) <= found, f"only {len(set(cut.ids) & found)} of 20 are still discoverable")
        await asyncio.sleep(8.0 - (time.monotonic() - t0))
        raised = daemon.logged("alarm", alarm="MASS_HOLD")[alarms:]  # at the next tick, when they are held already
        stage.finding.check(len(raised) == 1, f"{len(raised)} alarms MASS_HOLD: {raised}")
        fell = [s for s in daemon.observer.since(max(seen.values())) if not s.ready and s.agent_id in cut.ids]
        stage.finding.check(not fell, f"{len(fell)} fell out while held, first {fell[:1] and str(fell[0])}")
        t0 = time.monotonic()
        await proxy.tell("heal")
        back = await daemon.observer.until_all(cut.ids, healthy, 15.0)
        stage.finding.sample("as before", back - t0, 5.0)
        stage.nobody_died(daemon, around.ids, t0 - 8.0)
        await cleared(stage, daemon)


async def cleared(stage: Stage, daemon: Daemon) -> None:
    """The alarm ends when nobody is held any more."""
    for _ in range(50):
        if len(daemon.logged("alarm cleared", alarm="MASS_HOLD")) == len(daemon.logged("alarm", alarm="MASS_HOLD")):
            return
        await asyncio.sleep(0.1)
    stage.finding.check(False, "the alarm MASS_HOLD still holds 5 s after all are back")


@GROUP.row(
    "18b",
    "cut-40-long",
    "40 % are cut off for 40 s: held for 30 s, then UNHEALTHY(SILENT)",
    repeats=1,
    long=True,
)
async def cut_40_long(stage: Stage) -> None:
    daemon = await stage.daemon()
    await stage.agents(daemon, 30, "around")
    proxy = await stage.proxy(daemon)
    cut = await stage.agents(daemon, 20, "cut", through=proxy.address)
    await stage.settle()
    t0 = time.monotonic()
    await proxy.tell("freeze")
    held_at = max((await daemon.observer.until(cut.ids, reason("HELD"), t0, 10.0)).values())
    seen = await daemon.observer.until(cut.ids, unhealthy, held_at, 40.0)
    stage.samples("UNHEALTHY", seen, t0, 30.0 + 4.0)
    early = [at for at in seen.values() if at - held_at < 29.0]
    stage.finding.check(not early, f"{len(early)} were given up after less than 29 s")
    await proxy.tell("heal")
    await daemon.observer.until_all(cut.ids, healthy, 15.0)


@GROUP.row(
    "19", "kill-40", "40 % of 50 agents are killed at once: all out in under 1 s, none held, no alarm", repeats=3
)
async def kill_40(stage: Stage) -> None:
    for number in range(stage.repeats):
        daemon = await stage.daemon()
        around = await stage.agents(daemon, 30, f"around-{number}")
        killed = [await stage.agents(daemon, 10, f"killed-{number}-{n}") for n in range(2)]
        await stage.settle()
        ids = tuple(one for process in killed for one in process.ids)
        t0 = min([process.kill() for process in killed])
        seen = await daemon.observer.until(ids, not_ready, t0, 5.0)
        stage.samples("out", seen, t0, 1.0)
        await asyncio.sleep(4.0)
        held_ones = [sight for sight in daemon.observer.since(t0) if "HELD" in sight.reasons]
        stage.finding.check(not held_ones, f"{len(held_ones)} of the dead were held")
        stage.finding.check(not daemon.logged("alarm"), f"alarms: {daemon.logged('alarm')}")
        stage.nobody_died(daemon, around.ids, t0)
        around.child.kill()


@GROUP.row(
    "H1",
    "10000-held",
    "10,000 agents, each on its own connection: held, and all HEALTHY again in under a minute after a restart, none "
    "declared dead",
    repeats=1,
    long=True,
)
async def ten_thousand(stage: Stage) -> None:
    await held.play(stage, agents=10_000, watch_s=60.0, back_s=60.0)


@GROUP.row(
    "H2",
    "1000-held",
    "1,000 agents, each on its own connection: held, and all HEALTHY again in under 10 s after a restart, none "
    "declared dead",
    repeats=1,
)
async def one_thousand(stage: Stage) -> None:
    await held.play(stage, agents=1_000, watch_s=5.0 if stage.ci else 20.0, back_s=10.0)
