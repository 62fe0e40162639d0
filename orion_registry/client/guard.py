"""A time limit on something that must not be cancelled directly, such as a read of a gRPC stream."""

import asyncio
from collections.abc import Callable

from orion_registry.client.pacing import was_blocked

_SECOND_LOOK_S = 0.5


class Guard:
    """Calls `expired(why)` unless disarmed in time.

    When the timer itself fires late, the event loop was blocked, and what is waited for may have happened unseen: it
    gets another half a second.
    """

    __slots__ = ("_expired", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[str], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, seconds: float, why: str) -> None:
        """Begins to count anew."""
        self.disarm()
        due = self._loop.time() + seconds
        self._handle = self._loop.call_at(due, self._fire, due, why)

    def disarm(self) -> None:
        """Stops counting."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self, due: float, why: str) -> None:
        if was_blocked(self._loop.time() - due):
            self.arm(_SECOND_LOOK_S, why)
        else:
            self._expired(why)
