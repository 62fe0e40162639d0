"""What happened, as facts in the past tense: a closed list, for people and for programs that follow the registry."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from orion_registry.core.checks.verdict import Verdict
from orion_registry.core.history import Edge
from orion_registry.core.model import RemovalReason, ServiceStatus, Snapshot, StatusReasonCode
from orion_registry.core.overlay import OverlayMode


class EventType(IntEnum):
    """Kinds of events. Numbers are those of the wire."""

    SERVICE_REGISTERED = 1
    SERVICE_UPDATED = 2
    SERVICE_REMOVED = 3
    STATUS_CHANGED = 4
    STALL_CREDITED = 5
    ALARM_RAISED = 6
    ALARM_CLEARED = 7
    HELLOS_REFUSED = 8
    SNAPSHOT_IMPORTED = 9
    REGISTRY_STARTED = 10
    REGISTRY_STOPPING = 11
    OVERLAY_SET = 12
    OVERLAY_CLEARED = 13
    CHECK_NOT_RUN = 14


# Of one service.


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRegistered:
    """A service is new here: registered by its agent, or added by an import. Its status is the first one."""

    type: ClassVar = EventType.SERVICE_REGISTERED

    service_id: str
    agent_id: str
    namespace: str
    service_name: str
    status: ServiceStatus
    reasons: tuple[StatusReasonCode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUpdated:
    """What is stored of a service changed: an update, or a claim. generation is the record's new one."""

    type: ClassVar = EventType.SERVICE_UPDATED

    service_id: str
    agent_id: str
    namespace: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRemoved:
    """A service is gone. status is its last one; removal says who took it out."""

    type: ClassVar = EventType.SERVICE_REMOVED

    service_id: str
    agent_id: str
    namespace: str
    status: ServiceStatus
    removal: RemovalReason


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged:
    """A service's effective status changed, or whether and in which tier it may be selected, or it became DRAINED.

    before equals after if only the latter did: a service that is late, or on probation. reasons are the new ones, the
    worst first; ready says whether it may be selected now.
    """

    type: ClassVar = EventType.STATUS_CHANGED

    service_id: str
    agent_id: str
    namespace: str
    before: ServiceStatus
    after: ServiceStatus
    reasons: tuple[StatusReasonCode, ...]
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlaySet:
    """An operator set something for a service, registered or not; all that is set now.

    weight None: the agent's own; deadline_s: seconds that draining may take, None = no limit.
    """

    type: ClassVar = EventType.OVERLAY_SET

    service_id: str
    agent_id: str
    namespace: str
    mode: OverlayMode
    weight: float | None
    deadline_s: float | None
    note: str
    set_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayCleared:
    """Nothing is set for a service any more."""

    type: ClassVar = EventType.OVERLAY_CLEARED

    service_id: str
    agent_id: str
    namespace: str
    cleared_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckNotRun:
    """The registry cannot look at a service, which is not the service's fault: told when it begins, not with each run.

    verdict is DENIED (the egress policy refused the target) or UNAVAILABLE; detail says why.
    """

    type: ClassVar = EventType.CHECK_NOT_RUN

    service_id: str
    agent_id: str
    namespace: str
    check: str
    verdict: Verdict
    detail: str


# Of the registry itself.


@dataclass(frozen=True, slots=True, kw_only=True)
class StallCredited:
    """The registry itself stood still, and nobody is held to account for that time: lag_s seconds."""

    type: ClassVar = EventType.STALL_CREDITED

    lag_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised:
    """Something is wrong with the registry; text says what was seen."""

    type: ClassVar = EventType.ALARM_RAISED

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmCleared:
    """It is well again."""

    type: ClassVar = EventType.ALARM_CLEARED

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HellosRefused:
    """Agents were told to come back later, count of them since the last such event: too many came at once."""

    type: ClassVar = EventType.HELLOS_REFUSED

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotImported:
    """A snapshot was imported: services added, services kept because they were registered."""

    type: ClassVar = EventType.SNAPSHOT_IMPORTED

    added: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStarted:
    """The first event of a life. services were restored from the store; none of them has an event of its own for it."""

    type: ClassVar = EventType.REGISTRY_STARTED

    services: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStopping:
    """The last event of a life that was ended on purpose, but for what ends with it."""

    type: ClassVar = EventType.REGISTRY_STOPPING


ServiceEvent = (
    ServiceRegistered | ServiceUpdated | ServiceRemoved | StatusChanged | OverlaySet | OverlayCleared | CheckNotRun
)
OwnEvent = (
    StallCredited | AlarmRaised | AlarmCleared | HellosRefused | SnapshotImported | RegistryStarted | RegistryStopping
)
RegistryEvent = ServiceEvent | OwnEvent

EVENT_CLASSES: Mapping[EventType, type[RegistryEvent]] = {
    cls.type: cls
    for cls in (
        ServiceRegistered,
        ServiceUpdated,
        ServiceRemoved,
        StatusChanged,
        StallCredited,
        AlarmRaised,
        AlarmCleared,
        HellosRefused,
        SnapshotImported,
        RegistryStarted,
        RegistryStopping,
        OverlaySet,
        OverlayCleared,
        CheckNotRun,
    )
}
"""The class of each type: the closed list."""


def events_of(edge: Edge) -> tuple[ServiceEvent, ...]:
    """What an edge means: nothing that is told, such as a new epoch alone; or one thing; or several, such as a claim
    that changes the record and makes the service start anew.
    """
    before, after = edge.before, edge.after
    if after is None:
        return () if before is None else (_removed(before, edge.removal),)
    spec = after.record.spec
    if before is None:
        registered = ServiceRegistered(
            service_id=edge.service_id,
            agent_id=spec.agent_id,
            namespace=spec.namespace,
            service_name=spec.service_name,
            status=after.status,
            reasons=_codes(after),
        )
        return (registered,)
    told: tuple[ServiceEvent, ...] = ()
    if before.record is not after.record:
        generation = after.record.generation
        told = (
            ServiceUpdated(
                service_id=edge.service_id, agent_id=spec.agent_id, namespace=spec.namespace, generation=generation
            ),
        )
    if (
        before.status is not after.status
        or before.ready is not after.ready
        or before.tier != after.tier
        or (len(after.reasons) > 1 and _is_drained(after) and not _is_drained(before))
    ):
        changed = StatusChanged(
            service_id=edge.service_id,
            agent_id=spec.agent_id,
            namespace=spec.namespace,
            before=before.status,
            after=after.status,
            reasons=_codes(after),
            ready=after.ready,
        )
        told += (changed,)
    return told


def _removed(last: Snapshot, removal: RemovalReason | None) -> ServiceRemoved:
    spec = last.record.spec
    return ServiceRemoved(
        service_id=last.service_id,
        agent_id=spec.agent_id,
        namespace=spec.namespace,
        status=last.status,
        removal=removal or RemovalReason.REMOVED,
    )


def _is_drained(snapshot: Snapshot) -> bool:
    return any(reason.code is StatusReasonCode.DRAINED for reason in snapshot.reasons)


def _codes(snapshot: Snapshot) -> tuple[StatusReasonCode, ...]:
    reasons = snapshot.reasons
    return (reasons[0].code,) if len(reasons) == 1 else tuple([reason.code for reason in reasons])


class LoggedEvent:
    """An event with its number in the life of the registry, from 1, and when it happened by the wall clock (a label).

    `encoded` and `json`, its bytes and text, belong to the wire floor; each is made at most once.
    """

    __slots__ = ("encoded", "event", "json", "seq", "wall")

    def __init__(self, seq: int, wall: float, event: RegistryEvent) -> None:
        self.seq = seq
        self.wall = wall
        self.event = event
        self.encoded: bytes | None = None
        self.json: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events somebody asks for. What is empty lets all through.

    With a service_id, agent_id or namespace only events of that service, agent or namespace pass: none of the registry
    itself.
    """

    types: frozenset[EventType] = frozenset()
    service_id: str = ""
    agent_id: str = ""
    namespace: str = ""

    def passes(self, event: RegistryEvent) -> bool:
        """Whether an event is asked for."""
        if self.types and event.type not in self.types:
            return False
        # getattr: twice as fast as asking first which events have these, and a page may look at 10,000.
        if self.service_id and getattr(event, "service_id", "") != self.service_id:
            return False
        if self.namespace and getattr(event, "namespace", "") != self.namespace:
            return False
        return not self.agent_id or getattr(event, "agent_id", "") == self.agent_id
