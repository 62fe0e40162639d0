"""A service that is being claimed or removed: nobody acts for it until that is stored, or given up."""

import pytest

from orion_registry.core.commands import Register, Remove
from orion_registry.core.model import LivenessMode, Load, RemovalReason, ServiceStatus
from orion_registry.core.planning import Plan
from orion_registry.errors import Reason, Unavailable
from tests.building import LOCAL, OTHER_SECRET, SECRET, World, ask, last_sessions, make_spec, ref_of, state_of


def departing(world: World, removal: bool) -> Plan:
    """A plan that ends the only service, on its way to the store."""
    (entry,) = world.registry._fleet.catalog
    command = (
        Remove(service_id=entry.service_id, reason=RemovalReason.EXPIRED)
        if removal
        else Register(spec=make_spec(), secret=OTHER_SECRET)
    )
    plan = world.registry.plan(command, LOCAL, world.now)
    world.registry.begin(plan)
    return plan


@pytest.mark.parametrize("removal", [True, False])
def test_nobody_acts_for_it_until_it_is_given_up(removal: bool) -> None:
    world = World()
    entry = world.add()
    plan = departing(world, removal)
    assert world.registry.departing(entry.service_id)
    with pytest.raises(Unavailable) as caught:
        world.registry.report_status(ref_of(entry), ServiceStatus.STOPPING, world.now)
    assert caught.value.reason is Reason.STORE_DOWN
    assert caught.value.retry_after_s
    (result,) = last_sessions(world.stream("agent", ask(entry))).results
    assert result.error is not None
    assert result.error.reason is Reason.STORE_DOWN
    world.registry.abandon(plan)
    assert not world.registry.departing(entry.service_id)
    world.live(entry)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")


def test_what_is_applied_is_over() -> None:
    world = World()
    entry = world.add()
    world.registry.apply(departing(world, removal=False), world.now)
    assert not world.registry.departing(entry.service_id)
    world.live(entry, secret=OTHER_SECRET)
    world.registry.apply(departing(world, removal=True), world.now)
    assert not world.registry.departing(entry.service_id)


def test_an_update_and_a_new_service_hold_nobody_off() -> None:
    world = World()
    entry = world.add(liveness=LivenessMode.TTL)
    for spec in (make_spec(liveness=LivenessMode.TTL, tags=("new",)), make_spec("another")):
        world.registry.begin(world.registry.plan(Register(spec=spec, secret=SECRET), LOCAL, world.now))
    world.registry.beat(ref_of(entry), Load(), ServiceStatus.UNSPECIFIED, world.now)
    assert state_of(entry) == ("HEALTHY", "BEATING")
