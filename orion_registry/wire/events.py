"""Events as bytes and back, and what is asked for them. An event's bytes are made once, however many follow."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from orion_registry.core import events as core
from orion_registry.core.checks.verdict import Verdict
from orion_registry.core.events import EventFilter, EventType, LoggedEvent, RegistryEvent
from orion_registry.core.masking import mask_text
from orion_registry.core.model import RemovalReason, ServiceStatus, StatusReasonCode
from orion_registry.core.overlay import OverlayMode
from orion_registry.core.validation import check_id
from orion_registry.errors import bad_field
from orion_registry.wire.enums import known
from orion_registry.wire.packing import blob, number
from orion_registry.wire.spans import decode_known_span, span_of, timestamp_of, wall_of
from orion_registry.wire.status import safe_message
from orion_registry_pb.v1 import admin_pb2, monitor_pb2, overlay_pb2, registry_pb2, service_pb2
from orion_registry_pb.v1 import events_pb2 as pb

TYPES_MAX = 32
"""Types in one filter: more than there are."""

_TYPES = {int(kind): kind for kind in EventType}
_TYPE_RULE = "an EventType: " + ", ".join(f"{number} {kind.name}" for number, kind in _TYPES.items())


class Listed(Protocol):
    """A page of the log."""

    @property
    def events(self) -> Sequence[LoggedEvent]:
        """What passed the filter."""
        ...

    @property
    def after_seq(self) -> int:
        """How far it goes."""
        ...

    @property
    def oldest_seq(self) -> int:
        """The oldest event that is kept."""
        ...

    @property
    def last_seq(self) -> int:
        """The latest event."""
        ...


# Requests.


def decode_filter(request: admin_pb2.ListEventsRequest | admin_pb2.WatchEventsRequest) -> EventFilter:
    """Which events are asked for.

    Raises:
        InvalidArgument: BAD_FIELD, a type or an id that is none.
    """
    if len(request.types) > TYPES_MAX:
        raise bad_field("types", f"at most {TYPES_MAX} entries", len(request.types))
    types = set()
    for index, number_given in enumerate(request.types):
        if number_given not in _TYPES:
            raise bad_field(f"types[{index}]", _TYPE_RULE, number_given)
        types.add(_TYPES[number_given])
    return EventFilter(
        types=frozenset(types),
        service_id=check_id("service_id", request.service_id) if request.service_id else "",
        agent_id=check_id("agent_id", request.agent_id) if request.agent_id else "",
        namespace=check_id("namespace", request.namespace) if request.namespace else "",
    )


def encode_types(types: Iterable[EventType]) -> list[pb.EventType.ValueType]:
    """The types of a filter."""
    return [pb.EventType.ValueType(kind) for kind in sorted(types)]


# Answers.


def encode_page(page: Listed, history_id: str) -> bytes:
    """A ListEventsResponse."""
    parts = [blob(1, encode_event(logged)) for logged in page.events]
    parts += (number(2, page.after_seq), blob(3, history_id.encode()))
    parts += (number(4, page.oldest_seq), number(5, page.last_seq))
    return b"".join(parts)


def encode_news(page: Listed, history_id: str) -> bytes:
    """A WatchEventsResponse."""
    parts = [blob(1, encode_event(logged)) for logged in page.events]
    return b"".join((*parts, number(2, page.after_seq), blob(3, history_id.encode())))


def encode_event(logged: LoggedEvent) -> bytes:
    """An Event."""
    if logged.encoded is None:
        message = _message_of(logged.event)
        message.seq = logged.seq
        message.time.CopyFrom(timestamp_of(logged.wall))
        message.namespace = getattr(logged.event, "namespace", "")
        logged.encoded = message.SerializeToString()
    return logged.encoded


def _message_of(event: RegistryEvent) -> pb.Event:
    match event:
        case core.StatusChanged():
            changed = pb.StatusChanged(
                service_id=event.service_id,
                agent_id=event.agent_id,
                before=_status(event.before),
                after=_status(event.after),
                reasons=_reasons(event.reasons),
                ready=event.ready,
            )
            return pb.Event(status_changed=changed)
        case core.ServiceRegistered():
            registered = pb.ServiceRegistered(
                service_id=event.service_id,
                agent_id=event.agent_id,
                namespace=event.namespace,
                service_name=event.service_name,
                status=_status(event.status),
                reasons=_reasons(event.reasons),
            )
            return pb.Event(service_registered=registered)
        case core.ServiceUpdated():
            updated = pb.ServiceUpdated(
                service_id=event.service_id, agent_id=event.agent_id, generation=event.generation
            )
            return pb.Event(service_updated=updated)
        case core.ServiceRemoved():
            removal = registry_pb2.RemovalReason.ValueType(event.removal)
            removed = pb.ServiceRemoved(
                service_id=event.service_id, agent_id=event.agent_id, status=_status(event.status), removal=removal
            )
            return pb.Event(service_removed=removed)
        case core.OverlaySet():
            return pb.Event(overlay_set=_overlay_set(event))
        case core.OverlayCleared():
            cleared = pb.OverlayCleared(
                service_id=event.service_id, agent_id=event.agent_id, cleared_by=event.cleared_by
            )
            return pb.Event(overlay_cleared=cleared)
        case core.CheckNotRun():
            not_run = pb.CheckNotRun(
                service_id=event.service_id,
                agent_id=event.agent_id,
                check=event.check,
                verdict=monitor_pb2.CheckVerdict.ValueType(event.verdict),
                detail=safe_message(mask_text(event.detail)),
            )
            return pb.Event(check_not_run=not_run)
        case _:
            return _message_of_own(event)


def _overlay_set(event: core.OverlaySet) -> pb.OverlaySet:
    return pb.OverlaySet(
        service_id=event.service_id,
        agent_id=event.agent_id,
        mode=overlay_pb2.OverlayMode.ValueType(event.mode),
        weight=event.weight,
        deadline=None if event.deadline_s is None else span_of(event.deadline_s),
        note=mask_text(event.note),
        set_by=event.set_by,
    )


def _message_of_own(event: core.OwnEvent) -> pb.Event:
    """Of an event of the registry itself."""
    match event:
        case core.StallCredited():
            return pb.Event(stall_credited=pb.StallCredited(lag=span_of(event.lag_s)))
        case core.AlarmRaised():
            return pb.Event(alarm_raised=pb.AlarmRaised(name=event.name, text=safe_message(mask_text(event.text))))
        case core.AlarmCleared():
            return pb.Event(alarm_cleared=pb.AlarmCleared(name=event.name))
        case core.HellosRefused():
            return pb.Event(hellos_refused=pb.HellosRefused(count=event.count))
        case core.SnapshotImported():
            return pb.Event(snapshot_imported=pb.SnapshotImported(added=event.added, kept=event.kept))
        case core.RegistryStarted():
            return pb.Event(registry_started=pb.RegistryStarted(services=event.services))
        case core.RegistryStopping():
            return pb.Event(registry_stopping=pb.RegistryStopping())


def _status(status: ServiceStatus) -> service_pb2.ServiceStatus.ValueType:
    return service_pb2.ServiceStatus.ValueType(status)


def _reasons(codes: Iterable[StatusReasonCode]) -> list[service_pb2.StatusReasonCode.ValueType]:
    return [service_pb2.StatusReasonCode.ValueType(code) for code in codes]


# What the SDK makes of them.


def decode_events(messages: Iterable[pb.Event]) -> tuple[LoggedEvent, ...]:
    """Events that the registry sent. Those of a type that this version does not know are left out."""
    decoded = ((message, _event_of(message)) for message in messages)
    return tuple(
        LoggedEvent(message.seq, wall_of(message.time), event) for message, event in decoded if event is not None
    )


def _event_of(message: pb.Event) -> RegistryEvent | None:
    match message.WhichOneof("event"):
        case "service_registered":
            registered = message.service_registered
            return core.ServiceRegistered(
                service_id=registered.service_id,
                agent_id=registered.agent_id,
                namespace=message.namespace or registered.namespace,
                service_name=registered.service_name,
                status=_known_status(registered.status),
                reasons=_known_reasons(registered.reasons),
            )
        case "service_updated":
            updated = message.service_updated
            return core.ServiceUpdated(
                service_id=updated.service_id,
                agent_id=updated.agent_id,
                namespace=message.namespace,
                generation=updated.generation,
            )
        case "service_removed":
            removed = message.service_removed
            return core.ServiceRemoved(
                service_id=removed.service_id,
                agent_id=removed.agent_id,
                namespace=message.namespace,
                status=_known_status(removed.status),
                removal=known(RemovalReason, removed.removal, RemovalReason.REMOVED),
            )
        case "status_changed":
            changed = message.status_changed
            return core.StatusChanged(
                service_id=changed.service_id,
                agent_id=changed.agent_id,
                namespace=message.namespace,
                before=_known_status(changed.before),
                after=_known_status(changed.after),
                reasons=_known_reasons(changed.reasons),
                ready=changed.ready,
            )
        case "overlay_set":
            return _overlay_set_of(message.overlay_set, message.namespace)
        case "overlay_cleared":
            cleared = message.overlay_cleared
            return core.OverlayCleared(
                service_id=cleared.service_id,
                agent_id=cleared.agent_id,
                namespace=message.namespace,
                cleared_by=cleared.cleared_by,
            )
        case "check_not_run":
            not_run = message.check_not_run
            return core.CheckNotRun(
                service_id=not_run.service_id,
                agent_id=not_run.agent_id,
                namespace=message.namespace,
                check=not_run.check,
                verdict=known(Verdict, not_run.verdict, Verdict.UNAVAILABLE),
                detail=not_run.detail,
            )
        case _:
            return _own_event_of(message)


def _overlay_set_of(message: pb.OverlaySet, namespace: str) -> core.OverlaySet:
    return core.OverlaySet(
        service_id=message.service_id,
        agent_id=message.agent_id,
        namespace=namespace,
        mode=known(OverlayMode, message.mode, OverlayMode.NONE),
        weight=message.weight if message.HasField("weight") else None,
        deadline_s=decode_known_span(message.deadline) if message.HasField("deadline") else None,
        note=message.note,
        set_by=message.set_by,
    )


def _own_event_of(message: pb.Event) -> core.OwnEvent | None:
    match message.WhichOneof("event"):
        case "stall_credited":
            return core.StallCredited(lag_s=decode_known_span(message.stall_credited.lag))
        case "alarm_raised":
            return core.AlarmRaised(name=message.alarm_raised.name, text=message.alarm_raised.text)
        case "alarm_cleared":
            return core.AlarmCleared(name=message.alarm_cleared.name)
        case "hellos_refused":
            return core.HellosRefused(count=message.hellos_refused.count)
        case "snapshot_imported":
            return core.SnapshotImported(added=message.snapshot_imported.added, kept=message.snapshot_imported.kept)
        case "registry_started":
            return core.RegistryStarted(services=message.registry_started.services)
        case "registry_stopping":
            return core.RegistryStopping()
        case _:
            return None


def _known_status(number_sent: int) -> ServiceStatus:
    return known(ServiceStatus, number_sent, ServiceStatus.UNKNOWN)


def _known_reasons(numbers: Iterable[int]) -> tuple[StatusReasonCode, ...]:
    return tuple(StatusReasonCode(code) for code in numbers if code in _CODES)


_CODES = frozenset(int(code) for code in StatusReasonCode)
