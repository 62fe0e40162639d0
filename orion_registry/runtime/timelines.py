"""What became of each service of late: its changes of status, in memory and, when it has time, in the store."""

from collections.abc import Iterable, Sequence

from orion_registry.core.events import LoggedEvent, ServiceRegistered, ServiceRemoved, StatusChanged
from orion_registry.core.timeline import StatusEdge, Timeline
from orion_registry.runtime.events import EventLog
from orion_registry.store.base import Store


class Timelines:
    """The timeline of every registered service, made from its events. Stored lazily: a bad disk costs them alone."""

    def __init__(self, store: Store, events: EventLog) -> None:
        self._store = store
        self._events = events
        self._timelines: dict[str, Timeline] = {}
        self._unsaved: list[StatusEdge] = []
        events.hand_to(self.take)

    def restore(self, edges: Iterable[StatusEdge]) -> None:
        """Takes in what the store held."""
        for edge in edges:
            self._timelines.setdefault(edge.service_id, Timeline()).add(edge)

    def of(self, service_id: str) -> tuple[StatusEdge, ...]:
        """The last changes of a service's status, oldest first; none for one that nobody knows."""
        self._events.settle()
        return tuple(self._timelines.get(service_id, ()))

    def take(self, events: Sequence[LoggedEvent]) -> None:
        """Takes note of changes of status; a service that is removed takes its timeline along."""
        for logged in events:
            event = logged.event
            match event:
                case ServiceRegistered():
                    status = event.status
                case StatusChanged() if event.before is not event.after:
                    status = event.after
                case ServiceRemoved():
                    self._timelines.pop(event.service_id, None)
                    continue
                case _:
                    continue
            change = StatusEdge(service_id=event.service_id, wall=logged.wall, status=status, codes=event.reasons)
            timeline = self._timelines.get(event.service_id)
            if timeline is None:
                timeline = self._timelines[event.service_id] = Timeline()
            timeline.add(change)
            self._unsaved.append(change)

    def flush(self) -> None:
        """Hands what it has taken to the store."""
        if self._unsaved:
            self._store.note(self._unsaved)
            self._unsaved = []
