"""Overlays as operators see them: what is set, and how far the services are that it is for."""

from dataclasses import dataclass

from orion_registry.core import limits
from orion_registry.core.draining import entry_of
from orion_registry.core.entry import Entry
from orion_registry.core.fleet import Fleet
from orion_registry.core.model import Now, StatusReasonCode
from orion_registry.core.overlay import Overlay, OverlayFilter, check_filter
from orion_registry.core.overlay_book import Held
from orion_registry.core.paging import page_size
from orion_registry.errors import InvalidArgument, Reason

_PARTS = 4
"""Of a natural key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayRow:
    """One overlay, as of now.

    Attributes:
        overlay: what is set.
        entry: the service; None = not registered now.
        drained: whether it is DRAINED, which means safe to stop.
        leases_left: selections on it that are still held.
        left_s: seconds until draining has to be over; None = no limit.
    """

    overlay: Overlay
    entry: Entry | None
    drained: bool
    leases_left: int
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayPage:
    """Overlays in the order of their natural keys. next_token: of the next page; empty = this is the last."""

    rows: tuple[OverlayRow, ...]
    next_token: str


def overlay_page(fleet: Fleet, wanted: OverlayFilter, size: int, token: str, now: Now) -> OverlayPage:
    """One page. A token is the key that the page before ended with, so it holds whatever changes meanwhile.

    Raises:
        InvalidArgument: BAD_FIELD, BAD_PAGE_TOKEN.
    """
    check_filter(wanted)
    most = page_size(size, limits.OVERLAYS_PAGE)
    if token and [bool(limits.ID.fullmatch(part)) for part in token.split("/")] != [True] * _PARTS:
        raise InvalidArgument(Reason.BAD_PAGE_TOKEN, "page_token: not one that this registry gave")
    rows: list[OverlayRow] = []
    for held in fleet.overlays.after(token):
        if not wanted.passes(held.overlay):
            continue
        if len(rows) == most:
            return OverlayPage(rows=tuple(rows), next_token=rows[-1].overlay.key)
        rows.append(_row(fleet, held, now))
    return OverlayPage(rows=tuple(rows), next_token="")


def _row(fleet: Fleet, held: Held, now: Now) -> OverlayRow:
    overlay, entry = held.overlay, entry_of(fleet, held.overlay)
    return OverlayRow(
        overlay=overlay,
        entry=entry,
        drained=entry is not None and StatusReasonCode.DRAINED in entry.conditions,
        leases_left=0 if entry is None else fleet.leases_left(entry.service_id),
        left_s=fleet.overlays.left_s(overlay.key, now.mono),
    )
