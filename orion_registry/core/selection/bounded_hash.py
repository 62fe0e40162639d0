"""BOUNDED_CONSISTENT_HASH: a key goes to the same candidate, unless that one has much more than its share.

Formula   21 places on a circle of 2^64 are derived from the key; the candidate that follows one of them at the least
          distance is its home, the next nearest its second, and so on; then along the circle. The first with
          in_flight < ceil(1.25 x (all in flight + 1) x its share of capacity) is chosen. No key: a random one.
Source    bounds: Mirrokni et al., "Consistent Hashing with Bounded Loads" (SODA 2018), 1.25 as in HAProxy; many probes
          with one point for each candidate instead of many points: Appleton, O'Reilly, "Multi-probe
          consistent hashing" (2015): 21 keep the largest share of keys within 5 % above the mean.
Cost      O(log n) x 21; a candidate that comes or goes costs one insertion and moves only the keys that it has to.
For       conversations, prompt caches: calls that are cheaper where their predecessor went.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from hashlib import blake2b

from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw

PROBES = 21
FACTOR = 1.25
_TIMES, _BY = FACTOR.as_integer_ratio()
CIRCLE = 1 << 64
UNIT = 1_000_000
"""Capacities are counted in millionths, in whole numbers: sums of floats far apart lose the small ones."""


def place_of(text: str, purpose: bytes) -> int:
    """A place on the circle, the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8, person=purpose).digest())


def _units(slots: Slots) -> int:
    return max(1, round(slots.capacity * UNIT))


class BoundedConsistentHash:
    """A circle with one point for each candidate."""

    __slots__ = ("_at", "_capacity", "_counted", "_in_flight", "_places")

    def __init__(self) -> None:
        self._places: list[int] = []
        self._at: dict[int, list[Slots]] = {}
        self._counted: dict[Slots, tuple[int, int]] = {}
        self._in_flight = 0
        self._capacity = 0

    def enter(self, slots: Slots) -> None:
        """See `Strategy`."""
        place = place_of(slots.service_id, b"candidate")
        if place not in self._at:
            insort(self._places, place)
            self._at[place] = []
        self._at[place].append(slots)
        self._count(slots, slots.in_flight, _units(slots))

    def leave(self, slots: Slots) -> None:
        """See `Strategy`."""
        place = place_of(slots.service_id, b"candidate")
        self._at[place].remove(slots)
        if not self._at[place]:
            del self._at[place]
            del self._places[bisect_left(self._places, place)]
        self._count(slots, 0, 0)
        del self._counted[slots]

    def moved(self, slots: Slots) -> None:
        """See `Strategy`."""
        self._count(slots, slots.in_flight, _units(slots))

    def pick(self, draw: Draw, _now: float, key: str, excluded: Collection[str]) -> Slots | None:
        """See `Strategy`."""
        if not self._counted:
            return None
        spare: Slots | None = None
        for slots in self._in_order(key or str(draw())):
            if slots.service_id in excluded:
                continue
            if slots.in_flight < self._bound(slots):
                return slots
            spare = spare or slots
        return spare  # the bound counts candidates that the caller excluded

    def took(self, slots: Slots) -> None:
        """See `Strategy`: the lease itself moves the bound."""

    def cost(self, slots: Slots, _now: float) -> float:
        """See `Strategy`: how full it is by its bound; the first in the key's order that is below 1 is chosen."""
        return slots.in_flight / self._bound(slots) if slots in self._counted else 0.0

    def _bound(self, slots: Slots) -> int:
        share = _TIMES * (self._in_flight + 1) * self._counted[slots][1]
        return -(-share // (_BY * self._capacity))  # rounded up

    def _count(self, slots: Slots, in_flight: int, capacity: int) -> None:
        had_in_flight, had_capacity = self._counted.get(slots, (0, 0))
        self._in_flight += in_flight - had_in_flight
        self._capacity += capacity - had_capacity
        self._counted[slots] = (in_flight, capacity)

    def _in_order(self, key: str) -> Iterator[Slots]:
        """The key's home, its second, and so on; all candidates in the end, some of them more than once."""
        places, number = self._places, len(self._places)
        first, step = place_of(key, b"key"), place_of(key, b"step") | 1
        probes = []
        for probe in range(PROBES):
            place = (first + probe * step) % CIRCLE
            at = bisect_left(places, place) % number
            probes.append(((places[at] - place) % CIRCLE, at))
        probes.sort()
        for _, at in probes:
            yield from self._at[places[at]]
        home = probes[0][1]
        for beyond in range(1, number):
            yield from self._at[places[(home + beyond) % number]]
