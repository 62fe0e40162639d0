"""Slots and facts of a cluster while its members are killed and stopped: what many callers saw, judged afterwards."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace

from orion_registry.client.admin import AdminClient
from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.client.selection import Selection
from orion_registry.client.session import HeartbeatSession
from orion_registry.core.balancing import PREFIX
from orion_registry.core.model import Load
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError
from tests.cluster.history import record
from tests.cluster.linearizable import violations
from tests.faults.row import Group
from tests.faults.rows_cluster import cluster_of, no_etcd, spec_of
from tests.faults.stage import Stage

GROUP = Group("cluster")

AGENTS, SLOTS, CALLERS = 10, 2, 100
RACE = Selector(capabilities=("race",))


@dataclass
class Slotted:
    """An agent, and what it serves."""

    session: HeartbeatSession
    service_id: str
    running: int = 0
    refused: int = 0
    most: int = 0

    async def work(self) -> bool:
        """One call; refused if it serves as many as it may, as the Agent helper does it."""
        if self.running >= SLOTS:
            self.refused += 1
            return False
        self.running += 1
        self.most = max(self.most, self.running)
        self.session.set_load(Load(in_flight=self.running))
        try:
            await asyncio.sleep(random.uniform(0.005, 0.05))
        finally:
            self.running -= 1
            self.session.set_load(Load(in_flight=self.running))
        return True


@dataclass
class Race:
    """Who holds which lease, as the callers know it: from its grant until they begin to release it."""

    agents: dict[str, Slotted]
    held: dict[str, set[str]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    calls: int = 0
    under_dead: int = 0
    violations: list[str] = field(default_factory=list)
    refusals: int = 0

    def granted(self, selection: Selection) -> None:
        service_id = selection.service.service_id
        held = self.held.setdefault(service_id, set())
        held.add(selection.selection_id)
        if len(held) > SLOTS:
            if any(one[:PREFIX] in self.dead for one in held):
                self.under_dead += 1
            else:
                self.violations.append(f"{service_id} has {len(held)} leases: {sorted(held)}")

    def ends(self, selection: Selection) -> None:
        self.held[selection.service.service_id].discard(selection.selection_id)


async def call_on(race: Race, addresses: str, over: asyncio.Event) -> None:
    """A caller; whatever is refused it asks for again."""
    async with BalancerClient(addresses) as client:
        while not over.is_set():
            try:
                selection = await client.acquire(RACE, wait_s=5.0, ttl_s=10.0)
            except RegistryError:
                race.refusals += 1
                await asyncio.sleep(0.1)
                continue
            race.granted(selection)
            await race.agents[selection.service.service_id].work()
            race.calls += 1
            race.ends(selection)
            with suppress(RegistryError):  # of a member that is dead
                await client.release(selection)


@GROUP.row(
    "C4",
    "slots-across",
    "100 callers at three members race for 10 agents of 2 slots while members are killed: leases of living members "
    "never exceed 2; calls above 2 only under a lease of a dead member, counted",
    repeats=1,
    missing=no_etcd,
)
async def slots_across(stage: Stage) -> None:
    cluster = await cluster_of(stage)
    agents: dict[str, Slotted] = {}
    race = Race(agents)
    for number in range(AGENTS):
        client = await stage.enter(RegistryClient(cluster.addresses(number % 3)))
        spec = replace(spec_of(f"slot-{number}", max_concurrency=SLOTS), capabilities=("race",))
        session = client.session(f"slot-{number}", [spec])
        await stage.enter(session)
        agent = Slotted(session, session.ref().service_id)
        agents[agent.service_id] = agent
    for member in cluster.members:
        await member.observer.until_all([f"slot-{number}" for number in range(AGENTS)], lambda one: one.ready, 30.0)
    lives = [await life_of(member.address) for member in cluster.members]
    over = asyncio.Event()
    callers = [asyncio.create_task(call_on(race, cluster.addresses(one % 3), over)) for one in range(CALLERS)]
    seconds = 4.0 if stage.ci else 15.0
    await asyncio.sleep(seconds)
    before = race.calls
    race.dead.add(lives[0][:PREFIX])
    await stage.killed(cluster.members[0])
    await asyncio.sleep(seconds)
    middle = race.calls
    stage.stop(cluster.members[1].pid)  # and a second one stands still past its ttl
    await asyncio.sleep(4.0)
    stage.go_on(cluster.members[1].pid)
    await asyncio.sleep(seconds)
    over.set()
    done = await asyncio.gather(*callers, return_exceptions=True)
    finding = stage.finding
    finding.faults += [f"a caller ended: {one!r}" for one in done if isinstance(one, BaseException)][:3]
    finding.count("calls", race.calls)
    finding.count("above 2 under a dead member's lease", race.under_dead)
    finding.count("refused by agents", sum(agent.refused for agent in agents.values()))
    finding.count("selections refused", race.refusals)
    finding.check(not race.violations, f"{len(race.violations)} times too many, such as {race.violations[:1]}")
    finding.check(before > 0 and middle > before and race.calls > middle, "the race stood still after a kill")
    finding.check(max(agent.most for agent in agents.values()) == SLOTS, "no agent was ever full: nothing is shown")


async def life_of(address: str) -> str:
    async with AdminClient(address) as admin:
        return (await admin.server_info()).history_id


@GROUP.row(
    "48",
    "linearizable",
    "clients register, change, read and remove at all members while these are killed and stopped: what they were "
    "answered is linearizable for each natural key",
    repeats=1,
    missing=no_etcd,
)
async def linearizable(stage: Stage) -> None:
    cluster = await cluster_of(stage)
    seconds = 12.0 if stage.ci else 60.0
    recording = asyncio.create_task(record([member.address for member in cluster.members], seconds, keys=4, clients=9))
    await asyncio.sleep(seconds / 4)
    stage.stop(cluster.members[1].pid)
    await asyncio.sleep(3.0)
    stage.go_on(cluster.members[1].pid)
    await asyncio.sleep(seconds / 4)
    await stage.killed(cluster.members[0])
    history = await recording
    found = violations(history)
    stage.finding.count("operations", len(history))
    stage.finding.count("left open", sum(one.answer is None for one in history))
    stage.finding.count("keys", len({one.key for one in history}))
    stage.finding.check(not found, f"not linearizable: {found[:2]}")
    stage.finding.check(
        sum(one.answer is not None for one in history) > 100, "too little was answered to show anything"
    )
