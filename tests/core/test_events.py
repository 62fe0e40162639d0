"""core/events: what an edge means, which types there are, and which pass a filter."""

from typing import Any

import pytest

from orion_registry.core import events
from orion_registry.core.events import (
    EVENT_CLASSES,
    AlarmCleared,
    EventFilter,
    EventType,
    LoggedEvent,
    RegistryEvent,
    RegistryStarted,
    ServiceRegistered,
    ServiceRemoved,
    ServiceUpdated,
    StatusChanged,
    events_of,
)
from orion_registry.core.history import Edge
from orion_registry.core.model import RemovalReason, ServiceStatus, Snapshot, StatusReason
from orion_registry.core.model import StatusReasonCode as Code
from tests.building import SECRET, STATIC, World, make_record, make_spec, ref_of

HEALTHY, UNHEALTHY, STARTING = ServiceStatus.HEALTHY, ServiceStatus.UNHEALTHY, ServiceStatus.STARTING
RECORD = make_record(make_spec("agent", service_id="s"))


def snap(
    status: ServiceStatus = HEALTHY, *codes: Code, record: Any = RECORD, ready: bool = True, tier: int = 0
) -> Snapshot:
    reasons = tuple(StatusReason(code=code, since_wall=1.0) for code in codes or (Code.STREAM_OPEN,))
    return Snapshot(
        record=record,
        status=status,
        reasons=reasons,
        ready=ready,
        tier=tier,
        selection_tier=tier if ready else 4,
        epoch=1,
        revision=1,
    )


# What the core's own edges mean.


def told(world: World) -> list[RegistryEvent]:
    """What the edges since the last call mean."""
    edges, world.edges[:] = list(world.edges), []
    return [event for edge in edges for event in events_of(edge)]


def test_a_service_comes_lives_and_goes() -> None:
    world = World()
    entry = world.add()
    about = {"service_id": entry.service_id, "agent_id": "agent", "namespace": "default"}
    registered = ServiceRegistered(**about, service_name="calc", status=STARTING, reasons=(Code.AWAITING_BEAT,))
    assert told(world) == [registered]
    session = world.live(entry)
    assert told(world) == [
        StatusChanged(**about, before=STARTING, after=HEALTHY, reasons=(Code.STREAM_OPEN,), ready=True)
    ]
    world.update(ref_of(entry), ("port",), port=2)
    assert told(world) == [ServiceUpdated(**about, generation=2)]
    world.close(session)
    assert told(world) == [
        StatusChanged(**about, before=HEALTHY, after=UNHEALTHY, reasons=(Code.DISCONNECTED,), ready=False)
    ]
    world.remove(entry.service_id, RemovalReason.EXPIRED)
    assert told(world) == [ServiceRemoved(**about, status=UNHEALTHY, removal=RemovalReason.EXPIRED)]


def test_a_new_epoch_alone_is_not_told() -> None:
    world = World()
    entry = world.add()
    world.live(entry)
    told(world)
    world.live(entry, epoch=entry.epoch)
    assert world.edges
    assert told(world) == []


def test_a_claim_means_two_things() -> None:
    """Another life of the agent: another record, and a service that has to show itself again."""
    world = World()
    world.close(world.live(world.add()))
    told(world)
    world.register(agent_id="agent", secret=SECRET[::-1])
    assert [type(event) for event in told(world)] == [ServiceUpdated, StatusChanged]


def test_what_was_restored_reads_like_registered() -> None:
    """The shell knows better: it says RegistryStarted instead."""
    world = World()
    world.add(liveness=STATIC)
    after = world.restart()
    assert [event.type for event in told(after)] == [EventType.SERVICE_REGISTERED]


# Edges made by hand.


def test_reasons_are_told_the_worst_first() -> None:
    edge = Edge(2, "s", snap(), snap(UNHEALTHY, Code.SELF_REPORTED, Code.STREAM_OPEN, ready=False))
    (event,) = events_of(edge)
    assert isinstance(event, StatusChanged)
    assert event.reasons == (Code.SELF_REPORTED, Code.STREAM_OPEN)


@pytest.mark.parametrize(
    ("after", "is_told"),
    [
        (snap(HEALTHY, Code.STREAM_OPEN), False),
        (snap(HEALTHY, Code.BEATING), False),
        (snap(HEALTHY, Code.LATE, tier=1), True),
        (snap(HEALTHY, Code.PROBATION, ready=False), True),
    ],
)
def test_readiness_and_tier_count_as_a_change(after: Snapshot, is_told: bool) -> None:
    kinds = [event.type for event in events_of(Edge(2, "s", snap(), after))]
    assert kinds == ([EventType.STATUS_CHANGED] if is_told else [])


def test_a_removal_without_a_reason_was_a_removal() -> None:
    (event,) = events_of(Edge(2, "s", snap(), None))
    assert isinstance(event, ServiceRemoved)
    assert event.removal is RemovalReason.REMOVED
    assert events_of(Edge(2, "s", None, None)) == ()


# The list.


def test_the_list_is_closed_and_small() -> None:
    """At most 15 types; each has a class, a docstring, and the name that its class has in words."""
    assert len(EventType) <= 15
    assert set(EVENT_CLASSES) == set(EventType)
    for kind, cls in EVENT_CLASSES.items():
        assert cls.type is kind
        assert cls.__doc__
        words = "".join(part.title() for part in kind.name.split("_"))
        assert getattr(events, words) is cls


# Filters.

CHANGED = StatusChanged(
    service_id="s", agent_id="a", namespace="n", before=HEALTHY, after=UNHEALTHY, reasons=(Code.SILENT,), ready=False
)
STARTED = RegistryStarted(services=1)


@pytest.mark.parametrize(
    ("wanted", "passing"),
    [
        (EventFilter(), [CHANGED, STARTED]),
        (EventFilter(types=frozenset({EventType.STATUS_CHANGED})), [CHANGED]),
        (EventFilter(types=frozenset({EventType.REGISTRY_STARTED, EventType.ALARM_RAISED})), [STARTED]),
        (EventFilter(service_id="s"), [CHANGED]),
        (EventFilter(service_id="t"), []),
        (EventFilter(agent_id="a"), [CHANGED]),
        (EventFilter(agent_id="b"), []),
        (EventFilter(agent_id="a", service_id="s"), [CHANGED]),
        (EventFilter(agent_id="a", service_id="t"), []),
        (EventFilter(namespace="n"), [CHANGED]),
        (EventFilter(namespace="m"), []),
        (EventFilter(namespace="m", service_id="s"), []),
        (EventFilter(agent_id="a", types=frozenset({EventType.SERVICE_REMOVED})), []),
    ],
)
def test_filters(wanted: EventFilter, passing: list[RegistryEvent]) -> None:
    assert [event for event in (CHANGED, STARTED, AlarmCleared(name="X")) if wanted.passes(event)] == (
        passing if wanted != EventFilter() else [*passing, AlarmCleared(name="X")]
    )


def test_a_logged_event_has_its_number_and_time() -> None:
    logged = LoggedEvent(3, 1.5, STARTED)
    assert (logged.seq, logged.wall, logged.event, logged.encoded) == (3, 1.5, STARTED, None)
