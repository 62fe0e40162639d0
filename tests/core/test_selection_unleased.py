"""Selection without leases: the same picks, slots counted the same, nothing to find again."""

import random

import pytest

from orion_registry.core.selection.balancer import Balancer
from orion_registry.core.selection.candidate import Tier
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selection.unleased import UnleasedBalancer
from orion_registry.errors import NotFound, Reason, ResourceExhausted, Unavailable
from tests.simulation.fakes import Heard, Member

ANY = SelectionRequest()


def fleet(*members: Member) -> tuple[UnleasedBalancer, Pool, Heard]:
    heard = Heard()
    balancer = UnleasedBalancer(BalancerConfig(), random.Random(1).random, "v", heard)
    for member in members:
        balancer.put(member, 0.0)
    return balancer, balancer.pool("all", lambda: [member.service_id for member in members]), heard


@pytest.mark.parametrize("name", list(StrategyName))
def test_it_picks_what_the_leasing_balancer_picks(name: StrategyName) -> None:
    """Step by step, with the same draws: takes, returns and outcomes in any order."""
    members = [Member(f"s{n}", max_concurrency=n % 3 + 6, zone="ab"[n % 2], weight=n % 2 + 1) for n in range(9)]
    unleased, pool, _ = fleet(*members)
    leasing = Balancer(BalancerConfig(), random.Random(1).random, "v", Heard())
    for member in members:
        leasing.put(member, 0.0)
    twin = leasing.pool("all", lambda: [member.service_id for member in members])
    rng = random.Random(7)
    held: list[tuple[Slots, Lease]] = []
    for step in range(400):
        now = 0.01 * step
        if held and (len(held) > 12 or rng.random() < 0.4):
            slots, lease = held.pop(rng.randrange(len(held)))
            outcome, took_s = rng.choice(list(Outcome)), rng.random()
            unleased.give_back(slots, now, outcome, took_s)
            leasing.end(lease, now, outcome, took_s)
            continue
        request = SelectionRequest(strategy=name, zone=rng.choice(["", "a"]), key=rng.choice(["", "k"]))
        slots = unleased.take(pool, request, now)
        granted = leasing.select(twin, request, now)
        assert isinstance(granted, tuple)
        assert slots.service_id == granted[0].service_id, f"step {step}"
        held.append((slots, granted[0]))
    assert {slots.service_id: slots.in_flight for slots in pool.members} == {
        slots.service_id: slots.in_flight for slots in twin.members
    }
    assert unleased.scopes.stats[name].selections == leasing.scopes.stats[name].selections > 100


def test_its_kinds_of_none() -> None:
    balancer, pool, _ = fleet(Member("a", max_concurrency=1))
    taken = balancer.take(pool, ANY, 0.0)
    with pytest.raises(ResourceExhausted) as full:
        balancer.take(pool, ANY, 0.0)
    assert full.value.reason is Reason.NO_FREE_SLOT
    with pytest.raises(NotFound):
        balancer.take(pool, SelectionRequest(excluded=frozenset({"a"})), 0.0)
    balancer.give_back(taken, 0.0)
    assert balancer.take(pool, ANY, 0.0) is taken
    balancer.put(Member("a", Tier.DEGRADED), 0.0)
    with pytest.raises(Unavailable) as unready:
        balancer.take(pool, ANY, 0.0)
    assert unready.value.reason is Reason.NO_READY_SERVICE


def test_a_service_that_left_and_came_back_begins_with_all_its_slots() -> None:
    balancer, pool, heard = fleet(Member("a", max_concurrency=2), Member("b"))
    exclude_b = SelectionRequest(excluded=frozenset({"b"}))
    before = balancer.take(pool, exclude_b, 0.0)
    balancer.drop("a")
    balancer.put(Member("a", max_concurrency=2), 1.0)
    balancer.join(pool, "a", 1.0)
    after = balancer.take(pool, exclude_b, 1.0)
    for number in range(9):
        balancer.give_back(before, 1.0, Outcome.FAILED, float(number))
    assert after.in_flight == 1, "what ends of its former life takes nothing from this one"
    assert not heard.ejections


def test_failures_eject_and_time_brings_back() -> None:
    balancer, pool, heard = fleet(Member("a"), Member("b"))
    exclude_b = SelectionRequest(excluded=frozenset({"b"}))
    for _ in range(5):
        balancer.give_back(balancer.take(pool, exclude_b, 0.0), 0.0, Outcome.FAILED, 0.1)
    assert [service_id for service_id, _ in heard.ejections] == ["a"]
    assert {balancer.take(pool, ANY, 1.0).service_id for _ in range(20)} == {"b"}
    balancer.tick(31.0)
    assert balancer.take(pool, exclude_b, 31.0).service_id == "a"
