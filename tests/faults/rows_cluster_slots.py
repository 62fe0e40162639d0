"""Slots and facts of a cluster while its members are killed and stopped: what many callers saw, judged afterwards."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from orion_registry.client.admin import AdminClient
from orion_registry.client.agent_calls import CallError
from orion_registry.client.balancer import BalancerClient
from orion_registry.client.selection import Selection
from orion_registry.core.balancing import PREFIX
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError
from tests.cluster.history import record
from tests.cluster.linearizable import violations
from tests.faults.row import Group
from tests.faults.rows_cluster import cluster_of, no_etcd
from tests.faults.serving import Serving
from tests.faults.stage import Stage

GROUP = Group("cluster")

AGENTS, SLOTS, CALLERS = 10, 2, 100
LONGEST_S = 0.3
"""A call, by an agent."""
SLOW, PAUSE_S = 4, 2.0
"""Each so many-th caller waits for up to so long between its selection and its call: the agent's new owner then hears
of no call under way, and grants the slot again while the lease of a dead member is still in somebody's hand."""


@dataclass
class Race:
    """Who holds which lease and calls under it, as the callers know it.

    Attributes:
        dead: lives (their first characters) of members that are killed.
        calls: that agents answered. under_dead: that began while more than SLOTS were under way, one of them under a
            dead member's lease. refused: by agents, because all slots were taken there.
        violations: what must not be.
    """

    held: dict[str, dict[str, Selection]] = field(default_factory=dict)
    calling: dict[str, set[str]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    calls: int = 0
    under_dead: int = 0
    refused: int = 0
    refusals: int = 0
    violations: list[str] = field(default_factory=list)

    def granted(self, selection: Selection) -> None:
        """Leases of living members never exceed the slots."""
        service_id = selection.service.service_id
        held = self.held.setdefault(service_id, {})
        held[selection.selection_id] = selection
        living = sorted(one for one, lease in held.items() if lease.holds and not self._is_dead(one))
        if len(living) > SLOTS:
            self.violations.append(f"{service_id} has {len(living)} leases of living members: {living}")

    def begins(self, selection: Selection) -> None:
        """Calls exceed the slots under a dead member's lease alone."""
        calling = self.calling.setdefault(selection.service.service_id, set())
        calling.add(selection.selection_id)
        if len(calling) <= SLOTS:
            return
        if any(self._is_dead(one) for one in calling):
            self.under_dead += 1
        else:
            self.violations.append(f"{selection.service.service_id} has {len(calling)} calls: {sorted(calling)}")

    def ends(self, selection: Selection) -> None:
        """The lease is about to be released."""
        self.held[selection.service.service_id].pop(selection.selection_id, None)
        self.calling.get(selection.service.service_id, set()).discard(selection.selection_id)

    def _is_dead(self, selection_id: str) -> bool:
        return selection_id[:PREFIX] in self.dead


class Caller(BalancerClient):
    """A client that tells a race of its selections. `pause_s`: how long it waits at most before it calls."""

    def __init__(self, addresses: str, race: Race, pause_s: float) -> None:
        super().__init__(addresses)
        self._race = race
        self._pause_s = pause_s

    @asynccontextmanager
    async def select(self, selector: Selector, **choice: Any) -> AsyncIterator[Selection]:
        """See `BalancerClient.select`."""
        async with super().select(selector, **choice) as selection:
            self._race.granted(selection)
            try:
                if self._pause_s:
                    await asyncio.sleep(random.uniform(0.0, self._pause_s))
                self._race.begins(selection)
                yield selection
            finally:
                self._race.ends(selection)
            if selection.outcome is Outcome.UNKNOWN:  # the agent did not begin
                self._race.refused += 1

    async def run(self, over: asyncio.Event) -> None:
        """Calls one agent after the other; what is refused it asks for again."""
        async with self:
            while not over.is_set():
                try:
                    await self.call("race", timeout_s=10.0)
                except (RegistryError, CallError):
                    self._race.refusals += 1
                    await asyncio.sleep(0.1)
                else:
                    self._race.calls += 1


@GROUP.row(
    "C4",
    "slots-across",
    "100 callers at three members race for 10 agents of 2 slots while members are killed: leases of living members "
    "never exceed 2; calls above 2 only under a lease of a dead member, and an Agent refuses what is over its 2",
    repeats=1,
    missing=no_etcd,
)
async def slots_across(stage: Stage) -> None:
    cluster = await cluster_of(stage)
    addresses = cluster.addresses(0)
    serving = await Serving.start(stage.nursery, addresses, agents=AGENTS, slots=SLOTS, longest_s=LONGEST_S)
    names = [f"slot-{number}" for number in range(AGENTS)]
    for member in cluster.members:
        await member.observer.until_all(names, lambda one: one.ready, 30.0)
    lives = [await life_of(member.address) for member in cluster.members]
    race, over = Race(), asyncio.Event()
    clients = [
        Caller(cluster.addresses(one % 3), race, 0.0 if one % SLOW else PAUSE_S) for one in range(CALLERS)
    ]  # fmt: skip
    callers = [asyncio.create_task(client.run(over)) for client in clients]
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
    finding, (let_in, most) = stage.finding, await serving.report()
    finding.faults += [f"a caller ended: {one!r}" for one in done if isinstance(one, BaseException)][:3]
    finding.count("calls", race.calls)
    finding.count("leases of living members above 2", len(race.violations))
    finding.count("calls above 2 under a dead member's lease", race.under_dead)
    finding.count("refused by agents", race.refused)
    finding.count("at once at an agent", most)
    finding.count("calls that failed or found no slot", race.refusals)
    finding.check(not race.violations, f"{len(race.violations)} times too many, such as {race.violations[:1]}")
    finding.check(before > 0 and middle > before and race.calls > middle, "the race stood still after a kill")
    finding.check(most == SLOTS, f"at most {most} calls ran at once at an agent of {SLOTS} slots")
    finding.check(let_in >= race.calls, f"{race.calls} calls were answered, {let_in} were made")


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
