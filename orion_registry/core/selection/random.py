"""RANDOM: any candidate, each with the same chance.

Formula   candidate number floor(u x n), u uniform in [0, 1).
Source    the plain one.
Cost      O(1).
For       many small calls, and as a floor to compare with. Knows neither load nor capacity.
"""

from collections.abc import Collection

from orion_registry.core.selection.bag import Bag
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw


class ByChance:
    """Base of strategies that look at a random few."""

    __slots__ = ("_bag",)

    def __init__(self) -> None:
        self._bag = Bag()

    def enter(self, slots: Slots) -> None:
        """See `Strategy`."""
        self._bag.add(slots)

    def leave(self, slots: Slots) -> None:
        """See `Strategy`."""
        self._bag.discard(slots)

    def moved(self, slots: Slots) -> None:
        """See `Strategy`: numbers are looked at when one is drawn."""

    def took(self, slots: Slots) -> None:
        """See `Strategy`."""


class Random(ByChance):
    """One at random."""

    __slots__ = ()

    def pick(self, draw: Draw, _now: float, _key: str, excluded: Collection[str]) -> Slots | None:
        """See `Strategy`."""
        return self._bag.draw(draw, excluded)

    def cost(self, _slots: Slots, _now: float) -> float:
        """See `Strategy`."""
        return 0.0
