"""Links of a cluster that are cut: between one member and etcd, and between members that all reach etcd."""

import asyncio
import random
import time
from dataclasses import dataclass, field, replace

from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.client.session import HeartbeatSession
from orion_registry.core.model import Load
from orion_registry.core.selector import Selector
from orion_registry.errors import Reason, RegistryError
from tests.etcd.node import free_port, running_node
from tests.faults.observer import Sight, healthy
from tests.faults.proxy import Proxy
from tests.faults.row import Group
from tests.faults.rows_cluster import SETTLED_S, everywhere, member_options, no_etcd, nobody_died, refused, taken_again
from tests.faults.rows_cluster import spec_of as plain_spec
from tests.faults.rows_cluster_slots import SLOTS, Race
from tests.faults.stage import Daemon, Stage

GROUP = Group("cluster")

AGENTS, CALLERS = 4, 8
"""At each member."""
BUSY, CALM = 12, 4
"""At m1, which has 8 slots, and at m2, which has as many: m1's callers want some of m2's, and find them free."""
ANSWER_S = 5.0
"""How long a selection may take while members are cut off from each other: one that does not answer is asked once."""
LOST_S, BACK_S = 10.0, 10.0
RACE = Selector(capabilities=("race",))


@dataclass
class Slotted:
    """An agent that tells how many calls it serves."""

    session: HeartbeatSession
    running: int = 0
    most: int = 0

    async def work(self) -> None:
        """One call."""
        self.running += 1
        self.most = max(self.most, self.running)
        self.session.set_load(Load(in_flight=self.running))
        try:
            await asyncio.sleep(random.uniform(0.005, 0.05))
        finally:
            self.running -= 1
            self.session.set_load(Load(in_flight=self.running))


@dataclass
class Crowd(Race):
    """A race for agents of this process, by service_id."""

    agents: dict[str, Slotted] = field(default_factory=dict)


@dataclass
class Calls:
    """Callers at one member each, who hold every lease for a moment."""

    race: Crowd
    by_member: dict[str, int] = field(default_factory=dict)
    by_agent: dict[tuple[str, str], int] = field(default_factory=dict)
    longest_s: float = 0.0
    unclear: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, where: list[Daemon], count: int = CALLERS) -> None:
        for member in where:
            for _ in range(count):
                self.tasks.append(asyncio.create_task(self._call(member.address)))

    async def _call(self, address: str) -> None:
        async with BalancerClient(address) as client:
            while not self.over.is_set():
                began = time.monotonic()
                try:
                    selection = await client.acquire(RACE, ttl_s=10.0)
                except RegistryError as error:
                    self.race.refusals += 1
                    if error.retry_after_s is None:
                        self.unclear.append(f"{error.reason}: {error.message}")
                    await asyncio.sleep(0.05)
                    continue
                finally:
                    self.longest_s = max(self.longest_s, time.monotonic() - began)
                self.race.granted(selection)
                await self.race.agents[selection.service.service_id].work()
                self.race.calls += 1
                pair = address, selection.service.agent_id.partition("-")[0]
                self.by_agent[pair] = self.by_agent.get(pair, 0) + 1
                self.by_member[address] = self.by_member.get(address, 0) + 1
                self.race.ends(selection)
                try:
                    await client.release(selection)
                except RegistryError:  # its owner cannot be asked: the lease ends by its ttl
                    self.race.refusals += 1

    async def stop(self, stage: Stage) -> None:
        self.over.set()
        done = await asyncio.gather(*self.tasks, return_exceptions=True)
        finding = stage.finding
        finding.faults += [f"a caller ended: {one!r}" for one in done if isinstance(one, BaseException)][:3]
        finding.count("calls", self.race.calls)
        finding.count("selections refused", self.race.refusals)
        finding.check(not self.race.violations, f"slots given twice, such as {self.race.violations[:1]}")
        finding.check(not self.unclear, f"refused without RetryInfo, such as {self.unclear[:1]}")
        finding.check(max(agent.most for agent in self.race.agents.values()) == SLOTS, "no agent was ever full")


async def crowd(stage: Stage, members: list[Daemon]) -> Crowd:
    """Agents of some slots at each member; returns when all members show them ready."""
    race = Crowd()
    ids = []
    for place, member in enumerate(members):
        for number in range(AGENTS):
            agent_id = f"m{place + 1}-{number}"
            client = await stage.enter(RegistryClient(member.address))
            spec = replace(plain_spec(agent_id, max_concurrency=SLOTS), capabilities=("race",))
            session = client.session(agent_id, [spec])
            await stage.enter(session)
            race.agents[session.ref().service_id] = Slotted(session)
            ids.append(agent_id)
    await everywhere(members, ids)
    return race


def doubted(sight: Sight) -> bool:
    return sight.status == "UNKNOWN" and "OWNER_LOST" in sight.reasons


@GROUP.row(
    "C5",
    "cut-from-etcd",
    "a member cut off from etcd alone: its agents go on there, its writes are refused with RetryInfo, the others show "
    "its services UNKNOWN(OWNER_LOST) and never UNHEALTHY, and no slot is given twice, then or after it heals",
    repeats=1,
    missing=no_etcd,
)
async def cut_from_etcd(stage: Stage) -> None:
    node = await stage.enter(running_node(stage.directory))
    link = await Proxy.start(stage.nursery, "link-etcd", node.address)
    places = (1, 2) if stage.ci else (1, 2, 3)
    etcd = [link.address, *(node.address for _ in places[1:])]
    members = [await stage.daemon(*member_options([one], number)) for number, one in enumerate(etcd)]
    race = await crowd(stage, members)
    cut, others, finding = members[0], members[1:], stage.finding
    ids = tuple(f"m1-{number}" for number in range(AGENTS))
    calls = Calls(race)
    calls.start(members)
    t0 = time.monotonic()
    await link.tell("freeze")
    for one in others:
        seen = await one.observer.until(ids, doubted, t0, LOST_S)
        stage.samples("OWNER_LOST elsewhere", seen, t0, LOST_S)
    before = calls.by_member.get(cut.address, 0)
    reason = await refused(cut.address)
    finding.check(reason == Reason.STORE_DOWN, f"a registration was answered {reason or 'with yes'}")
    await asyncio.sleep(0.5 if stage.ci else 14.0)  # 10 s is how long those of a lost owner are waited for
    finding.check(calls.by_member.get(cut.address, 0) > before, "selections stood still at the member that was cut off")
    gone = [sight for sight in cut.observer.since(t0) if sight.agent_id in ids and not healthy(sight)]
    finding.check(not gone, f"its own agents were no longer HEALTHY there: {gone[:1]}")
    back = time.monotonic()
    await link.tell("heal")
    all_ids = [f"m{place}-{number}" for place in places for number in range(AGENTS)]
    finding.sample("HEALTHY everywhere", max(0.0, await everywhere(members, all_ids, SETTLED_S) - back), BACK_S)
    await taken_again(stage, cut, back, "it takes no writes again", SETTLED_S)
    await calls.stop(stage)
    nobody_died(stage, members, all_ids, t0)
    finding.check(await streams_of(cut) == AGENTS, "its agents left it")


async def streams_of(daemon: Daemon) -> int:
    return sum(info.agent_id.startswith("m1-") and info.ready for info in await daemon.found())


@GROUP.row(
    "C6",
    "members-cut",
    "two members cut off from each other while both reach etcd: selections take agents of the member that was asked, "
    "or are refused with RetryInfo in under 5 s, no slot is given twice, nobody is declared dead",
    repeats=1,
    missing=no_etcd,
)
async def members_cut(stage: Stage) -> None:
    node = await stage.enter(running_node(stage.directory))
    links, members = [], []
    for number in (1, 2):
        own = f"127.0.0.1:{free_port()}"
        link = await Proxy.start(stage.nursery, f"link-{number}", own)
        links.append(link)
        places = ("--listen", own, "--advertise", link.address, "--advertise", own)
        members.append(await stage.daemon(*member_options([node.address], number - 1), *places))
    race = await crowd(stage, members)
    finding, ids = stage.finding, [f"m{place}-{number}" for place in (1, 2) for number in range(AGENTS)]
    calls = Calls(race)
    calls.start(members[:1], BUSY)
    calls.start(members[1:], CALM)
    await asyncio.sleep(0.7)
    await crossed(calls, members[0])
    far = calls.by_agent.get((members[0].address, "m2"), 0)
    finding.check(far > 0, "before the cut no selection at m1 took an agent of m2: nothing is shown")
    finding.count("taken across before", far)
    t0, calls.longest_s = time.monotonic(), 0.0
    for link in links:
        await link.tell("freeze")
    await asyncio.sleep(1.0)
    before = dict(calls.by_member)
    await asyncio.sleep(2.5 if stage.ci else 12.0)
    for place, one in enumerate(members, 1):
        more = calls.by_member.get(one.address, 0) - before.get(one.address, 0)
        finding.check(more > 0, f"no selection at m{place} went on to an agent of its own")
    finding.sample("longest selection while cut", calls.longest_s, ANSWER_S)
    reason = await refused(members[0].address)
    finding.check(not reason, f"a registration was refused, while etcd is there: {reason}")
    back = time.monotonic()
    for link in links:
        await link.tell("heal")
    finding.sample("the other's agents selected again", await crossed(calls, members[0]) - back, BACK_S)
    await calls.stop(stage)
    nobody_died(stage, members, ids, t0)


async def crossed(calls: Calls, where: Daemon) -> float:
    """When a caller at m1 has called an agent of m2 again."""
    pair, give_up = (where.address, "m2"), time.monotonic() + SETTLED_S
    before = calls.by_agent.get(pair, 0)
    while time.monotonic() < give_up:
        if calls.by_agent.get(pair, 0) > before:
            break
        await asyncio.sleep(0.01)
    return time.monotonic()
