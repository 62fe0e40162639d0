"""The members of a cluster restarted one after the other, as docs/cluster.md has people upgrade them."""

import asyncio
import json
import sys
import time
from typing import Any

from orion_registry.client.admin import AdminClient
from tests.etcd.node import running_node
from tests.faults.observer import Observer
from tests.faults.row import Group
from tests.faults.rows_cluster import Callers, Cluster, agents_at, everywhere, member_options, members, no_etcd
from tests.faults.stage import Daemon, Stage

GROUP = Group("cluster")

EACH = 30
"""Agents that begin at each of three members."""
OFF = 5
"""Streams that a member may have more or less than its share: `core.rebalancing.FEWEST`."""
ELSEWHERE_S, THERE_S, EVEN_S = 5.0, 20.0, 60.0


async def listed(address: str) -> list[dict[str, Any]]:
    """What `orion-registry members --json` prints about each member; none if it fails, or one cannot be reached."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orion_registry", "members", "--json", "--address", address,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()
    return [json.loads(line) for line in out.splitlines()] if process.returncode == 0 else []


async def streams_of(member: Daemon) -> dict[str, int]:
    """Heartbeat streams by the name of each member that it hears."""
    async with AdminClient(member.address) as admin:
        return {one.name: one.streams for one in (await admin.server_info()).members if one.streams is not None}


def moved(observer: Observer, epochs: dict[str, int], since: float) -> dict[str, float]:
    """The agents that have come to another member since an instant, and when they were HEALTHY there."""
    first: dict[str, float] = {}
    for sight in observer.since(since, "HEALTHY"):
        if sight.epoch > epochs.get(sight.agent_id, sight.epoch):
            first.setdefault(sight.agent_id, sight.at)
    return first


async def restart(stage: Stage, cluster: Cluster, number: int) -> None:
    """Steps 1 and 2 of docs/cluster.md: one member is stopped, and started again where it was."""
    old, finding, name = cluster.members[number], stage.finding, f"m{number + 1}"
    rest = [member for member in cluster.members if member is not old]
    watching = rest[0].observer
    epochs = {agent_id: sight.epoch for agent_id, sight in watching.now.items()}
    had = (await streams_of(rest[0]))[name]
    began = await stage.stopped(old)
    finding.sample("stopped", time.monotonic() - began)
    await watching.watch.until(lambda: len(moved(watching, epochs, began)) >= had, 30.0)
    elsewhere = sorted(moved(watching, epochs, began).values())
    finding.sample("its agents HEALTHY elsewhere", elsewhere[had - 1] - began, ELSEWHERE_S)
    began = time.monotonic()
    cluster.members[number] = await stage.daemon(
        *member_options([node.address for node in cluster.nodes], number), listen=old.address
    )
    finding.sample("serves again", time.monotonic() - began)
    while not (await streams_of(rest[0])).get(name):
        late = time.monotonic() - began
        if not finding.check(late < THERE_S, f"{name} has no streams {late:.0f} s after its start"):
            break
        await asyncio.sleep(0.1)
    finding.sample("has streams", time.monotonic() - began)


async def even(stage: Stage, cluster: Cluster) -> None:
    """Until each member has its share, give or take."""
    share, began = len(cluster.ids) / len(cluster.members), time.monotonic()
    while True:
        streams = await streams_of(cluster.members[-1])
        off = max((abs(count - share) for count in streams.values()), default=share)
        if len(streams) == len(cluster.members) and off <= OFF and sum(streams.values()) == len(cluster.ids):
            break
        late = time.monotonic() - began
        if not stage.finding.check(late < EVEN_S, f"{late:.0f} s after the last restart streams are {streams}"):
            break
        await asyncio.sleep(0.5)
    stage.finding.sample("streams even", time.monotonic() - began)
    shown = await listed(cluster.members[0].address)
    stage.finding.check(len(shown) == len(cluster.members), f"`members` shows {shown}")
    for one in shown:
        stage.finding.count(f"streams of {one['name']}", one["streams"])


@GROUP.row(
    "C7",
    "rolling-restart",
    "three members are restarted one after the other (SIGTERM) under 90 agents and callers who know all of them: no "
    "false death, no failed selection, agents HEALTHY elsewhere in under 5 s, and in the end each has 25 to 35 streams",
    repeats=1,
    missing=no_etcd,
)
async def rolling_restart(stage: Stage) -> None:
    cluster = await members(stage, [await stage.enter(running_node(stage.directory))])
    for number in range(3):
        await agents_at(stage, cluster, number, EACH, f"a{number}")
    callers, t0 = Callers(), time.monotonic()
    callers.start(cluster, 6)
    for number in range(3):
        others = [member for at, member in enumerate(cluster.members) if at != number]
        since = time.monotonic()
        await restart(stage, cluster, number)
        for member in others:
            stage.nobody_died(member, cluster.ids, since)
    await even(stage, cluster)
    await everywhere(cluster.members, cluster.ids)
    for member in cluster.members:
        stage.nobody_died(member, cluster.ids, t0)
    await callers.stop()
    stage.finding.count("selections", callers.done)
    stage.finding.count("failed selections", len(callers.failed))
    stage.finding.sample("longest selection", callers.longest_s)
    stage.finding.check(not callers.failed, f"{len(callers.failed)} selections failed, such as {callers.failed[:2]}")
