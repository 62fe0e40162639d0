"""The shape of strategies that learn: the least number, and now and then a random one, so that all are seen again."""

from collections.abc import Collection

from orion_registry.core.selection.bag import Bag
from orion_registry.core.selection.by_number import ByNumber
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw

EXPLORED = 1 / 32
"""Share of picks that are random: of 30 agents each is seen once in about 1,000 calls; 3 % of the picks are blind."""


class Exploring(ByNumber):
    """Buckets, and a bag of the same candidates."""

    __slots__ = ("_bag",)

    def __init__(self) -> None:
        super().__init__()
        self._bag = Bag()

    def enter(self, slots: Slots) -> None:
        """See `Strategy`."""
        super().enter(slots)
        self._bag.add(slots)

    def leave(self, slots: Slots) -> None:
        """See `Strategy`."""
        super().leave(slots)
        self._bag.discard(slots)

    def pick(self, draw: Draw, _now: float, _key: str, excluded: Collection[str]) -> Slots | None:
        """See `Strategy`."""
        if draw() < EXPLORED:
            return self._bag.draw(draw, excluded)
        return self._buckets.least(draw, excluded)
