"""Writes what happens to services to the log: one line each, or one for many, so that a mass event stays cheap."""

import logging
from collections import Counter
from collections.abc import Sequence

from orion_registry.core.events import (
    HellosRefused,
    LoggedEvent,
    OverlayCleared,
    OverlaySet,
    RegistryEvent,
    ServiceRegistered,
    ServiceRemoved,
    StallCredited,
    StatusChanged,
)

LINES = 10
"""Events told one by one between two flushes; beyond that they are summed up."""

Told = ServiceRegistered | StatusChanged | ServiceRemoved | OverlaySet | OverlayCleared

log = logging.getLogger("orion_registry")


class Journal:
    """Collects comings, goings and changes of status, and logs them when flushed."""

    def __init__(self) -> None:
        self._events: list[tuple[int, Told]] = []

    def take(self, events: Sequence[LoggedEvent]) -> None:
        """Takes note of the events that people want to hear of; the registry's own are told at once."""
        for logged in events:
            match logged.event:
                case StallCredited(lag_s=lag_s):
                    log.warning("stalled", extra={"lag_s": round(lag_s, 3), "event": logged.seq})
                case HellosRefused(count=count):
                    log.info("hellos told to wait for their turn", extra={"hellos": count, "event": logged.seq})
        self._events += [(logged.seq, event) for logged in events if (event := _worth_a_line(logged.event)) is not None]

    def flush(self) -> None:
        """Logs what has come together."""
        events, self._events = self._events, []
        for seq, event in events[:LINES]:
            log.info("service changed", extra={"service_id": event.service_id, **_told(event), "event": seq})
        if len(events) > LINES:
            rest = [event for _, event in events[LINES:]]
            kinds = {_kind(event): event for event in rest}  # words only once for each: there may be thousands
            counts = Counter(map(_kind, rest))
            by_kind = {
                " ".join(f"{name}={value}" for name, value in _told(event).items()): counts[kind]
                for kind, event in kinds.items()
            }
            log.info("more services changed", extra={"events": len(rest), "by_kind": by_kind})


def _worth_a_line(event: RegistryEvent) -> Told | None:
    if isinstance(event, StatusChanged):
        return event if event.before is not event.after else None
    return event if isinstance(event, ServiceRegistered | ServiceRemoved | OverlaySet | OverlayCleared) else None


def _kind(event: Told) -> tuple[object, ...]:
    """What makes two events the same in a sum."""
    match event:
        case ServiceRegistered():
            return None, event.status, event.reasons[0]
        case StatusChanged():
            return event.before, event.after, event.reasons[0]
        case ServiceRemoved():
            return event.status, None, event.removal
        case OverlaySet():
            return OverlaySet, event.mode, event.weight, event.note, event.set_by
        case OverlayCleared():
            return OverlayCleared, event.cleared_by


def _told(event: Told) -> dict[str, str]:
    """What an event means, in words: from what, to what, and why."""
    match event:
        case ServiceRegistered():
            return {"was": "UNREGISTERED", "status": event.status.name, "reason": event.reasons[0].name}
        case StatusChanged():
            return {"was": event.before.name, "status": event.after.name, "reason": event.reasons[0].name}
        case ServiceRemoved():
            return {"was": event.status.name, "status": "REMOVED", "reason": event.removal.name}
        case OverlaySet():
            weight = {} if event.weight is None else {"weight": f"{event.weight:g}"}
            return {"overlay": event.mode.name, **weight, "note": event.note, "by": event.set_by}
        case OverlayCleared():
            return {"overlay": "CLEARED", "by": event.cleared_by}
