"""All overlays, by natural key, and when draining has to be over. It decides nothing."""

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from orion_registry.core.entry import Entry
from orion_registry.core.keys import key_of_spec
from orion_registry.core.model import ServiceSpec, StatusReason, StatusReasonCode
from orion_registry.core.overlay import REASONS, Overlay, OverlayMode


@dataclass(slots=True, kw_only=True)
class Held:
    """An overlay as it lives. Instants are judged seconds.

    Attributes:
        overlay: what is set.
        began: when its mode was set, or read back.
        until: when draining has to be over; None = never.
    """

    overlay: Overlay
    began: float
    until: float | None = field(default=None)


_DRAINS = frozenset({StatusReasonCode.DRAINING, StatusReasonCode.DRAINED})


class OverlayBook:
    """What operators have set.

    Attributes:
        draining: registered services that are DRAINING or DRAINED, by natural key, in the order of their turn.
    """

    __slots__ = ("_held", "_keys", "draining")

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._keys: list[str] | None = []
        self.draining: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Overlay]:
        return (held.overlay for held in self._held.values())

    def get(self, key: str) -> Held | None:
        """What is set for a natural key."""
        return self._held.get(key)

    def of(self, spec: ServiceSpec) -> Overlay | None:
        """What is set for a service. Asked for each that comes: while nothing is set it costs no key."""
        held = self._held.get(key_of_spec(spec)) if self._held else None
        return None if held is None else held.overlay

    def left_s(self, key: str, mono: float) -> float | None:
        """Seconds that are left to what drains; None = no limit."""
        held = self._held.get(key)
        return None if held is None or held.until is None else max(0.0, held.until - mono)

    def put(self, overlay: Overlay, mono: float, *, anew: bool) -> None:
        """Sets or changes one; anew: its mode counts from now."""
        held = self._held.get(overlay.key)
        if held is None:
            self._keys = None
        if held is None or anew:
            until = None if overlay.deadline_s is None else mono + overlay.deadline_s
            self._held[overlay.key] = Held(overlay=overlay, began=mono, until=until)
        else:
            held.overlay = overlay

    def drop(self, key: str) -> None:
        """Clears one that is set."""
        del self._held[key]
        self._keys = None

    def after(self, key: str) -> Iterator[Held]:
        """Those whose key follows, in the order of their keys; empty: all."""
        if self._keys is None:
            self._keys = sorted(self._held)
        for index in range(bisect.bisect_right(self._keys, key), len(self._keys)):
            yield self._held[self._keys[index]]

    def arrived(self, entry: Entry) -> None:
        """A service is there whose overlay, if it has one, is in its conditions."""
        if not _DRAINS.isdisjoint(entry.conditions):
            self.draining[key_of_spec(entry.spec)] = entry

    def left(self, entry: Entry) -> None:
        """A service is gone, or drains no more; its overlay stays."""
        if self.draining:
            self.draining.pop(key_of_spec(entry.spec), None)


def conditions_of(overlay: Overlay | None, before: Iterable[StatusReason] = ()) -> dict[StatusReasonCode, StatusReason]:
    """The condition that an overlay is for its service, if it is one.

    before: those that hold now. One that holds already goes on.
    """
    if overlay is None or overlay.mode is OverlayMode.NONE:
        return {}
    code = REASONS[overlay.mode]
    holding = {reason.code: reason for reason in before}
    drained = holding.get(StatusReasonCode.DRAINED) if overlay.mode is OverlayMode.DRAIN else None
    reason = drained or holding.get(code) or StatusReason(code=code, since_wall=overlay.set_wall)
    return {reason.code: reason}
