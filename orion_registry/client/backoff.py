"""How long to wait before the next attempt: full jitter, so that those who fell together do not return together."""

from collections.abc import Callable
from typing import Final

BASE_S: Final = 0.1
"""Widest wait before the first new attempt."""
CAP_S: Final = 2.0
"""Widest wait at all. With 5 s, 61 of 300 agents missed a reconnect grace of 3 s (docs/design.md, liveness)."""

_LAST_DOUBLING: Final = 30  # beyond it only the cap speaks, and 2**attempt stays small


def window(attempt: int) -> float:
    """Seconds within which attempt number `attempt` (from 0) is placed: the base doubled each time, up to the cap."""
    return min(CAP_S, BASE_S * 2.0 ** min(max(attempt, 0), _LAST_DOUBLING))


def reconnect_delay(attempt: int, draw: float, asked_s: float = 0.0) -> float:
    """Seconds to wait before an attempt.

    Args:
        attempt: attempts that failed in a row before this one.
        draw: a number in [0, 1).
        asked_s: what the registry asked for (go_away.reconnect_after, RetryInfo), in seconds: a floor. The jitter
            comes on top, as wide as the wait asked for (up to the cap): it was asked of all alike.
    """
    asked = max(0.0, asked_s)
    return asked + draw * max(window(attempt), min(asked, CAP_S))


class Backoff:
    """Counts attempts.

    An attempt whose connection lived longer than the cap starts the count anew: one that is accepted and cut at once
    does not, or it would be tried ten times a second for ever.
    """

    __slots__ = ("_attempt", "_draw")

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._attempt = 0

    @property
    def attempt(self) -> int:
        """Attempts that failed in a row."""
        return self._attempt

    def next(self, asked_s: float = 0.0) -> float:
        """Seconds to wait before the next attempt; counts it."""
        delay = reconnect_delay(self._attempt, self._draw(), asked_s)
        self._attempt += 1
        return delay

    def lived(self, seconds: float) -> None:
        """Tells how long the last connection served."""
        if seconds > CAP_S:
            self._attempt = 0
