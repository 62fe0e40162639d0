"""Zone preference: near candidates first while they have room and enough of them are ready; else all alike."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.selection.explain import Explanation, Verdict
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.zones import ZONES
from orion_registry.errors import InvalidArgument
from tests.core.selecting import Bench, Member, N, Tier


def two_zones(here: int = 3, there: int = 3, slots: int = 2, **config: Any) -> Bench:
    near = [Member(f"h{place}", zone="here", max_concurrency=slots) for place in range(here)]
    far = [Member(f"t{place}", zone="there", max_concurrency=slots) for place in range(there)]
    return Bench(*far, *near, **config)


def served(bench: Bench, number: int, zone: str = "here", **request: Any) -> Counter[str]:
    """The zones of so many selections, none of them released."""
    return Counter(bench.select(zone=zone, **request).slots.zone for _ in range(number))


def explained(bench: Bench, zone: str = "here") -> Explanation:
    return bench.balancer.explain(bench.pool, SelectionRequest(zone=zone), bench.now, lambda: 0.0)


@pytest.mark.parametrize("strategy", list(N))
def test_calls_stay_near_until_all_slots_there_are_taken_then_spill(strategy: N) -> None:
    bench = two_zones()
    assert served(bench, 6, strategy=strategy) == {"here": 6}
    assert served(bench, 6, strategy=strategy) == {"there": 6}


def test_a_slot_that_frees_near_is_taken_before_free_ones_afar() -> None:
    bench = two_zones()
    lease = bench.select(zone="here")
    served(bench, 6)
    bench.release(lease)
    assert bench.select(zone="here").service_id == lease.service_id


def test_each_caller_has_its_own_zone_and_some_have_none() -> None:
    bench = two_zones(slots=0)
    assert served(bench, 6, "there") == {"there": 6}
    assert served(bench, 6) == {"here": 6}
    assert served(bench, 12, "") == {"here": 6, "there": 6}
    assert served(bench, 12, "nowhere") == {"here": 6, "there": 6}, "a zone without candidates is no zone"


def test_below_the_share_that_must_be_ready_all_zones_count_alike() -> None:
    bench = two_zones(here=10, there=10, slots=0)
    for place in range(3):
        bench.put(Member(f"h{place}", zone="here", tier=Tier.NEVER))
    assert served(bench, 14) == {"here": 14}, "7 of 10 are ready"
    bench.put(Member("h3", zone="here", tier=Tier.NEVER))
    assert served(bench, 96)["there"] > 50, "6 of 10 are ready: those are not run over"
    bench.put(Member("h3", zone="here", tier=Tier.SECOND))
    bench.put(Member("h2", zone="here"))
    assert served(bench, 5) == {"here": 5}, "LATE is ready"


@pytest.mark.parametrize(("share", "zones"), [(0.0, {"here"}), (1.0, {"here", "there"})])
def test_the_share_is_the_operators(share: float, zones: set[str]) -> None:
    bench = two_zones(here=4, there=1, slots=0, zone_ready_share=share)
    for place in range(3):
        bench.put(Member(f"h{place}", zone="here", tier=Tier.NEVER))
    assert set(served(bench, 8)) == zones
    with pytest.raises(InvalidArgument, match=r"zone_ready_share: must be 0 to 1, got 1\.1"):
        Bench(zone_ready_share=1.1)


def test_the_full_are_ready_and_the_ejected_are_not() -> None:
    bench = two_zones(here=1, there=3, slots=1)
    assert bench.select(zone="here").service_id == "h0"
    assert explained(bench).near == "here", "full is not out"
    bench = two_zones(here=2, there=5, slots=0)
    bench.fail("h0", 5)
    assert bench.heard.ejections
    assert explained(bench).near == ""
    bench.advance(31)
    assert explained(bench).near == "here"


def test_a_tier_goes_before_nearness() -> None:
    bench = two_zones(here=1, there=1, slots=1)
    bench.put(Member("h0", zone="here", tier=Tier.SECOND, max_concurrency=1))
    assert [bench.select(zone="here").service_id for _ in range(2)] == ["t0", "h0"]


def test_degraded_ones_come_last_near_and_far() -> None:
    bench = two_zones(here=4, there=2, slots=1)
    bench.put(Member("h3", zone="here", tier=Tier.DEGRADED, max_concurrency=1))
    order = [bench.select(zone="here", allow_degraded=True).service_id for _ in range(6)]
    assert {name[0] for name in order[:3]} == {"h"}
    assert {name[0] for name in order[3:5]} == {"t"}
    assert order[5] == "h3"


def test_a_waiter_takes_what_frees_first_wherever() -> None:
    bench = two_zones(here=1, there=1, slots=1)
    _near, far = bench.select(zone="here"), bench.select(zone="here")
    waiter = bench.wait(zone="here")
    bench.release(far)
    assert waiter.lease is not None
    assert waiter.lease.service_id == "t0"


def test_services_that_move_or_go_are_counted_anew() -> None:
    bench = two_zones(here=1, there=1, slots=0)
    bench.put(Member("t0", zone="here"))
    assert explained(bench).near == "", "all are here: nothing to prefer"
    bench.put(Member("h0", zone="there"))
    assert served(bench, 3) == {"here": 3}
    assert bench.select(zone="here").service_id == "t0"
    bench.balancer.drop("t0")
    assert served(bench, 3) == {"there": 3}
    bench.balancer.leave(bench.pool, "h0")
    assert not bench.pool.members
    assert bench.pool.zones.members("there") == bench.pool.zones.ready("there") == 0


def test_affinity_stays_in_the_zone() -> None:
    bench = two_zones(slots=0)
    chosen = {bench.call(zone="here", key=f"session {number}") for number in range(50)}
    assert chosen == {"h0", "h1", "h2"}
    assert len({bench.call(zone="here", key="mine") for _ in range(9)}) == 1


def test_an_explanation_says_whether_and_why_the_zone_goes_first() -> None:
    bench = two_zones(here=2, there=1)
    told = explained(bench)
    assert told.near == "here"
    assert told.reason.endswith("1 OTHER_ZONE, 1 OUTRANKED; zone 'here' goes first: 2 of 2 ready, 3 candidates in all")
    assert {one.service_id: (one.zone, one.verdict) for one in told.candidates}["t0"] == ("there", Verdict.OTHER_ZONE)
    bench.put(Member("h0", zone="here", tier=Tier.NEVER))
    told = explained(bench)
    assert told.near == ""
    assert told.reason.endswith("; zone 'here' does not go first: 1 of 2 ready, 3 candidates in all")


def test_zones_beyond_the_most_are_served_as_none_until_one_is_empty() -> None:
    bench = Bench(*(Member(f"s{place}", zone=f"z{place}") for place in range(ZONES + 1)))
    for place in range(ZONES):
        assert bench.call(zone=f"z{place}") == f"s{place}"
    assert explained(bench, f"z{ZONES}").near == ""
    assert len(bench.balancer.get("s0").watchers) == ZONES + 1  # and the one of all
    bench.balancer.drop("s0")
    assert bench.call(zone=f"z{ZONES}") == f"s{ZONES}"
    assert len(bench.balancer.get("s1").watchers) == ZONES + 1


def test_a_switch_of_strategy_drops_the_rankings_of_all_zones() -> None:
    bench = two_zones()
    bench.call(zone="here")
    bench.call()
    assert len(bench.balancer.get("h0").watchers) == 2
    bench.balancer.scopes.set(bench.balancer.scopes.table().popitem()[0], N.RANDOM)
    bench.call(zone="here")
    assert len(bench.balancer.get("h0").watchers) == 1


def test_what_was_ranked_by_zone_goes_with_its_pool() -> None:
    bench = two_zones()
    bench.call(zone="here")
    bench.pool.close()
    assert not bench.balancer.get("h0").watchers


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "d"]),
            st.sampled_from(["", "x", "y"]),
            st.sampled_from(list(Tier)),
            st.sampled_from([0.0, 1.0]),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_counts_are_what_a_look_at_all_members_finds(steps: list[tuple[str, str, Tier, float, bool]]) -> None:
    bench = Bench()
    for name, zone, tier, weight, fails in steps:
        bench.put(Member(name, zone=zone, tier=tier, weight=weight))
        if fails:
            bench.fail(name, 5)
        for looked in ("x", "y"):
            there = [slots for slots in bench.pool.members if slots.zone == looked]
            assert bench.pool.zones.members(looked) == len(there)
            assert bench.pool.zones.ready(looked) == sum(slots.standing <= Tier.SECOND for slots in there)
