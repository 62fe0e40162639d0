"""Whether agents that were cut off all at once are still on their way back."""

import math

WINDOW_S = 2.0
"""Time over which returns are counted."""

ALL_BACK_S = 30.0
"""At a pace that would bring all who are missing back in this time, they are on their way."""

FEWEST = 5
"""Returns in a window below which it is no homecoming: now and then one comes back anyway."""

HOMECOMING_MOST_S = 120.0
"""Longest time after the cut in which the return of some excuses the others."""


class Homecoming:
    """Counts who comes back after a restart or a stall of the daemon.

    How long all take depends on the machines and the network, which nobody can tell beforehand. So while they keep
    coming, those who are still missing are waited for: the last of ten thousand is not dead because it is the last.
    """

    __slots__ = ("_before", "_count", "_until", "_window")

    def __init__(self) -> None:
        self._until = -math.inf
        self._window = -math.inf
        self._count = 0
        self._before = 0

    def begin(self, mono: float) -> None:
        """All were cut off at this instant, or may have been."""
        self._until = max(self._until, mono + HOMECOMING_MOST_S)

    def came(self, mono: float) -> None:
        """One of those who are waited for is back."""
        self._turn(mono)
        self._count += 1

    def lasts(self, mono: float, missing: int) -> bool:
        """Whether so many who are missing are likely to come yet."""
        self._turn(mono)
        returns = max(self._count, self._before)
        return mono < self._until and returns >= max(FEWEST, missing * WINDOW_S / ALL_BACK_S)

    def _turn(self, mono: float) -> None:
        """Goes on to the window that an instant is in."""
        if mono >= self._window + WINDOW_S:
            self._before = self._count if mono < self._window + 2 * WINDOW_S else 0
            self._window, self._count = mono, 0
