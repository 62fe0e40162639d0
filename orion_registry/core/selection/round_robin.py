"""ROUND_ROBIN: each candidate in turn.

Formula   the candidate whose last turn is longest ago; a new one, or one that was full, comes last.
Source    the plain one; every proxy has it.
Cost      O(1) for a pick and for a change: a ring of links.
For       equal agents with equal calls. Knows neither load nor capacity, so it is the floor to compare with.
"""

from collections.abc import Collection

from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw


class RoundRobin:
    """A ring, and whose turn it is."""

    __slots__ = ("_after", "_before", "_turn")

    def __init__(self) -> None:
        self._after: dict[Slots, Slots] = {}
        self._before: dict[Slots, Slots] = {}
        self._turn: Slots | None = None

    def enter(self, slots: Slots) -> None:
        """See `Strategy`: it becomes the last."""
        turn = self._turn
        if turn is None:
            self._turn = self._after[slots] = self._before[slots] = slots
            return
        last = self._before[turn]
        self._after[last] = self._before[turn] = slots
        self._after[slots], self._before[slots] = turn, last

    def leave(self, slots: Slots) -> None:
        """See `Strategy`."""
        after, before = self._after.pop(slots), self._before.pop(slots)
        if after is slots:
            self._turn = None
            return
        self._after[before], self._before[after] = after, before
        if self._turn is slots:
            self._turn = after

    def moved(self, slots: Slots) -> None:
        """See `Strategy`: turns do not depend on numbers."""

    def pick(self, _draw: Draw, _now: float, _key: str, excluded: Collection[str]) -> Slots | None:
        """See `Strategy`."""
        turn = self._turn
        if not excluded or turn is None or turn.service_id not in excluded:
            return turn
        slots = self._after[turn]
        while slots is not turn:
            if slots.service_id not in excluded:
                return slots
            slots = self._after[slots]
        return None

    def took(self, slots: Slots) -> None:
        """See `Strategy`: out of turn (others were excluded), it goes to the end and the turn stays."""
        if self._turn is slots:
            self._turn = self._after[slots]
        else:
            self.leave(slots)
            self.enter(slots)

    def cost(self, _slots: Slots, _now: float) -> float:
        """See `Strategy`."""
        return 0.0
