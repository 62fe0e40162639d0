"""HEALTH_BASED: load, with the less healthy taken for smaller.

Formula   least (in_flight + 1) / (capacity x health^2); one pick in 32 is random. health = decayed share of calls that
          did not fail x (1 - utilization / 2) by its last report, 1/64 steps, 0.05 at least.
Source    our own. Going by health alone would send everything to the healthiest one; the square makes an agent that
          fails half its calls worth a quarter, and 0.05 makes the worst worth 1/400, not nothing.
Cost      O(log n).
For       agents that fail or report their utilization. Ejection (docs/balancing.md) works besides, with every strategy.
"""

from orion_registry.core.selection.exploring import Exploring
from orion_registry.core.selection.slots import Slots

LEAST = 0.05
STEPS = 64


def health_of(slots: Slots) -> float:
    """From 1, healthy, down to `LEAST`."""
    health = slots.performance.success * (1.0 - min(slots.utilization, 1.0) / 2)
    return max(round(health * STEPS) / STEPS, LEAST)


class HealthBased(Exploring):
    """Buckets by load over health squared."""

    __slots__ = ()

    def number(self, slots: Slots) -> float:
        """Its load as if its capacity were smaller."""
        return slots.load / health_of(slots) ** 2
