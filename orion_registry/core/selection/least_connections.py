"""LEAST_CONNECTIONS: the candidate with the fewest calls in flight.

Formula   least in_flight; equal ones at random.
Source    the plain one (nginx least_conn, HAProxy leastconn without weights).
Cost      O(1): one bucket for each in_flight that occurs.
For       agents of one size. Prefers an idle small agent to a large one with a call, whatever their capacities.
"""

from orion_registry.core.selection.by_number import ByNumber
from orion_registry.core.selection.slots import Slots


class LeastConnections(ByNumber):
    """Buckets by in_flight."""

    __slots__ = ()

    def number(self, slots: Slots) -> float:
        """Calls in flight."""
        return slots.in_flight
