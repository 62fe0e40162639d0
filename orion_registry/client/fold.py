"""What a watcher knows: the fold of a watch's responses. Pure.

A snapshot (after the start, or a RESYNC) is gathered aside and shown whole at its BOOKMARK, as the difference to what
was shown before; cut short, it is forgotten. Changes of a resumed watch are shown as they come. So what is shown never
goes back to an older state. A shrink guard may keep what an update removes in view until a fresh snapshot confirms it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from orion_registry.client.shrink_guard import ShrinkGuard
from orion_registry.core.model import RemovalReason
from orion_registry.wire.service import Service


class WatchKind(StrEnum):
    """What happened."""

    ADDED = "added"
    """A service came into view."""
    MODIFIED = "modified"
    """A service in view changed."""
    REMOVED = "removed"
    """A service left the view; `service` is its last state known."""
    SYNCED = "synced"
    """Everything up to here has been shown: the view is whole. Comes after the first snapshot and each reconnect."""


class Mark(StrEnum):
    """What a watch response may say that is not about one service."""

    BOOKMARK = "bookmark"
    RESYNC = "resync"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """One event of a watch.

    service is None in SYNCED alone. removal says why it left; None in REMOVED means that it went unseen, while the
    watch was away.
    """

    kind: WatchKind
    service: Service | None = None
    removal: RemovalReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchBatch:
    """One response of the registry, in order."""

    items: tuple[WatchEvent | Mark, ...]
    revision: int
    history_id: str


class Fold:
    """The view of one selector, and the position to resume it from.

    Args:
        guard: what an update may remove at once; None = everything.
    """

    def __init__(self, guard: ShrinkGuard | None = None) -> None:
        self._guard = guard
        self._shown: dict[str, Service] = {}
        self._gathered: dict[str, Service] | None = None
        self._awaiting_mark = True
        self._revision = 0
        self._history_id = ""
        self.services: Mapping[str, Service] = MappingProxyType(self._shown)

    @property
    def position(self) -> tuple[int, str]:
        """Revision and history_id to resume from; (0, "") asks for a snapshot."""
        return self._revision, self._history_id

    def seed(self, services: Iterable[Service]) -> list[WatchEvent]:
        """Shows services that are known from elsewhere, until a snapshot says better. Returns what changed."""
        return [event for service in services for event in self._show(service)]

    def start_over(self) -> None:
        """The next stream is to bring a fresh snapshot."""
        self._revision, self._history_id = 0, ""

    def stream_started(self) -> None:
        """A new stream was opened from `position`: a snapshot cut short is forgotten."""
        self._gathered = {} if self._revision == 0 else None
        self._awaiting_mark = True

    def apply(self, batch: WatchBatch) -> list[WatchEvent]:
        """Takes one response; returns what changed in the view."""
        lags = batch.history_id == self._history_id and batch.revision < self._revision
        if lags and self._gathered is None and Mark.RESYNC not in batch.items:
            return []  # such as another member of a cluster, behind what was shown
        shown: list[WatchEvent] = []
        for item in self._believed(batch):
            shown.extend(self._apply_one(item, batch.history_id))
        if self._gathered is None:
            self._revision, self._history_id = batch.revision, batch.history_id
        return shown

    def _believed(self, batch: WatchBatch) -> Iterable[WatchEvent | Mark]:
        """The items of a response, without removals that the guard withholds."""
        if self._guard is None or self._gathered is not None or Mark.RESYNC in batch.items:
            return batch.items
        leaving = {
            item.service.service_id
            for item in batch.items
            if isinstance(item, WatchEvent) and item.kind is WatchKind.REMOVED and item.service is not None
        }.intersection(self._shown)
        if not leaving or self._guard.lets_go(len(self._shown), leaving, batch.history_id, snapshot=False):
            return batch.items
        return [item for item in batch.items if not (isinstance(item, WatchEvent) and item.kind is WatchKind.REMOVED)]

    def _apply_one(self, item: WatchEvent | Mark, history_id: str) -> Iterable[WatchEvent]:
        if isinstance(item, WatchEvent):
            return self._change(item)
        if item is Mark.RESYNC:
            self._gathered, self._awaiting_mark = {}, True
            return ()
        changes = self._show_gathered(history_id)
        if self._awaiting_mark:
            self._awaiting_mark = False
            changes.append(WatchEvent(kind=WatchKind.SYNCED))
        return changes

    def _change(self, event: WatchEvent) -> Iterable[WatchEvent]:
        service = event.service
        if service is None:
            return ()
        if self._gathered is not None:
            if event.kind is WatchKind.REMOVED:
                self._gathered.pop(service.service_id, None)
            else:
                self._gathered[service.service_id] = service
            return ()
        if self._guard is not None:
            self._guard.seen(service.service_id)
        if event.kind is WatchKind.REMOVED:
            known = self._shown.pop(service.service_id, None)
            return () if known is None else (event,)
        return self._show(service)

    def _show(self, service: Service) -> Iterable[WatchEvent]:
        known = self._shown.get(service.service_id)
        self._shown[service.service_id] = service
        if known is None:
            return (WatchEvent(kind=WatchKind.ADDED, service=service),)
        return () if known == service else (WatchEvent(kind=WatchKind.MODIFIED, service=service),)

    def _show_gathered(self, history_id: str) -> list[WatchEvent]:
        """Makes the snapshot the view; returns the difference. What was not added again is gone, or withheld."""
        if self._gathered is None:
            return []
        gathered, self._gathered = self._gathered, None
        gone = [known for known in self._shown if known not in gathered]
        if self._guard is not None and not self._guard.lets_go(len(self._shown), gone, history_id, snapshot=True):
            gone = []
        changes = [WatchEvent(kind=WatchKind.REMOVED, service=self._shown.pop(service_id)) for service_id in gone]
        for service in gathered.values():
            changes.extend(self._show(service))
        return changes


def coalesce(pending: dict[str, WatchEvent], event: WatchEvent) -> None:
    """Adds an event to those not yet taken, one per service, the last state: memory stays bounded by the view.

    Nobody has been shown a pending event, so ADDED and REMOVED cancel out, and REMOVED and ADDED make MODIFIED.
    """
    key = "" if event.service is None else event.service.service_id
    earlier = pending.pop(key, None)
    kinds = (earlier.kind if earlier is not None else None, event.kind)
    if kinds == (WatchKind.ADDED, WatchKind.REMOVED):
        return
    if kinds == (WatchKind.ADDED, WatchKind.MODIFIED):
        event = WatchEvent(kind=WatchKind.ADDED, service=event.service)
    elif kinds == (WatchKind.REMOVED, WatchKind.ADDED):
        event = WatchEvent(kind=WatchKind.MODIFIED, service=event.service)
    pending[key] = event
