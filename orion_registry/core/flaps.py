"""The falls of one service: one that falls and comes back again and again is not trusted at once."""

from collections import deque

from orion_registry.core.config import RegistryConfig
from orion_registry.core.entry import Entry


class Flaps:
    """Falls that were the agent's own doing, and the timer of the probation that they led to (see `Deadlines`)."""

    __slots__ = ("_falls", "armed", "deadline", "entry", "ordinal")

    def __init__(self, entry: Entry, config: RegistryConfig) -> None:
        self.entry = entry
        self.ordinal = entry.ordinal
        self.deadline: float | None = None
        self.armed: float | None = None
        self._falls: deque[float] = deque(maxlen=config.flaps + 1)

    def fell(self, mono: float) -> None:
        """It fell."""
        self._falls.append(mono)

    def forgive(self) -> None:
        """The last fall was not the agent's doing after all."""
        if self._falls:
            self._falls.pop()

    def are_many(self, mono: float, config: RegistryConfig) -> bool:
        """Whether it has fallen more often than is allowed within the window."""
        return len(self._falls) > config.flaps and self._falls[0] > mono - config.flap_window_s
