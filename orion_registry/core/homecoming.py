"""Whether agents that were cut off all at once are still on their way back."""

import math
from collections import deque

WINDOW_S = 2.0
"""Time over which returns are counted: they must be of now, for a slot more at most."""

SLOT_S = 0.5
"""Grain of that time. A window that only begins anew when it is over would call returns of 4 s ago those of now."""

LOOK_S = 1.0
"""When to look again at one who is excused: the dead among the missing are found so much later at most."""

ALL_BACK_S = 30.0
"""At a pace that would bring all who are missing back in this time, they are on their way."""

_SLOTS = round(WINDOW_S / SLOT_S) + 1

FEWEST = 5
"""Returns in a window below which it is no homecoming: now and then one comes back anyway."""

HOMECOMING_MOST_S = 120.0
"""Longest time after the cut in which the return of some excuses the others."""


class Homecoming:
    """Counts who comes back after a restart or a stall of the daemon.

    How long all take depends on the machines and the network, which nobody can tell beforehand. So while they keep
    coming, those who are still missing are waited for: the last of ten thousand is not dead because it is the last.
    """

    __slots__ = ("_counts", "_slot", "_until")

    def __init__(self) -> None:
        self._until = -math.inf
        self._slot = 0
        self._counts = deque([0], maxlen=_SLOTS)

    def begin(self, mono: float) -> None:
        """All were cut off at this instant, or may have been."""
        self._until = max(self._until, mono + HOMECOMING_MOST_S)

    def came(self, mono: float) -> None:
        """One of those who are waited for is back."""
        self._turn(mono)
        self._counts[-1] += 1

    def lasts(self, mono: float, missing: int) -> bool:
        """Whether so many who are missing are likely to come yet."""
        self._turn(mono)
        return mono < self._until and sum(self._counts) >= max(FEWEST, missing * WINDOW_S / ALL_BACK_S)

    def _turn(self, mono: float) -> None:
        """Goes on to the slot that an instant is in."""
        slot = math.floor(mono / SLOT_S)
        for _ in range(min(slot - self._slot, _SLOTS)):
            self._counts.append(0)
        self._slot = max(slot, self._slot)
