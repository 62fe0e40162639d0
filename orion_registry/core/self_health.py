"""How well the daemon itself keeps time: whoever judges others by the clock must know how late it is itself."""

from dataclasses import dataclass

WORST_OF = 60
"""Seconds that the worst lag is taken from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfHealth:
    """The daemon's own lateness, in seconds.

    Attributes:
        lag_s: how late the last tick was.
        worst_lag_s: how late the latest tick of the last minute was.
        stalls: how often the daemon was away so long that it gave everybody credit for it.
        credited_s: credit given in all.
        last_stall_s: credit given for the last stall; 0 = there was none.
    """

    lag_s: float
    worst_lag_s: float
    stalls: int
    credited_s: float
    last_stall_s: float


class LagMeter:
    """Measures it: one maximum for each of the last 60 seconds."""

    __slots__ = ("_credited_s", "_lag_s", "_second", "_stalls", "_worst", "last_stall_s")

    def __init__(self) -> None:
        self._lag_s = 0.0
        self._worst = [0.0] * WORST_OF
        self._second = 0
        self._stalls = 0
        self._credited_s = 0.0
        self.last_stall_s = 0.0

    def ticked(self, mono: float, lag_s: float) -> None:
        """A tick came, so late."""
        self._lag_s = lag_s
        self._forget(mono)
        slot = self._second % WORST_OF
        self._worst[slot] = max(self._worst[slot], lag_s)

    def stalled(self, stall_s: float, *, goes_on: bool) -> None:
        """Credit was given for a stall, or more of it for the same one."""
        self._credited_s += stall_s
        self._stalls += not goes_on
        self.last_stall_s = self.last_stall_s + stall_s if goes_on else stall_s

    def health(self, mono: float) -> SelfHealth:
        """The figures as of now."""
        self._forget(mono)
        return SelfHealth(
            lag_s=self._lag_s,
            worst_lag_s=max(self._worst),
            stalls=self._stalls,
            credited_s=self._credited_s,
            last_stall_s=self.last_stall_s,
        )

    def _forget(self, mono: float) -> None:
        """Empties the slots of the seconds that went by since the last look."""
        second = int(mono)
        for gone in range(self._second + 1, min(second, self._second + WORST_OF) + 1):
            self._worst[gone % WORST_OF] = 0.0
        self._second = max(self._second, second)
