"""runtime/clustered_selections: what other members granted to a caller who has gone is given back."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from orion_registry.core.membership import Member
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selector import Selector
from orion_registry.errors import NotFound, Reason, ResourceExhausted, Unavailable
from orion_registry.runtime.clustered_selections import TRIES, ClusterSelections, Reserved
from tests.building import STATIC
from tests.core.joined import Joined, two
from tests.runtime.virtual import settle


@dataclass
class Asked:
    request: SelectionRequest
    selector: Selector = field(default_factory=Selector)
    pool: Pool | None = None


class OneAnswers:
    """Another member, which grants one slot at once and does not answer for the others, or fails to."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.granted: list[str] = []
        self.asked = asyncio.Event()
        self.given_back: list[tuple[str, str]] = []

    async def reserve(self, member: Member, service_id: str, namespace: str, request: SelectionRequest) -> Reserved:
        if not self.granted:
            self.asked.set()
            self.granted.append(f"{member.life[:8]}-1")
            return Reserved(selection_id=self.granted[0], ttl_s=10.0, in_flight=1)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        raise AssertionError(await asyncio.get_running_loop().create_future())

    async def renew(self, member: Member, selection_id: str, caller: str, stream: str) -> float:
        raise NotFound(Reason.NO_SUCH_LEASE, selection_id)

    def is_silent(self, life: str) -> bool:
        return False

    def give_back(self, member: Member, selection_id: str, caller: str) -> None:
        self.given_back.append((selection_id, caller))


class TwoMembers:
    """This one with a service of its own, and two of another's."""

    def __init__(self, peers: OneAnswers) -> None:
        one, here = two()
        one.me = Member(name="one", life=one.me.life.encode().hex(), addresses=one.me.addresses)
        one.membership.own = one.me
        here.sees(one)
        self.peers = peers
        self.here: Joined = here
        here.add("mine", liveness=STATIC, max_concurrency=1)
        for number in range(2):
            entry = one.add(f"other{number}", liveness=STATIC, max_concurrency=1)
            here.hears(one, entry.service_id)
        self.selections = ClusterSelections(here.registry.balancing, here.clock, here.membership, peers)

    def select(self) -> "asyncio.Task[object]":
        asked = Asked(SelectionRequest(caller="who/1", count=3))
        return asyncio.get_running_loop().create_task(self.selections.select_or_wait(asked))

    def nothing_is_held(self) -> None:
        assert self.peers.given_back == [(self.peers.granted[0], "who/1")]
        assert self.here.registry.balancing.stats.leases_open == 0


async def test_what_was_granted_to_a_caller_who_gives_up_is_given_back() -> None:
    members = TwoMembers(OneAnswers())
    asking = members.select()
    await members.peers.asked.wait()
    await settle()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    members.nothing_is_held()


class OthersAreFaster(OneAnswers):
    """Another member, which has given its slot to somebody else so often, and is free again each time."""

    def __init__(self, often: int) -> None:
        super().__init__()
        self.often = often
        self.refused = 0
        self.free: Callable[[], None] = lambda: None
        self.tried: Callable[[], None] = lambda: None

    async def reserve(self, member: Member, service_id: str, namespace: str, request: SelectionRequest) -> Reserved:
        if self.refused == self.often:
            return Reserved(selection_id=f"{member.life[:8]}-1", ttl_s=10.0, in_flight=1)
        self.refused += 1
        if self.refused > TRIES:
            self.tried()
        asyncio.get_running_loop().call_later(0.01, self.free)  # once the refusal was taken in
        raise ResourceExhausted(Reason.NO_FREE_SLOT, "others were faster")


@pytest.mark.parametrize("wait_s", [0.0, 60.0])
async def test_who_waits_is_refused_when_its_time_is_over_and_not_before(
    wait_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orion_registry.runtime.clustered_selections.PAUSE_S", 0.0)
    peers = OthersAreFaster(often=TRIES + 3)
    members = TwoMembers(peers)
    here, balancing = members.here, members.here.registry.balancing
    mine, other, another = (entry.service_id for entry in here.registry.fleet.catalog)
    peers.free = lambda: balancing.told_elsewhere(other, 0, 0.0, here.clock.now())
    request = SelectionRequest(caller="who/1", excluded=frozenset({mine, another}), wait_s=wait_s)
    selecting = members.selections.select_or_wait(Asked(request))
    if wait_s:
        (lease,) = await selecting
        assert (lease.service_id, peers.refused) == (other, TRIES + 3)
    else:
        with pytest.raises(ResourceExhausted, match="all slots of"):
            await selecting


async def test_what_was_granted_before_a_fault_is_given_back() -> None:
    members = TwoMembers(OneAnswers(RuntimeError("of a test")))
    with pytest.raises(RuntimeError, match="of a test"):
        await members.select()
    members.nothing_is_held()


@pytest.mark.timeout(20)
async def test_nobody_waits_on_once_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even who was just asking another member, in no queue."""
    monkeypatch.setattr("orion_registry.runtime.clustered_selections.PAUSE_S", 0.0)
    peers = OthersAreFaster(often=10**9)
    members = TwoMembers(peers)
    balancing = members.here.registry.balancing
    mine, other, another = (entry.service_id for entry in members.here.registry.fleet.catalog)
    peers.free = lambda: balancing.told_elsewhere(other, 0, 0.0, members.here.clock.now())
    request = SelectionRequest(caller="who/1", excluded=frozenset({mine, another}), wait_s=3_600.0)
    peers.tried = members.selections.stop
    with pytest.raises(Unavailable, match="stopping"):
        await members.selections.select_or_wait(Asked(request))
