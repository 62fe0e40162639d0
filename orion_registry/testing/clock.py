"""Virtual time."""

from orion_registry.core.model import Now


class VirtualClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, mono: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._mono = mono
        self._wall = wall

    def now(self) -> Now:
        """See `Clock.now`."""
        return Now(mono=self._mono, wall=self._wall)

    def advance(self, seconds: float) -> Now:
        """Lets both clocks go on by so many seconds, and returns the new instant."""
        self._mono += seconds
        self._wall += seconds
        return self.now()

    def set_wall(self, wall: float) -> None:
        """Makes the wall clock jump; the monotonic one does not notice."""
        self._wall = wall
