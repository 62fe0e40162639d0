"""A scenario's time: it stands still but for `wait`, and is counted in whole milliseconds."""

import heapq
from collections.abc import Callable

from orion_registry.core.model import Now

TICK_MS = 100
PHASE_MS = 50
"""Ticks come at 0.05 s, 0.15 s and so on, commands mostly at round times: a deadline is seen 50 ms after it passed, and
never just at it."""

MONO_BEGIN_MS = 2**20 * 1_000
"""Far enough from 0 that sums of instants and spans in whole eighths of a second are exact in floats for 12 days."""
WALL_BEGIN_S = 1_700_000_000


class Timing:
    """The clocks, and what is to happen by itself.

    Attributes:
        ms: milliseconds since the story began, by the monotonic clock.
        wall_ahead_ms: how far the wall clock has jumped.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._tick_ms = PHASE_MS
        self._plans: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0
        self.ms = 0
        self.wall_ahead_ms = 0

    @property
    def now(self) -> Now:
        """The present instant."""
        wall_s = WALL_BEGIN_S + (self.ms + self.wall_ahead_ms) / 1_000
        return Now(mono=(MONO_BEGIN_MS + self.ms) / 1_000, wall=wall_s)

    def at(self, ms: int, act: Callable[[], None]) -> None:
        """Plans something for a later time."""
        self._planned += 1
        heapq.heappush(self._plans, (ms, self._planned, act))

    def pass_until(self, end_ms: int) -> None:
        """Lets time pass, tick by tick, with all that was planned."""
        while (next_ms := min(self._tick_ms, self._plans[0][0] if self._plans else self._tick_ms)) <= end_ms:
            self.ms = max(self.ms, next_ms)
            if self._plans and self._plans[0][0] <= self.ms:
                heapq.heappop(self._plans)[2]()
            else:
                self._tick_ms += TICK_MS
                self._tick()
        self.ms = end_ms

    def stand_until(self, end_ms: int) -> None:
        """The daemon does nothing until then. Whatever was to happen waits; see `catch_up` and `tick_late`."""
        self.ms = end_ms

    def catch_up(self) -> None:
        """What waited happens now."""
        while self._plans and self._plans[0][0] <= self.ms:
            heapq.heappop(self._plans)[2]()

    def tick_late(self) -> None:
        """The tick that is overdue comes now; the next ones come when they would have."""
        self._tick()
        while self._tick_ms <= self.ms:
            self._tick_ms += TICK_MS
