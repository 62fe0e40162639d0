"""How events are shown: in words for people, as plain values for JSON."""

from collections.abc import Sequence
from dataclasses import fields
from enum import IntEnum
from typing import Any

from orion_registry.cli.showing import Paint, colour_of, plural, show_span, show_time
from orion_registry.core import events as core
from orion_registry.core.events import EventType, LoggedEvent, RegistryEvent
from orion_registry.core.model import ServiceStatus, StatusReasonCode

_OF_TYPE = {
    EventType.SERVICE_REGISTERED: "green",
    EventType.ALARM_RAISED: "red",
    EventType.ALARM_CLEARED: "green",
    EventType.STALL_CREDITED: "yellow",
    EventType.HELLOS_REFUSED: "yellow",
    EventType.OVERLAY_SET: "yellow",
    EventType.CHECK_NOT_RUN: "yellow",
    EventType.REGISTRY_STARTED: "green",
    EventType.REGISTRY_STOPPING: "yellow",
}

# For people.


def colour_of_event(event: RegistryEvent) -> str:
    """The colour of what happened; empty = none of its own."""
    if isinstance(event, core.StatusChanged):
        return "yellow" if _unready(event) else colour_of(event.after)
    return _OF_TYPE.get(event.type, "")


def whose(event: RegistryEvent) -> str:
    """Agent and service, with spaces behind; empty for an event of the registry itself."""
    return f"{event.agent_id}  {event.service_id}  " if isinstance(event, core.ServiceEvent) else ""


def told_of(event: RegistryEvent, paint: Paint) -> str:
    """What happened beside its type, and to whom."""
    match event:
        case core.StatusChanged():
            change = paint.status(event.after)
            if event.before is not event.after:
                change = f"{paint.status(event.before)} -> {change}"
            return f"{change} ({_reasons(event.reasons)}){_unready(event)}"
        case core.ServiceRegistered():
            place = f"{event.service_name} in {event.namespace}"
            return f"{place}: {paint.status(event.status)} ({_reasons(event.reasons)})"
        case core.ServiceUpdated():
            return f"generation {event.generation:,}"
        case core.ServiceRemoved():
            return f"{event.removal.name}, was {paint.status(event.status)}"
        case core.OverlaySet():
            return _told_of_overlay(event)
        case core.OverlayCleared():
            return f"by {event.cleared_by}" if event.cleared_by else ""
        case core.CheckNotRun():
            return f"{event.check}: {event.verdict.name}, {event.detail}"
        case _:
            return _told_of_registry(event)


def _told_of_overlay(event: core.OverlaySet) -> str:
    told = [event.mode.name]
    if event.weight is not None:
        told.append(f"weight {event.weight:g}")
    if event.deadline_s is not None:
        told.append(f"deadline {show_span(event.deadline_s)}")
    if event.set_by:
        told.append(f"by {event.set_by}")
    return ", ".join(told) + (f": {event.note}" if event.note else "")


def _told_of_registry(event: core.OwnEvent) -> str:
    match event:
        case core.StallCredited():
            return f"stood still for {show_span(event.lag_s)}"
        case core.AlarmRaised():
            return f"{event.name}: {event.text}"
        case core.AlarmCleared():
            return event.name
        case core.HellosRefused():
            return f"{plural(event.count, 'hello')} told to come back later"
        case core.SnapshotImported():
            return f"{plural(event.added, 'service')} added, {event.kept:,} kept"
        case core.RegistryStarted():
            return f"{plural(event.services, 'service')} restored"
        case core.RegistryStopping():
            return ""


def _unready(event: core.StatusChanged) -> str:
    healthy = event.after is ServiceStatus.HEALTHY
    return ", not ready" if healthy and not event.ready else ""


def _reasons(codes: Sequence[StatusReasonCode]) -> str:
    return ", ".join(code.name for code in codes)


# JSON.


def event_plain(logged: LoggedEvent) -> dict[str, Any]:
    """An event with its number: enums by name, its time as text."""
    event = logged.event
    about = {"seq": logged.seq, "time": show_time(logged.wall), "type": event.type.name}
    return about | {field.name: _plain(getattr(event, field.name)) for field in fields(event)}


def _plain(value: Any) -> Any:
    if isinstance(value, IntEnum | ServiceStatus):
        return value.name
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
