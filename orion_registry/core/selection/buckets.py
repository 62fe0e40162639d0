"""Candidates by a number, the least first, equal ones at random, without ever looking at all of them."""

from collections.abc import Collection
from heapq import heapify, heappop, heappush

from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw

EMPTY_KEPT = 64
"""Empty buckets that may be kept, besides one for each candidate, before tidying up is worth it."""


class Buckets:
    """One bucket for each number that occurs, and a heap of the numbers.

    A move between buckets costs the same at any number of candidates. Few numbers occur where weights are alike (in the
    extreme: one for each in_flight); where all differ, it is a heap. A bucket that empties stays until it comes up.
    """

    __slots__ = ("_buckets", "_heap", "_place", "_value")

    def __init__(self) -> None:
        self._buckets: dict[float, list[Slots]] = {}
        self._heap: list[float] = []
        self._value: dict[Slots, float] = {}
        self._place: dict[Slots, int] = {}

    def put(self, slots: Slots, value: float) -> None:
        """Adds one, or moves it."""
        was = self._value.get(slots)
        if was is not None:
            if was == value:
                return
            self._take_out(slots, self._place[slots], was)
        bucket = self._buckets.get(value)
        if bucket is None:
            bucket = self._buckets[value] = []
            heappush(self._heap, value)
            if len(self._heap) > 2 * len(self._value) + EMPTY_KEPT:
                self._tidy(value)
        self._value[slots] = value
        self._place[slots] = len(bucket)
        bucket.append(slots)

    def discard(self, slots: Slots) -> None:
        """Takes out one that is in it."""
        self._take_out(slots, self._place.pop(slots), self._value.pop(slots))

    def _take_out(self, slots: Slots, place: int, value: float) -> None:
        """The last one of the bucket fills its place."""
        bucket = self._buckets[value]
        last = bucket.pop()
        if last is not slots:
            bucket[place] = last
            self._place[last] = place

    def least(self, draw: Draw, excluded: Collection[str]) -> Slots | None:
        """The one with the least number, among equal ones each with the same chance; None if all are excluded."""
        heap, buckets = self._heap, self._buckets
        while heap:
            bucket = buckets[heap[0]]
            if bucket:
                slots = bucket[int(draw() * len(bucket))] if len(bucket) > 1 else bucket[0]
                if not excluded or slots.service_id not in excluded:
                    return slots
                return self._least_of_rest(draw, excluded)
            del buckets[heappop(heap)]
        return None

    def _least_of_rest(self, draw: Draw, excluded: Collection[str]) -> Slots | None:
        for value in sorted(self._buckets):
            rest = [slots for slots in self._buckets[value] if slots.service_id not in excluded]
            if rest:
                return rest[int(draw() * len(rest))]
        return None

    def _tidy(self, fresh: float) -> None:
        self._buckets = {value: bucket for value, bucket in self._buckets.items() if bucket or value == fresh}
        self._heap = list(self._buckets)
        heapify(self._heap)
