"""PEAK_EWMA: of two at random, the one with the shorter expected wait, by a peak-sensitive response time.

Formula   least peak x (in_flight + 1) / capacity of two. peak jumps to each longer response time at once and decays
          with 10 s; a failure counts as three times the estimate, 1 s at least. Nothing known counts as nothing.
Source    Finagle's Peak EWMA; the penalty answers its weakness that fast failures look fast (linkerd2-proxy#4537).
Cost      O(1).
For       short calls of similar length, one agent slow now and then. With calls of very different lengths the last long
          call looks like a slow agent.
"""

from collections.abc import Collection

from orion_registry.core.selection.random import ByChance
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw

LEAST_S = 1e-6
"""Where nothing is known, load alone decides."""


class PeakEwma(ByChance):
    """Two at random, the one with the shorter expected wait."""

    __slots__ = ()

    def pick(self, draw: Draw, now: float, _key: str, excluded: Collection[str]) -> Slots | None:
        """See `Strategy`."""
        two = self._bag.draw_two(draw, excluded)
        if two is None:
            return None
        one, other = two
        return one if self.cost(one, now) <= self.cost(other, now) else other

    def cost(self, slots: Slots, now: float) -> float:
        """See `Strategy`."""
        return max(slots.performance.peak_s(now), LEAST_S) * slots.load
