"""A store that forgets with its process: for trying things out, and for tests."""

from collections.abc import Sequence

from orion_registry.core.facts import Delete, DeleteOverlay, Fact, Put, PutOverlay, ReserveEpochs, Stored
from orion_registry.core.model import Record
from orion_registry.core.overlay import Overlay
from orion_registry.core.timeline import StatusEdge, Timeline


class MemoryStore:
    """Keeps facts in dictionaries. It survives `close`, so that a test can restart a daemon on it."""

    kind = "memory"

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._overlays: dict[str, Overlay] = {}
        self._timelines: dict[str, Timeline] = {}
        self._epochs_below = 1

    @property
    def alarm(self) -> str:
        """See `Store.alarm`: memory is never full before the process is."""
        return ""

    async def load(self) -> Stored:
        """See `Store.load`."""
        return Stored(
            records=tuple(self._records.values()),
            epochs_below=self._epochs_below,
            overlays=tuple(self._overlays.values()),
            edges=tuple(edge for timeline in self._timelines.values() for edge in timeline),
        )

    async def commit(self, facts: Sequence[Fact]) -> None:
        """See `Store.commit`."""
        for fact in facts:
            match fact:
                case Put():
                    self._records[fact.record.service_id] = fact.record
                case Delete():
                    self._records.pop(fact.service_id, None)
                    self._timelines.pop(fact.service_id, None)
                case PutOverlay():
                    self._overlays[fact.overlay.key] = fact.overlay
                case DeleteOverlay():
                    self._overlays.pop(fact.key, None)
                case ReserveEpochs():
                    self._epochs_below = max(self._epochs_below, fact.below)

    def note(self, edges: Sequence[StatusEdge]) -> None:
        """See `Store.note`."""
        for edge in edges:
            if edge.service_id in self._records:
                self._timelines.setdefault(edge.service_id, Timeline()).add(edge)

    async def close(self) -> None:
        """See `Store.close`."""
