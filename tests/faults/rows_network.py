"""Faults of the network between agent and registry, made by the proxy."""

import asyncio
import time
from collections import Counter

from tests.faults.agents import Agents
from tests.faults.observer import healthy, not_ready, unhealthy
from tests.faults.proxy import Proxy
from tests.faults.row import Group
from tests.faults.stage import AGAIN_AND_AGAIN, Daemon, Stage

GROUP = Group("network")
CUT = 3
"""Agents behind the cut link: fewer than a mass hold takes."""


async def behind_a_proxy(stage: Stage, count: int = CUT) -> tuple[Daemon, Proxy, Agents]:
    """Some agents whose link is to be cut, beside others."""
    daemon = await stage.daemon(*AGAIN_AND_AGAIN)
    await stage.agents(daemon, 12, "around")
    proxy = await stage.proxy(daemon)
    return daemon, proxy, await stage.agents(daemon, count, "cut", through=proxy.address)


async def cut_and_heal(stage: Stage, do: str, way: str, limit_s: float, seconds: float) -> None:
    """Cuts, heals, and measures both."""
    daemon, proxy, agents = await behind_a_proxy(stage)
    around = tuple(f"around-{number}" for number in range(12))
    began = time.monotonic()
    for _ in range(stage.repeats):
        await stage.settle()
        t0 = time.monotonic()
        await proxy.tell(do, way=way)
        seen = await daemon.observer.until(agents.ids, unhealthy, t0, 12.0)
        stage.samples("UNHEALTHY", seen, t0, limit_s)
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - t0)))
        t0 = time.monotonic()
        await proxy.tell("heal")
        back = await daemon.observer.until_all(agents.ids, healthy, 12.0)
        stage.finding.sample("back", back - t0, 3.0)
    stage.nobody_died(daemon, around, began)


@GROUP.row("5", "cut", "a link that is cut both ways for 9 s: out in under 3 s, back in under 3 s after it heals")
async def cut(stage: Stage) -> None:
    await cut_and_heal(stage, "freeze", "both", 3.0, 9.0)


@GROUP.row("6a", "cut-up", "beats lost, answers pass: out in under 3 s, back in under 3 s after it heals")
async def cut_up(stage: Stage) -> None:
    await cut_and_heal(stage, "freeze", "up", 3.0, 6.0)


@GROUP.row(
    "6b",
    "cut-down",
    "beats pass, answers lost: the registry hears a live agent, and the agent's own PING (2 s + 2 s) finds the cut: "
    "out in under 4.2 s, back in under 3 s after it heals",
)
async def cut_down(stage: Stage) -> None:
    await cut_and_heal(stage, "freeze", "down", 4.2, 7.0)


@GROUP.row(
    "6c", "lossy-up", "beats are thrown away (no retransmission heals that): out in under 3 s, back in under 3 s"
)
async def lossy_up(stage: Stage) -> None:
    await cut_and_heal(stage, "drop", "up", 3.0, 5.0)


async def rate_of_deaths(stage: Stage, loss: float, *options: str, must_be_none: bool) -> None:
    """How many live agents are declared dead an agent-hour behind a link that loses."""
    agents = 100
    daemon = await stage.daemon(*options)
    proxy = await stage.proxy(daemon)
    fleet = await stage.agents(daemon, agents, "lossy", through=proxy.address)
    await proxy.tell("weather", delay_s=0.025, loss=loss, rtt_s=0.05)
    await stage.settle()
    began = time.monotonic()
    await asyncio.sleep(stage.minutes * 60.0)
    hours = agents * (time.monotonic() - began) / 3_600.0
    sights = daemon.observer.since(began)
    dead = [sight for sight in sights if sight.status == "UNHEALTHY"]
    held = sum("HELD" in sight.reasons for sight in sights)
    late = sum("LATE" in sight.reasons for sight in sights)
    await proxy.tell("weather")
    await daemon.observer.until_all(fleet.ids, healthy, 20.0)
    for each in dead:
        back = [s.at for s in sights if s.agent_id == each.agent_id and s.at > each.at and healthy(s)]
        if back:
            stage.finding.sample("dead for", back[0] - each.at)
    stage.finding.count("agent-hours", round(hours, 2))
    stage.finding.count("LATE", late)
    stage.finding.count("HELD", held)
    for why, number in Counter(sight.reasons[0] for sight in dead).items():
        stage.finding.count(why, number)
    stage.finding.count("false deaths", len(dead))
    stage.finding.count("an agent-hour", round(len(dead) / hours, 2))
    if must_be_none:
        stage.finding.check(not dead, f"{len(dead)} false deaths in {hours:.1f} agent-hours, first {dead[:1]}")


@GROUP.row("7a", "loss-0", "50 ms RTT, no loss, 100 agents: no false death", repeats=1)
async def loss_0(stage: Stage) -> None:
    await rate_of_deaths(stage, 0.0, must_be_none=True)


@GROUP.row("7b", "loss-1", "1 % loss at 50 ms RTT, 100 agents: no false death", repeats=1)
async def loss_1(stage: Stage) -> None:
    await rate_of_deaths(stage, 0.01, must_be_none=True)


@GROUP.row("7c", "loss-5", "5 % loss at 50 ms RTT, 100 agents: the rate of false deaths is published", repeats=1)
async def loss_5(stage: Stage) -> None:
    await rate_of_deaths(stage, 0.05, must_be_none=False)


@GROUP.row("7d", "loss-10", "10 % loss at 50 ms RTT, 100 agents: the rate of false deaths is published", repeats=1)
async def loss_10(stage: Stage) -> None:
    await rate_of_deaths(stage, 0.10, must_be_none=False)


@GROUP.row(
    "7e",
    "loss-10-wan",
    "10 % loss at 50 ms RTT, 100 agents, --profile wan: the rate of false deaths is published",
    repeats=1,
)
async def loss_10_wan(stage: Stage) -> None:
    await rate_of_deaths(stage, 0.10, "--profile", "wan", must_be_none=False)


@GROUP.row("8", "delay", "400 ms delay each way, jitter of 200 ms: nobody is declared dead", repeats=1)
async def delay(stage: Stage) -> None:
    daemon, proxy, agents = await behind_a_proxy(stage, 30)
    await proxy.tell("weather", delay_s=0.4, jitter_s=0.2)
    began = time.monotonic()
    await asyncio.sleep(15.0 if stage.ci else 60.0)
    stage.nobody_died(daemon, agents.ids, began)
    late = [sight for sight in daemon.observer.since(began) if "LATE" in sight.reasons]
    stage.finding.count("LATE", len(late))


@GROUP.row("N1", "reset", "connections reset (RST): out in under 100 ms, back in under 2 s", repeats=10, ci_repeats=5)
async def reset(stage: Stage) -> None:
    daemon, proxy, agents = await behind_a_proxy(stage)
    for _ in range(stage.repeats):
        await asyncio.sleep(2.5)  # the SDK starts its back-off anew after 2 s
        t0 = time.monotonic()
        await proxy.tell("reset")
        seen = await daemon.observer.until(agents.ids, not_ready, t0, 5.0)
        stage.samples("not ready", seen, t0, 0.1)
        seen = await daemon.observer.until(agents.ids, healthy, t0, 10.0)
        stage.samples("back", seen, t0, 2.0)


@GROUP.row("N2", "mid-frame", "connections end in the middle of a frame: out and back, as after any end", repeats=5)
async def mid_frame(stage: Stage) -> None:
    daemon, proxy, agents = await behind_a_proxy(stage)
    for number in range(stage.repeats):
        await asyncio.sleep(2.5)
        t0 = time.monotonic()
        await proxy.tell("cut", bytes=1 + 3 * number)
        seen = await daemon.observer.until(agents.ids, not_ready, t0, 5.0)
        stage.samples("not ready", seen, t0, 1.5)  # the next beat is the frame that is cut
        seen = await daemon.observer.until(agents.ids, healthy, t0, 10.0)
        stage.samples("back", seen, t0, 4.0)


@GROUP.row("N3", "trickle", "a link of 500 bytes a second: nobody is declared dead", repeats=1)
async def trickle(stage: Stage) -> None:
    daemon, proxy, agents = await behind_a_proxy(stage, 10)
    await proxy.tell("weather", rate=500.0)
    began = time.monotonic()
    await asyncio.sleep(10.0 if stage.ci else 60.0)
    stage.nobody_died(daemon, agents.ids, began)
