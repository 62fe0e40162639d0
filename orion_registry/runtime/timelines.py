"""What became of each service of late: its changes of status, in memory and, when it has time, in the store."""

from collections.abc import Iterable

from orion_registry.core.history import Edge
from orion_registry.core.timeline import StatusEdge, Timeline
from orion_registry.runtime.clock import Clock
from orion_registry.store.base import Store


class Timelines:
    """The timeline of every registered service. Stored lazily: a bad disk costs them, and nothing else."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._timelines: dict[str, Timeline] = {}
        self._fresh: list[tuple[Edge, float]] = []
        self._unsaved: list[StatusEdge] = []

    def restore(self, edges: Iterable[StatusEdge]) -> None:
        """Takes in what the store held."""
        for edge in edges:
            self._timelines.setdefault(edge.service_id, Timeline()).add(edge)

    def of(self, service_id: str) -> tuple[StatusEdge, ...]:
        """The last changes of a service's status, oldest first; none for one that nobody knows."""
        self._sort_in()
        return tuple(self._timelines.get(service_id, ()))

    def note(self, edge: Edge) -> None:
        """Takes note of an edge. Only changes of status count; a service that is removed takes its timeline along."""
        if edge.before is None or edge.after is None or edge.before.status is not edge.after.status:
            self._fresh.append((edge, self._clock.now().wall))

    def flush(self) -> None:
        """Hands what is new to the store."""
        self._sort_in()
        if self._unsaved:
            self._store.note(self._unsaved)
            self._unsaved = []

    def _sort_in(self) -> None:
        """Later than `note`, which watchers wait for where thousands of services change at once."""
        fresh, self._fresh = self._fresh, []
        for edge, wall in fresh:
            if edge.after is None:
                self._timelines.pop(edge.service_id, None)
                continue
            codes = tuple(reason.code for reason in edge.after.reasons)
            change = StatusEdge(service_id=edge.service_id, wall=wall, status=edge.after.status, codes=codes)
            self._timelines.setdefault(edge.service_id, Timeline()).add(change)
            self._unsaved.append(change)
