"""Zones: which candidates are near the caller, and whether enough of them are ready for nearness to count."""

from orion_registry.core.selection.slots import Slots

ZONES = 8
"""Zones that one pool keeps ranked besides all candidates: a region has 3 to 6. Callers of further ones are served as
if they had named none, so that odd names cost no memory."""


class Zones:
    """Counts of one pool, kept up to date with every edge: a selection looks at two numbers.

    With M members of the caller's zone in the pool and R of them ready (tier 0 or 1, with a free slot or without),

        the zone is preferred  <=>  0 < M < members of the pool  and  R >= share x M.

    Where it is, each tier is gone through twice: first those of the zone that have a free slot, then the others. So
    calls spill over when the zone is full; and all count alike while too many of the zone are out, for the few that
    are left would be run over by the calls of all (Envoy draws the same line, at 1 / 1.4 = 71 %, its
    overprovisioning_factor).
    """

    __slots__ = ("_members", "_ready")

    def __init__(self) -> None:
        self._members: dict[str, int] = {}
        self._ready: dict[str, int] = {}

    def add(self, slots: Slots) -> None:
        """Counts a member."""
        self._count(self._members, slots.zone, 1)
        if slots.ready:
            self._count(self._ready, slots.zone, 1)

    def remove(self, slots: Slots) -> None:
        """Counts a member no more; it must be as it was when it was counted."""
        self._count(self._members, slots.zone, -1)
        if slots.ready:
            self._count(self._ready, slots.zone, -1)

    def members(self, zone: str) -> int:
        """How many there are in a zone."""
        return self._members.get(zone, 0)

    def ready(self, zone: str) -> int:
        """How many of them are ready."""
        return self._ready.get(zone, 0)

    def preferred(self, zone: str, share: float, total: int) -> bool:
        """Whether a caller's zone goes first in a pool of `total` members."""
        members = self._members.get(zone, 0)
        return 0 < members < total and self._ready.get(zone, 0) >= share * members

    @staticmethod
    def _count(counts: dict[str, int], zone: str, by: int) -> None:
        if zone:
            counts[zone] = counts.get(zone, 0) + by
            if not counts[zone]:
                del counts[zone]
