"""Candidates in no order: adding, taking out and drawing one at random cost the same at any number."""

from collections.abc import Collection

from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw

TRIES = 8
"""Random draws that may hit an excluded one before the rest is looked through."""


class Bag:
    """A list and the place of each in it; the last one fills the place of one taken out."""

    __slots__ = ("_place", "items")

    def __init__(self) -> None:
        self.items: list[Slots] = []
        self._place: dict[Slots, int] = {}

    def add(self, slots: Slots) -> None:
        """Adds one that is not in it."""
        self._place[slots] = len(self.items)
        self.items.append(slots)

    def discard(self, slots: Slots) -> None:
        """Takes out one that is in it."""
        place = self._place.pop(slots)
        last = self.items.pop()
        if last is not slots:
            self.items[place] = last
            self._place[last] = place

    def draw(self, draw: Draw, excluded: Collection[str]) -> Slots | None:
        """One at random, each with the same chance; None if all are excluded."""
        items = self.items
        if not excluded:
            return items[int(draw() * len(items))] if items else None
        if len(items) > TRIES:
            for _ in range(TRIES):
                slots = items[int(draw() * len(items))]
                if slots.service_id not in excluded:
                    return slots
        rest = [slots for slots in items if slots.service_id not in excluded]
        return rest[int(draw() * len(rest))] if rest else None

    def draw_two(self, draw: Draw, excluded: Collection[str]) -> tuple[Slots, Slots] | None:
        """Two different ones at random, twice the same if there is but one; None if all are excluded."""
        items = self.items
        if excluded:
            items = [slots for slots in items if slots.service_id not in excluded]
        number = len(items)
        if number < 2:
            return (items[0], items[0]) if items else None
        one = int(draw() * number)
        other = int(draw() * (number - 1))
        return items[one], items[other + (other >= one)]
