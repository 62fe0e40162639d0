"""runtime/taking: what a former owner that does not answer owes keeps nobody from what the others have handed over."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orion_registry.core.membership import Member
from orion_registry.errors import Reason, Unavailable
from orion_registry.runtime.taking import Taking
from orion_registry.store.base import StoreFailed
from tests.building import LOCAL, OTHER_SECRET, SECRET, STATIC, ref_of
from tests.core.joined import Joined
from tests.runtime.virtual import settle


class Answering:
    """Other members, of which some do not answer."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.asked: list[str] = []

    def reachable(self, life: str) -> bool:
        return life not in self.silent

    async def hand_over(self, member: Member, service_ids: Sequence[str]) -> Mapping[str, Sequence[float]] | None:
        self.asked.append(member.name)
        if member.life in self.silent:
            raise Unavailable(Reason.STORE_DOWN, "of a test", retry_after_s=1.0)
        return {}


class Storing:
    """A cluster that stores what is taken at once."""

    taking: Taking
    in_doubt = False

    async def take(self, service_ids: Sequence[str]) -> None:
        if self.in_doubt:
            raise StoreFailed("of a test")
        for service_id in service_ids:
            self.taking.taken(service_id)

    async def refresh(self, service_id: str) -> bool:
        return False


class Three:
    """A member, and two others with a service each."""

    def __init__(self) -> None:
        self.here, self.others = Joined("here"), (Joined("m1"), Joined("m2"))
        self.here.sees(*self.others)
        self.services = tuple(self._of(other) for other in self.others)
        self.peers, self.cluster = Answering(), Storing()
        parts: dict[str, Any] = {"cluster": self.cluster, "peers": self.peers, "clock": self.here.clock}
        self.cluster.taking = self.taking = Taking(
            registry=self.here.registry, membership=self.here.membership, epochs_above=self._epochs_above, **parts
        )

    def _of(self, other: Joined) -> str:
        entry = other.add(f"of-{other.me.name}", liveness=STATIC)
        return self.here.hears(other, entry.service_id).service_id

    async def _epochs_above(self, epoch: int) -> None:
        self.here.reserve_above(epoch)

    async def come(self, secret: str = SECRET) -> None:
        """The agent of both comes here."""
        await self.taking.take_for([ref_of(self.here.registry.get(one), secret) for one in self.services], LOCAL)

    @property
    def held_off(self) -> list[bool]:
        return [self.here.registry.get(one).held_off for one in self.services]


@pytest.mark.parametrize("silent", [0, 1])
async def test_one_that_does_not_answer_holds_off_its_own_services_alone(silent: int) -> None:
    three = Three()
    three.peers.silent.add(three.others[silent].me.life)
    await three.come()
    assert all(map(three.here.membership.is_ours, three.services))
    assert three.held_off == [number == silent for number in range(2)]
    three.peers.asked.clear()
    three.taking.collect_again()
    await settle()
    assert three.peers.asked == [three.others[silent].me.name], "who has answered owes nothing"
    three.peers.silent.clear()
    three.taking.collect_again()
    await settle()
    assert three.held_off == [False, False]


async def test_what_is_owed_is_asked_for_by_who_may_act_for_it_alone() -> None:
    three = Three()
    three.peers.silent = {other.me.life for other in three.others}
    await three.come()
    three.peers.asked.clear()
    await three.come(OTHER_SECRET)
    assert three.peers.asked == []
    await three.come()
    assert sorted(three.peers.asked) == ["m1", "m2"]


async def test_what_was_taken_in_doubt_is_held_off_once_it_is_known_as_taken() -> None:
    """The answer of etcd was lost: who had the services may be granting slots of them all the same."""
    three = Three()
    three.cluster.in_doubt = True
    three.peers.silent = {other.me.life for other in three.others}
    await three.come()
    for service_id in three.services:
        three.taking.taken(service_id)
    assert three.held_off == [True, True]
    three.peers.silent.clear()
    three.taking.collect_again()
    await settle()
    assert three.held_off == [False, False]
