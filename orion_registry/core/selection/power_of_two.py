"""POWER_OF_TWO_CHOICES: of two at random, the one with less load.

Formula   draw two different candidates; the less (in_flight + 1) / (weight x max_concurrency), the first if equal.
Source    Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (TPDS 12(10), 2001); Envoy, linkerd.
Cost      O(1).
For       many pickers that see old loads: they do not all run to the same agent. One picker that sees all does better
          with the least of all (WEIGHTED_LEAST_LOAD).
"""

from collections.abc import Collection

from orion_registry.core.selection.random import ByChance
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw


class PowerOfTwoChoices(ByChance):
    """Two at random, the better one."""

    __slots__ = ()

    def pick(self, draw: Draw, _now: float, _key: str, excluded: Collection[str]) -> Slots | None:
        """See `Strategy`."""
        two = self._bag.draw_two(draw, excluded)
        if two is None:
            return None
        one, other = two
        # a/b <= c/d without dividing
        return one if (one.in_flight + 1) * other.capacity <= (other.in_flight + 1) * one.capacity else other

    def cost(self, slots: Slots, _now: float) -> float:
        """See `Strategy`."""
        return slots.load
