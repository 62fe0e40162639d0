"""WEIGHTED_LEAST_LOAD, the default: the candidate that the call would fill least.

Formula   least (in_flight + 1) / (weight x max_concurrency), no limit counts as 16; equal ones at random.
Source    weighted least connections, as in HAProxy and Envoy (bias 1); that a picker which sees all should take the
          least of all, not of two, is measured in docs/balancing.md.
Cost      O(1) where few different capacities occur, else O(log n): buckets in a heap.
For       nearly everything. The `+ 1` makes an idle large agent come before an idle small one.
"""

from orion_registry.core.selection.by_number import ByNumber
from orion_registry.core.selection.slots import Slots


class WeightedLeastLoad(ByNumber):
    """Buckets by load."""

    __slots__ = ()

    def number(self, slots: Slots) -> float:
        """Its load with the call: `Slots.load`, spelt out on the hot path."""
        return (slots.in_flight + 1) / slots.capacity
