"""What operators set, as selection sees it: the set weight counts, what drains gets nothing, leases hold a drain."""

from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.overlay import OverlayMode
from orion_registry.errors import Reason
from tests.building import state_of
from tests.core.test_balancing import Bench, chosen, ids, refused


def test_a_weight_that_is_set_goes_before_the_agents_own() -> None:
    bench = Bench()
    heavy, light = bench.statics(2, max_concurrency=100)
    bench.overlay(heavy, None, weight=3.0)
    got = [bench.select().service_id for _ in range(40)]
    assert got.count(heavy.service_id) == 30
    bench.overlay(heavy, OverlayMode.NONE)
    assert bench.registry.balancing.slots_of(heavy.service_id).weight == light.spec.weight == 1.0


def test_what_is_to_rest_is_given_nothing_until_it_is_cleared() -> None:
    bench = Bench()
    resting, other = bench.statics(2)
    for mode in (OverlayMode.DRAIN, OverlayMode.MAINTENANCE, OverlayMode.QUARANTINE):
        bench.overlay(resting, mode)
        assert chosen(bench, 10, allow_degraded=True) == ids([other])
        bench.overlay(resting, OverlayMode.NONE)
        assert chosen(bench, 20) == ids([resting, other])


def test_a_drain_is_over_when_the_last_lease_is() -> None:
    bench = Bench()
    (entry,) = bench.statics(1)
    first, last = bench.select(), bench.select(ttl_s=3)
    bench.overlay(entry, OverlayMode.DRAIN)
    assert refused(Reason.NO_READY_SERVICE, bench.ask).message.endswith("1 DRAINING")
    bench.pass_time(1)
    assert state_of(entry)[1] == Code.DRAINING.name
    assert [row.leases_left for row in bench.overlay_rows()] == [2]
    bench.release(first)
    bench.pass_time(1)
    assert [row.leases_left for row in bench.overlay_rows()] == [1]
    bench.pass_time(2)
    assert bench.heard.expired_leases == [last]
    assert state_of(entry)[1] == Code.DRAINED.name
