"""Spans and shares may change in a running registry: what happens from then on goes by them."""

from typing import Any

from orion_registry.core.config import RegistryConfig
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.queue import Waiter
from orion_registry.errors import Reason
from tests.building import World
from tests.core.test_balancing import Bench, refused


def change(world: World, balancer: dict[str, Any] | None = None, **config: Any) -> None:
    world.registry.reconfigure(RegistryConfig(**config), BalancerConfig(**(balancer or {})))


def test_the_next_death_goes_by_the_new_retention_and_the_one_before_by_the_old() -> None:
    world = World(retention_s=60.0)
    first, second = world.add("a"), world.add("b")
    streams = [world.live(first), world.live(second)]
    world.close(streams[0])
    change(world, retention_s=5.0)
    assert world.registry.config.retention_s == 5.0
    world.close(streams[1])
    assert [removal.service_id for removal in world.pass_time(6.0)] == [second.service_id]
    assert [removal.service_id for removal in world.pass_time(55.0) if removal.service_id == first.service_id]


def test_leases_go_by_the_new_ttl_and_the_new_bound() -> None:
    bench = Bench()
    bench.statics(1)
    lasting = bench.select()
    change(bench, {"lease_ttl_s": 5.0, "leases": 2})
    bench.select()
    assert "2" in refused(Reason.RATE_LIMITED, bench.select).message
    bench.pass_time(6.0)
    assert [lease.selection_id != lasting.selection_id for lease in bench.heard.expired_leases] == [True]


def test_who_waits_is_given_a_lease_of_the_new_ttl() -> None:
    bench = Bench()
    bench.statics(1, max_concurrency=1)
    first = bench.select()
    waiter = bench.ask(wait_s=30.0)
    assert isinstance(waiter, Waiter)
    change(bench, {"lease_ttl_s": 5.0})
    bench.release(first)
    bench.pass_time(6.0)
    assert len(bench.heard.expired_leases) == 1


def test_outcomes_are_judged_by_the_new_count() -> None:
    bench = Bench()
    entry, *_ = bench.statics(3)
    bench.fail(entry, 3)
    assert bench.registry.balancing.stats.ejected == 0
    change(bench, {"eject_consecutive": 2})
    bench.fail(entry, 1)
    assert bench.registry.balancing.stats.ejected == 1
