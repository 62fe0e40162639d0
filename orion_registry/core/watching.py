"""What one watcher still has to be told: one pending slot a service, so memory is bounded by the view."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

from orion_registry.core.history import Edge
from orion_registry.core.model import RemovalReason, Snapshot
from orion_registry.core.selector import Selector


class WatchKind(IntEnum):
    """What a watcher is told. Numbers are those of the wire."""

    ADDED = 1
    MODIFIED = 2
    REMOVED = 3
    BOOKMARK = 4
    RESYNC = 5


@dataclass(frozen=True, slots=True)
class WatchChange:
    """One line of news. snapshot is None in BOOKMARK and RESYNC; removal is set in REMOVED."""

    kind: WatchKind
    snapshot: Snapshot | None = None
    removal: RemovalReason | None = None


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """News in order. Every change up to `revision` has been told once this batch is."""

    events: list[WatchChange]
    revision: int


class _Slot:
    """Pending news of one service.

    Attributes:
        known: the watcher has it in view.
        doubtful: the watcher may have been told of it by a watch that was cut before its revision moved on.
        last: its last state.
        removal: how it went, if it did.
    """

    __slots__ = ("doubtful", "known", "last", "removal")

    def __init__(self, known: bool, doubtful: bool = False) -> None:
        self.known = known
        self.doubtful = doubtful
        self.last: Snapshot | None = None
        self.removal: RemovalReason | None = None


def in_view(selector: Selector, edge: Edge) -> tuple[bool, bool]:
    """Whether an edge's service was in the selector's view before, and is after."""
    before, after = edge.before, edge.after
    if before is not None and after is not None and before.record is after.record:  # nearly always: the status changed
        matches = selector.matches_spec(after.record.spec)
        return matches and selector.shows(before), matches and selector.shows(after)
    return before is not None and selector.matches(before), after is not None and selector.matches(after)


class WatchBuffer:
    """Level-triggered: of several changes of a service the watcher is told the last state only.

    `revision` is what the watcher may resume from; it moves when nothing is pending any more.
    """

    __slots__ = ("_bookmark_due", "_pending", "_resync", "_revision", "selector")

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self._pending: dict[str, _Slot] = {}
        self._revision = 0
        self._resync = False
        self._bookmark_due = False

    # How a watch begins.

    def start(self, members: Iterable[Snapshot], *, resync: bool) -> None:
        """Begins with a snapshot of all that is in view; `resync` if the watcher asked to go on from elsewhere."""
        for snapshot in members:
            slot = self._pending[snapshot.service_id] = _Slot(known=False)
            slot.last = snapshot
        self._resync = resync
        self._bookmark_due = True

    def resume(self, edges: Iterable[Edge], from_revision: int) -> None:
        """Goes on after `from_revision` with what changed since.

        A service that came and went since then is told of as removed: the watcher may have seen it come.
        """
        self._revision = from_revision
        for edge in edges:
            before_in, after_in = in_view(self.selector, edge)
            if (before_in or after_in) and edge.service_id not in self._pending:
                self._pending[edge.service_id] = _Slot(known=before_in, doubtful=True)
            self.offer(edge, before_in, after_in)
        self._bookmark_due = True

    # What happens.

    def offer(self, edge: Edge, before_in: bool, after_in: bool) -> None:
        """Takes note of an edge, given whether its service was in view before and is after: see `in_view`."""
        slot = self._pending.get(edge.service_id)
        if slot is None:
            if not (before_in or after_in):
                return
            slot = self._pending[edge.service_id] = _Slot(known=before_in)
        if after_in:
            slot.last, slot.removal = edge.after, None
        elif not (slot.known or slot.doubtful):
            del self._pending[edge.service_id]
        else:
            slot.last = edge.after or edge.before
            slot.removal = edge.removal or RemovalReason.OUT_OF_VIEW

    def bookmark(self) -> None:
        """The next batch that leaves nothing pending ends with a BOOKMARK."""
        self._bookmark_due = True

    # What is told.

    @property
    def idle(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self._pending or self._resync or self._bookmark_due)

    def take(self, most: int, revision: int) -> WatchBatch:
        """The oldest news, at most `most` services; `revision` is the present one."""
        events = [WatchChange(WatchKind.RESYNC)] if self._resync else []
        self._resync = False
        events += [_told(self._pending.pop(service_id)) for service_id in list(islice(self._pending, most))]
        if not self._pending:
            self._revision = revision
            if self._bookmark_due:
                events.append(WatchChange(WatchKind.BOOKMARK))
                self._bookmark_due = False
        return WatchBatch(events, self._revision)


def _told(slot: _Slot) -> WatchChange:
    if slot.removal is not None:
        return WatchChange(WatchKind.REMOVED, slot.last, slot.removal)
    return WatchChange(WatchKind.MODIFIED if slot.known else WatchKind.ADDED, slot.last)
