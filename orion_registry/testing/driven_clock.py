"""A daemon's time in the hands of a test: it stands still, and goes on when it is told to."""

import asyncio
from collections.abc import Callable

from orion_registry.core.frames import Beat
from orion_registry.core.model import Now
from orion_registry.core.pace import INTERVALS_S
from orion_registry.core.patience import TICK_S
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.testing.clock import VirtualClock


def _nobody(_agent_id: str) -> bool:
    return False


def _never() -> bool:
    return False


class DrivenClock:
    """A virtual clock that also makes the daemon notice. `drive` it once the daemon runs.

    A daemon whose time only jumped would take the jump for a stall of its own, and a fleet that beats once a second of
    real time would look silent. So time passes in ticks, and agents whose streams are open beat in it, once a second,
    unless they are cut off.
    """

    def __init__(self) -> None:
        self._clock = VirtualClock()
        self._coordinator: Coordinator | None = None
        self._is_cut: Callable[[str], bool] = _nobody
        self._is_frozen: Callable[[], bool] = _never
        self._beat_at = 0.0

    def now(self) -> Now:
        """See `Clock.now`."""
        return self._clock.now()

    def drive(
        self,
        coordinator: Coordinator,
        is_cut: Callable[[str], bool] = _nobody,
        is_frozen: Callable[[], bool] = _never,
    ) -> None:
        """From now on `advance` ticks this daemon.

        Args:
            coordinator: of the daemon that was made with this clock.
            is_cut: whether the agent of that id is not heard now, so that it does not beat.
            is_frozen: whether the daemon stands still now, so that time passes it by.
        """
        self._coordinator, self._is_cut, self._is_frozen = coordinator, is_cut, is_frozen

    async def advance(self, seconds: float) -> None:
        """Lets so many seconds pass for the daemon, tick by tick. Raises RuntimeError if it drives none."""
        coordinator = self._driven
        end = self.now().mono + seconds
        while (left := end - self.now().mono) > 1e-9:  # what is left of a sum of tenths is no tick
            self._clock.advance(min(TICK_S, left))
            if not self._is_frozen():
                self._beat(coordinator)
                coordinator.tick()
            await asyncio.sleep(0)

    async def stall(self, seconds: float) -> None:
        """The daemon itself is away for so long: it hears nothing and does not tick. Raises as `advance`."""
        coordinator = self._driven
        self._clock.advance(seconds)
        if not self._is_frozen():
            coordinator.tick()
        await asyncio.sleep(0)

    def set_wall(self, wall: float) -> None:
        """Makes the wall clock jump, to seconds since 1970; no state may change."""
        self._clock.set_wall(wall)

    @property
    def _driven(self) -> Coordinator:
        if self._coordinator is None:
            raise RuntimeError("the clock drives no daemon yet")
        return self._coordinator

    def _beat(self, coordinator: Coordinator) -> None:
        """Agents that are heard beat, at the shortest interval that is ever assigned."""
        now = self.now().mono
        if now < self._beat_at:
            return
        self._beat_at = now + INTERVALS_S[0]
        for session in coordinator.streams:
            if session.agent_id and not session.ended and not self._is_cut(session.agent_id):
                coordinator.beat(session, Beat(seq=0))
