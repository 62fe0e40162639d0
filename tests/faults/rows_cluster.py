"""Faults of a cluster: three members over a real etcd, of which one or the other is killed, stopped or cut off."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from orion_registry.client.admin import AdminClient
from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.core.model import LivenessMode, ServiceSpec
from orion_registry.core.selector import Selector
from orion_registry.errors import Reason, RegistryError
from tests.etcd.node import MISSING, Node, has_etcd, running_node, running_nodes
from tests.faults.agents import Agents
from tests.faults.finding import quantile
from tests.faults.observer import healthy, unhealthy
from tests.faults.row import Group
from tests.faults.stage import Daemon, Stage

GROUP = Group("cluster")

SEEN_S, KILL_SEEN_S, BACK_S = 0.15, 0.2, 5.0
SETTLED_S = 60.0
WORK = Selector(capabilities=("work.do",))


def no_etcd() -> str:
    return "" if has_etcd() else MISSING


@dataclass
class Cluster:
    """Three members, and their etcd."""

    members: list[Daemon]
    nodes: list[Node]
    agents: list[Agents] = field(default_factory=list)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(one for agents in self.agents for one in agents.ids)

    def addresses(self, first: int) -> str:
        """All of them, beginning with one."""
        turned = self.members[first:] + self.members[:first]
        return ",".join(member.address for member in turned)


async def members(stage: Stage, nodes: list[Node], count: int = 3, ttl: str = "2s") -> Cluster:
    """Members over these nodes."""
    etcd = [node.address for node in nodes]
    return Cluster([await stage.daemon(*member_options(etcd, number, ttl)) for number in range(count)], nodes)


def member_options(etcd: Sequence[str], number: int, ttl: str = "2s") -> tuple[str, ...]:
    """What one member is started with. etcd: addresses of its nodes, or of what stands before them."""
    endpoints = [word for address in etcd for word in ("--etcd-endpoints", address)]
    return (*endpoints, "--member-name", f"m{number + 1}", "--member-ttl", ttl, "--admission-rate", "100000")


async def cluster_of(stage: Stage, ttl: str = "2s") -> Cluster:
    """Three members over one node."""
    node = await stage.enter(running_node(stage.directory))
    return await members(stage, [node], ttl=ttl)


async def agents_at(stage: Stage, cluster: Cluster, first: int, count: int, prefix: str) -> Agents:
    """A process of agents that know all members; returns when all members show them HEALTHY."""
    agents = await Agents.start(stage.nursery, cluster.addresses(first), count, prefix)
    cluster.agents.append(agents)
    await everywhere(cluster.members, agents.ids)
    return agents


async def everywhere(where: Sequence[Daemon], ids: Sequence[str], timeout_s: float = SETTLED_S) -> float:
    """Until all of these are HEALTHY at all of those; returns since when."""
    return max([await member.observer.until_all(ids, healthy, timeout_s) for member in where])


def nobody_died(stage: Stage, where: Sequence[Daemon], ids: Sequence[str], since: float) -> None:
    for member in where:
        stage.nobody_died(member, tuple(ids), since)


def spec_of(agent_id: str, **fields: object) -> ServiceSpec:
    return ServiceSpec(
        agent_id=agent_id, service_name="work", host="127.0.0.1", port=7000, capabilities=("work.do",),
        **fields,  # type: ignore[arg-type]  # of a row
    )  # fmt: skip


async def refused(address: str) -> str:
    """The reason that a registration is refused with; empty if it is not. It says when to come again."""
    async with RegistryClient(address, timeout_s=10.0) as client:
        try:
            await client.register(spec_of(f"refused-{time.monotonic_ns()}", liveness=LivenessMode.STATIC))
        except RegistryError as error:
            return error.reason if error.retry_after_s else f"{error.reason} without RetryInfo"
    return ""


async def taken_again(stage: Stage, member: Daemon, since: float, fault: str, limit_s: float = 20.0) -> float:
    """Waits until a member takes writes; seconds since then. A fault, and no longer waited for, after the limit."""
    while reason := await refused(member.address):
        if not stage.finding.check(time.monotonic() - since < limit_s, f"{fault}: {reason}"):
            break
        await asyncio.sleep(0.1)
    return time.monotonic() - since


@GROUP.row(
    "C1",
    "known-everywhere",
    "three members, 300 agents: what is registered at one is ready at all, p99 in under 150 ms; kill -9 of an agent is "
    "told by the other members, p99 in under 200 ms",
    repeats=20,
    ci_repeats=6,
    missing=no_etcd,
)
async def known_everywhere(stage: Stage) -> None:
    cluster = await cluster_of(stage)
    crowd = 30 if stage.ci else 100
    for number in range(3):
        await agents_at(stage, cluster, number, crowd, f"crowd{number}")
    finding = stage.finding
    async with AsyncExitStack() as stack:
        for number in range(stage.repeats * 3):
            at = number % 3
            client = await stack.enter_async_context(RegistryClient(cluster.members[at].address))
            session = client.session(f"new-{number}", [spec_of(f"new-{number}")])
            await session.start()
            t0 = time.monotonic()
            for member in cluster.members:
                seen = await member.observer.until((f"new-{number}",), healthy, 0.0, 10.0)
                finding.sample("ready at a member", max(0.0, seen[f"new-{number}"] - t0))
        late = quantile(finding.samples["ready at a member"], 0.99)
        finding.check(late < SEEN_S, f"p99 of being ready at a member is {late:.3f} s, limit {SEEN_S} s")
        for number in range(stage.repeats):
            at = number % 3
            victims = await Agents.start(stage.nursery, cluster.members[at].address, 3, f"victim{number}")
            await everywhere(cluster.members, victims.ids)
            t0 = victims.kill()
            for place, member in enumerate(cluster.members):
                seen = await member.observer.until(victims.ids, unhealthy, t0, 10.0)
                stage.samples("kill seen at its owner" if place == at else "kill seen elsewhere", seen, t0)
        late = quantile(finding.samples["kill seen elsewhere"], 0.99)
        finding.check(late < KILL_SEEN_S, f"p99 of a kill seen elsewhere is {late:.3f} s, limit {KILL_SEEN_S} s")


@dataclass
class Callers:
    """Callers with all addresses, who select and release without a pause."""

    done: int = 0
    failed: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, cluster: Cluster, count: int) -> None:
        for number in range(count):
            self._tasks.append(asyncio.create_task(self._call(cluster.addresses(number % 3))))

    async def _call(self, addresses: str) -> None:
        async with BalancerClient(addresses) as client:
            while True:
                began = time.monotonic()
                try:
                    await client.release(await client.acquire(WORK))
                    self.done += 1
                except RegistryError as error:
                    self.failed.append(f"{error.reason}: {error.message}")
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@GROUP.row(
    "46",
    "member-killed",
    "kill -9 of a member: its agents are HEALTHY at the others in under 5 s, none is declared dead in between, and "
    "callers who know several addresses see no failed selection",
    repeats=1,
    missing=no_etcd,
)
async def member_killed(stage: Stage) -> None:
    cluster = await cluster_of(stage)
    count = 30 if stage.ci else 100
    for number in range(3):
        await agents_at(stage, cluster, number, count, f"a{number}")
    callers = Callers()
    callers.start(cluster, 6)
    await asyncio.sleep(2.0)
    t0 = await stage.killed(cluster.members[0])
    left, moved = cluster.members[1:], cluster.agents[0].ids
    await asyncio.sleep(BACK_S)
    for member in left:
        at = await member.observer.until_all(cluster.ids, healthy, 30.0)
        stage.finding.sample("all HEALTHY elsewhere", at - t0, BACK_S)
        back = [sight for sight in member.observer.since(t0) if sight.agent_id in moved and healthy(sight)]
        stage.finding.check(bool(back), "no agent of the dead member came elsewhere")
    await asyncio.sleep(5.0)
    await callers.stop()
    nobody_died(stage, left, cluster.ids, t0)
    stage.finding.count("selections", callers.done)
    stage.finding.count("failed selections", len(callers.failed))
    stage.finding.sample("longest selection", callers.longest_s)
    stage.finding.check(not callers.failed, f"{len(callers.failed)} selections failed, such as {callers.failed[:2]}")


@GROUP.row(
    "42",
    "etcd-killed",
    "etcd is killed and started again 10 s later: nobody is declared dead, discovery and selection go on and say how "
    "stale they are, writes are refused with RetryInfo, and nothing is missed",
    repeats=1,
    missing=no_etcd,
)
async def etcd_killed(stage: Stage) -> None:
    cluster = await cluster_of(stage)
    for number in range(3):
        await agents_at(stage, cluster, number, 20, f"a{number}")
    await without_etcd(stage, cluster, cluster.nodes, 4.0 if stage.ci else 10.0)


async def without_etcd(stage: Stage, cluster: Cluster, nodes: Sequence[Node], seconds: float) -> None:
    """These nodes are killed for so long."""
    t0, finding = time.monotonic(), stage.finding
    for node in nodes:
        await node.kill()
    await asyncio.sleep(seconds)
    async with RegistryClient(cluster.members[1].address) as client:
        found = await client.discover(WORK)
        lacking = set(cluster.ids) - {service.agent_id for service in found.services}
        finding.check(not lacking, f"{len(lacking)} are not found while etcd is lost")
        finding.check(found.stale_for_s > 1.0, f"stale_for is {found.stale_for_s:g} s while etcd is lost")
    async with BalancerClient(cluster.members[1].address) as caller:
        for _ in range(20):
            await caller.release(await caller.acquire(WORK))
    reason = await refused(cluster.members[1].address)
    finding.check(reason == Reason.STORE_DOWN, f"a registration was answered {reason or 'with yes'}")
    victim = cluster.agents[0]
    victim.kill()  # what really dies is seen at its owner, and by all once etcd is back
    await seen_by_somebody(cluster, victim.ids, t0)
    began = time.monotonic()
    for node in nodes:
        await node.start()
    for node in nodes:
        await node.ready()
    for member in cluster.members:
        seen = await member.observer.until(victim.ids, unhealthy, t0, 30.0)
        finding.sample("the dead known everywhere after", max(0.0, max(seen.values()) - began))
    late = await agents_at(stage, cluster, 1, 3, "late")
    alive = [one for agents in cluster.agents[1:] for one in agents.ids]
    await everywhere(cluster.members, alive)
    nobody_died(stage, cluster.members, alive, t0)
    finding.count("agents registered after", len(late.ids))


async def seen_by_somebody(cluster: Cluster, ids: Sequence[str], since: float) -> None:
    """Until each of these is seen dead by its owner, whichever member that is."""
    async with asyncio.timeout(10.0):
        while True:
            dead = {sight.agent_id for one in cluster.members for sight in one.observer.since(since, "UNHEALTHY")}
            if dead >= set(ids):
                return
            await asyncio.sleep(0.05)


@GROUP.row(
    "43",
    "etcd-stopped",
    "etcd is stopped (SIGSTOP) past the members' ttl: all of them are there again, nobody is declared dead, and agents "
    "are UNKNOWN for a moment at most",
    repeats=2,
    missing=no_etcd,
)
async def etcd_stopped(stage: Stage) -> None:
    cluster = await cluster_of(stage)
    for number in range(3):
        await agents_at(stage, cluster, number, 20, f"a{number}")
    for _ in range(stage.repeats):
        t0 = time.monotonic()
        cluster.nodes[0].stop()
        await asyncio.sleep(6.0)
        back = time.monotonic()
        cluster.nodes[0].cont()
        await asyncio.sleep(4.0)
        stage.finding.sample("all as before after", max(0.0, await everywhere(cluster.members, cluster.ids) - back))
        nobody_died(stage, cluster.members, cluster.ids, t0)
        doubted = {sight.agent_id for member in cluster.members for sight in member.observer.since(t0, "UNKNOWN")}
        stage.finding.count("UNKNOWN for a while", len(doubted))
        await taken_again(stage, cluster.members[2], back, "after etcd was back a registration was refused")


@GROUP.row(
    "44",
    "etcd-minority",
    "three etcd nodes: one that dies, the leader too, costs nothing; without a majority writes are refused, everything "
    "else goes on, and no service has two owners",
    repeats=1,
    missing=no_etcd,
)
async def etcd_minority(stage: Stage) -> None:
    nodes = await stage.enter(running_nodes(stage.directory, 3))
    cluster = await members(stage, nodes)
    for number in range(3):
        await agents_at(stage, cluster, number, 10, f"a{number}")
    t0 = time.monotonic()
    leader = await leader_of(nodes)
    await leader.kill()
    began = time.monotonic()
    took_s = await taken_again(stage, cluster.members[0], began, "without its leader etcd takes no writes")
    stage.finding.sample("writes taken again after the leader's death", took_s)
    await leader.start()
    await leader.ready()
    await without_etcd(stage, cluster, nodes[:2], 4.0)
    await one_owner(stage, cluster)
    nobody_died(stage, cluster.members, cluster.agents[1].ids, t0)


async def leader_of(nodes: Sequence[Node]) -> Node:
    for node in nodes:
        status = await node.ctl("endpoint", "status", "-w", "fields")
        said = {line.partition(" : ")[0].strip('"'): line.partition(" : ")[2] for line in status.splitlines()}
        if said["Leader"] == said["MemberID"]:
            return node
    raise RuntimeError("etcd has no leader")


async def lost(where: Daemon, name: str) -> None:
    """Until a member does not count there any more."""
    async with AdminClient(where.address) as admin, asyncio.timeout(SETTLED_S):
        while name in {member.name for member in (await admin.server_info()).members}:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)


async def one_owner(stage: Stage, cluster: Cluster) -> None:
    """Every agent's stream is open at one member: together they hold as many as there are agents. One that moves to
    another member meanwhile may be counted at neither, or at both: they are counted again.
    """
    alive = sum(len(agents.ids) for agents in cluster.agents if agents.child.exit_code is None)
    give_up = time.monotonic() + BACK_S
    while (streams := await streams_at(cluster.members)) != alive and time.monotonic() < give_up:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    stage.finding.check(streams == alive, f"{streams} streams for {alive} agents")


async def streams_at(members: Sequence[Daemon]) -> int:
    """Heartbeat streams of all of these."""
    streams = 0
    for member in members:
        async with AdminClient(member.address) as admin:
            streams += (await admin.server_info()).streams
    return streams


@GROUP.row(
    "45",
    "etcd-full",
    "etcd has no space left (NOSPACE), and is compacted under the watch: read-only with an alarm, nobody is declared "
    "dead; compacted and with room again it takes writes",
    repeats=1,
    missing=no_etcd,
)
async def etcd_full(stage: Stage) -> None:
    node = await stage.enter(running_node(stage.directory, "--quota-backend-bytes", "4000000"))
    cluster = await members(stage, [node])
    for number in range(3):
        await agents_at(stage, cluster, number, 10, f"a{number}")
    t0 = time.monotonic()
    reason = ""
    async with RegistryClient(cluster.members[0].address, timeout_s=10.0) as client:
        made = await client.register(spec_of("fills", liveness=LivenessMode.STATIC))
        for number in range(2_000):
            try:
                big = f'{{"x":"{number:05}{"y" * 15_000}"}}'
                await client.update(made.ref, spec_of("fills", metadata_json=big), ("metadata",))
            except RegistryError as error:
                reason = error.reason
                break
        stage.finding.check(reason == Reason.STORE_DOWN, f"a full etcd was answered {reason or 'with yes'}")
        await asyncio.sleep(1.0)
        async with AdminClient(cluster.members[0].address) as admin:
            info = await admin.server_info()
        stage.finding.check(any(alarm.name == "STORE_DOWN" for alarm in info.alarms), "no alarm while etcd is full")
        stage.finding.check(len((await client.discover(WORK)).services) == 31, "discovery does not go on")
    revision = next(
        line.partition(" : ")[2] for line in (await node.ctl("endpoint", "status", "-w", "fields")).splitlines()
        if line.startswith('"Revision"')
    )  # fmt: skip
    for command in (("compact", revision), ("defrag",), ("alarm", "disarm")):
        await node.ctl(*command)
    began = time.monotonic()
    took_s = await taken_again(stage, cluster.members[1], began, "etcd with room again takes no writes")
    stage.finding.sample("writes taken again after", took_s)
    await everywhere(cluster.members, cluster.ids)
    nobody_died(stage, cluster.members, cluster.ids, t0)


@GROUP.row(
    "C2",
    "member-stopped",
    "a member is stopped (SIGSTOP) past its ttl and goes on: its agents are at the others by then, and stay there; "
    "none is declared dead, and none has two owners",
    repeats=1,
    missing=no_etcd,
)
async def member_stopped(stage: Stage) -> None:
    cluster = await cluster_of(stage)
    for number in range(3):
        await agents_at(stage, cluster, number, 20, f"a{number}")
    await stage.unwatched(cluster.members[0])
    t0 = stage.stop(cluster.members[0].pid)
    moved = cluster.agents[0].ids
    for member in cluster.members[1:]:
        await lost(member, "m1")
        stage.finding.sample("HEALTHY elsewhere", await member.observer.until_all(moved, healthy, 30.0) - t0)
    await asyncio.sleep(1.0)
    stage.go_on(cluster.members[0].pid)
    await asyncio.sleep(4.0)
    await everywhere(cluster.members[1:], cluster.ids)
    nobody_died(stage, cluster.members[1:], cluster.ids, t0)
    give_up = time.monotonic() + BACK_S  # some are given back to it, one by one, each not ready for a moment
    while (lacking := set(cluster.ids) - await cluster.members[0].ready_ids()) and time.monotonic() < give_up:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    stage.finding.check(not lacking, f"{len(lacking)} are not ready where they were")
    await one_owner(stage, cluster)


@GROUP.row(
    "C3",
    "steady-writes",
    "1,500 agents at three members: under 1 write to etcd a second while nothing happens; a member dies: all of its "
    "agents are HEALTHY at the others",
    repeats=1,
    missing=no_etcd,
)
async def steady_writes(stage: Stage) -> None:
    cluster = await cluster_of(stage, ttl="5s")
    each = 60 if stage.ci else 500
    for number in range(3):
        await agents_at(stage, cluster, number, each, f"a{number}")
    await asyncio.sleep(3.0)
    before, seconds = await revision_of(cluster.nodes[0]), 5.0 if stage.ci else 30.0
    await asyncio.sleep(seconds)
    rate = (await revision_of(cluster.nodes[0]) - before) / seconds
    stage.finding.count("agents", 3 * each)
    stage.finding.count("etcd writes a second", round(rate, 3))
    stage.finding.check(rate < 1.0, f"{rate:g} writes to etcd a second while nothing happens")
    t0 = await stage.killed(cluster.members[0])
    wrote = await revision_of(cluster.nodes[0])
    await asyncio.sleep(BACK_S)
    for member in cluster.members[1:]:
        at = await member.observer.until_all(cluster.ids, healthy, 60.0)
        stage.finding.sample("all HEALTHY after a member's death", at - t0)
    stage.finding.count("etcd writes for that", await revision_of(cluster.nodes[0]) - wrote)
    nobody_died(stage, cluster.members[1:], cluster.ids, t0)


async def revision_of(node: Node) -> int:
    fields = (await node.ctl("endpoint", "status", "-w", "fields")).splitlines()
    return int(next(line.partition(" : ")[2] for line in fields if line.startswith('"Revision"')))
