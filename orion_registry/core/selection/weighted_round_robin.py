"""WEIGHTED_ROUND_ROBIN: turns in proportion to capacity, spread evenly.

Formula   earliest deadline first: each turn of a candidate is due 1 / capacity after its last one, where capacity is
          weight x max_concurrency (no limit counts as 16). With whole capacities that sum up to W, any W turns in a
          row from the start give each exactly its capacity.
Source    earliest deadline first as in Envoy and gRPC (A58); smooth like nginx's, at O(log n) instead of O(n).
Cost      O(log n) for a turn.
For       calls of one length on agents of known, different capacity. Does not see load.
"""

from collections.abc import Collection
from heapq import heapify, heappop, heappush, heapreplace, nsmallest

from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw

Turn = tuple[float, int, Slots]
"""When it is due, order of entry, whose it is."""

VOID_KEPT = 64
"""Turns in the heap that may mean nothing before tidying up is worth it."""


class WeightedRoundRobin:
    """A heap of turns, one for each candidate."""

    __slots__ = ("_capacity", "_entered", "_heap", "_time", "_turn")

    def __init__(self) -> None:
        self._heap: list[Turn] = []
        self._turn: dict[Slots, Turn] = {}
        self._capacity: dict[Slots, float] = {}
        self._time = 0.0
        self._entered = 0

    def enter(self, slots: Slots) -> None:
        """See `Strategy`: its first turn is due a whole share from now, so coming and going gains nothing."""
        self._entered += 1
        capacity = self._capacity[slots] = slots.capacity
        turn = self._turn[slots] = (self._time + 1 / capacity, self._entered, slots)
        heappush(self._heap, turn)
        if len(self._heap) > 2 * len(self._turn) + VOID_KEPT:
            self._heap = list(self._turn.values())
            heapify(self._heap)

    def leave(self, slots: Slots) -> None:
        """See `Strategy`."""
        del self._turn[slots], self._capacity[slots]

    def moved(self, slots: Slots) -> None:
        """See `Strategy`: only another capacity matters; the new pace holds from now."""
        if self._capacity[slots] != slots.capacity:
            self.leave(slots)
            self.enter(slots)

    def pick(self, _draw: Draw, _now: float, _key: str, excluded: Collection[str]) -> Slots | None:
        """See `Strategy`."""
        heap = self._heap
        while heap:
            slots = heap[0][2]
            if self._turn.get(slots) is heap[0]:
                if not excluded or slots.service_id not in excluded:
                    return slots
                rest = (turn for turn in self._turn.values() if turn[2].service_id not in excluded)
                return next((turn[2] for turn in nsmallest(1, rest)), None)
            heappop(heap)
        return None

    def took(self, slots: Slots) -> None:
        """See `Strategy`."""
        turn = self._turn[slots]
        due, order, _ = turn
        self._time = max(self._time, due)
        after = self._turn[slots] = (due + 1 / self._capacity[slots], order, slots)
        if self._heap[0] is turn:
            heapreplace(self._heap, after)
        else:  # those before it were excluded
            heappush(self._heap, after)

    def cost(self, slots: Slots, _now: float) -> float:
        """See `Strategy`: when its turn is due, in turns of capacity 1 from now."""
        turn = self._turn.get(slots)
        return 0.0 if turn is None else turn[0] - self._time
