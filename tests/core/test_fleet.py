"""core/fleet: every change of what others see is one edge, in views, history and publication alike."""

from dataclasses import replace

import pytest

from orion_registry.core.liveness import Event
from orion_registry.core.model import RemovalReason, ServiceStatus
from orion_registry.errors import NotFound
from tests.building import ALL, STATIC, TTL, World, ref_of, state_of


def test_each_edge_links_to_the_one_before_and_has_the_next_revision() -> None:
    world = World()
    entry = world.add()
    world.live(entry)
    world.update(ref_of(entry), ("port",), port=1)
    world.remove(entry.service_id, RemovalReason.EXPIRED)
    assert [edge.revision for edge in world.edges] == list(range(2, 2 + len(world.edges)))
    for before, after in zip(world.edges, world.edges[1:], strict=False):
        assert after.before is before.after
    assert world.edges[0].before is None
    assert (world.edges[-1].after, world.edges[-1].removal) == (None, RemovalReason.EXPIRED)
    assert world.registry._fleet.history.since(1, world.registry.revision) == world.edges


def test_a_snapshot_carries_the_revision_of_its_edge() -> None:
    world = World()
    entry = world.add()
    world.live(entry)
    assert entry.snapshot.revision == world.edges[-1].revision == world.registry.revision


def test_what_looks_the_same_makes_no_edge() -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    fleet = world.registry._fleet
    fleet.refresh(entry)
    fleet.reported(entry, ServiceStatus.HEALTHY, world.now)
    fleet.reported(entry, ServiceStatus.UNHEALTHY, world.now)
    world.clock.advance(5)
    fleet.reported(entry, ServiceStatus.UNHEALTHY, world.now)
    assert len(world.edges) == 2


def test_since_is_when_the_reason_began() -> None:
    world = World()
    entry = world.add(liveness=TTL)
    began = world.now.wall
    world.clock.advance(3)
    world.registry._fleet.reported(entry, ServiceStatus.UNHEALTHY, world.now)
    world.clock.advance(3)
    world.registry._fleet.reported(entry, ServiceStatus.STARTING, world.now)
    assert [(reason.code.name, reason.since_wall - began) for reason in entry.snapshot.reasons] == [
        ("AWAITING_BEAT", 0.0),
        ("SELF_REPORTED", 6.0),
    ]


def test_a_claim_is_one_edge() -> None:
    """Two would show a service ready for a moment that nobody holds."""
    world = World()
    entry = world.add()
    world.live(entry)
    world.registry._fleet.reported(entry, ServiceStatus.UNHEALTHY, world.now)
    before = len(world.edges)
    world.register(secret="x" * 40, takeover=True)
    assert len(world.edges) == before + 1
    assert state_of(entry) == ("STARTING", "AWAITING_BEAT")


def test_a_record_alone_is_an_edge_and_keeps_the_deadline() -> None:
    world = World()
    entry = world.add(liveness=TTL)
    deadline = entry.deadline
    world.clock.advance(1)
    fleet, held = world.registry._fleet, entry.snapshot.record
    fleet.rewritten(entry, replace(held, generation=2), world.now)
    assert entry.deadline == deadline
    assert entry.snapshot.record.generation == 2
    fleet.rewritten(entry, replace(held, spec=replace(held.spec, liveness_ttl_s=50.0)), world.now)
    assert entry.deadline == world.now.mono + 50


def test_extra_time_is_added_to_the_deadline() -> None:
    world = World(reconnect_grace_s=6)
    entry = world.add()
    world.registry._fleet.happened(entry, Event.MOVING, world.now, extra_s=2.0)
    assert entry.deadline == world.now.mono + 8


def test_a_removed_service_is_gone_everywhere() -> None:
    world = World()
    entry = world.add()
    world.found()
    fleet = world.registry._fleet
    fleet.remove(entry, RemovalReason.REMOVED)
    assert world.found(ALL) == []
    assert entry.deadline is None
    with pytest.raises(NotFound):
        fleet.require(entry.service_id)
    assert world.pass_time(1_000) == []


def test_a_new_service_comes_last_even_under_its_old_id() -> None:
    world = World()
    first, second = world.add("a"), world.add("b")
    world.remove(first.service_id)
    again = world.add("a")
    assert again.service_id == first.service_id
    assert world.found() == [second.service_id, again.service_id]
    assert again.epoch > first.epoch
