"""What happened, for callbacks: they run after the fact, outside the lock, in the thread that brought it about."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from inspect import iscoroutinefunction
from typing import Any

from orion_registry.errors import bad_field
from orion_registry.manager.service_info import ServiceInfo

log = logging.getLogger("orion_registry")


class EventKind(StrEnum):
    """Kinds of events; a callback listens to one."""

    REGISTRATION = "registration"
    """registered, updated, unregistered, expired."""
    HEALTH = "health"
    """status_changed: from `was` to the service's status."""
    LOAD_BALANCING = "load_balancing"
    """selected, none_ready, released, weight_changed, strategy_changed."""
    DISCOVERY = "discovery"
    """discovered: how many were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEvent:
    """A past-tense fact.

    Attributes:
        kind, name: what happened; the names of each kind stand at `EventKind`.
        wall: when, in seconds since 1970.
        service: a copy of the service as it was then; None if it is about none.
        details: what else there is to say, such as `was` or `count`.
    """

    kind: EventKind
    name: str
    wall: float
    service: ServiceInfo | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


Callback = Callable[[ServiceEvent], object]


class Listeners:
    """Callbacks by kind. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[EventKind, tuple[Callback, ...]] = {}

    def hears(self, kind: EventKind) -> bool:
        """Whether anybody listens: events that nobody hears are not made."""
        return kind in self._callbacks

    def add(self, kind: EventKind, callback: Callback) -> None:
        """Calls it for each event of a kind from now on; more than once if it is added more than once.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        if not callable(callback):
            raise bad_field("callback", "callable", callback)
        if iscoroutinefunction(callback):  # nobody would await what it returns: it would never run
            raise bad_field("callback", "a plain function, for nothing awaits it", callback)
        kind = kind_of(kind)
        with self._lock:
            self._callbacks[kind] = (*self._callbacks.get(kind, ()), callback)

    def remove(self, kind: EventKind, callback: Callback) -> bool:
        """Takes one addition of it back; False = it was not there.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        kind = kind_of(kind)
        with self._lock:
            held = list(self._callbacks.get(kind, ()))
            found = callback in held
            if found:
                held.remove(callback)
            if held:
                self._callbacks[kind] = tuple(held)
            else:
                self._callbacks.pop(kind, None)
            return found

    def tell(self, events: Iterable[ServiceEvent]) -> None:
        """Calls the callbacks. One that raises is logged with its traceback, and breaks nothing."""
        for event in events:
            for callback in self._callbacks.get(event.kind, ()):
                try:
                    callback(event)
                except Exception:
                    log.exception("an event callback raised", extra={"kind": event.kind, "event_name": event.name})


def kind_of(kind: object) -> EventKind:
    """A kind, also by its word.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    try:
        return EventKind(str(kind))
    except ValueError:
        raise bad_field("kind", f"one of {', '.join(EventKind)}", kind) from None
