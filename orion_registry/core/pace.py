"""How often agents beat: as often as the beat budget allows, in steps, without swinging."""

INTERVALS_S = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Intervals that are ever assigned."""

HYSTERESIS = 0.8
"""A shorter interval is taken only if it fills at most this share of the budget."""


def assign_interval(streams: int, budget: float, current_s: float) -> float:
    """The interval for so many streams: the shortest that keeps them within `budget` beats a second.

    The longest one stands where even it does not. Going down from `current_s` needs 20 % of slack.
    """
    for interval_s in INTERVALS_S:
        slack = HYSTERESIS if interval_s < current_s else 1.0
        if streams <= budget * interval_s * slack:
            return interval_s
    return INTERVALS_S[-1]


class Pace:
    """The interval assigned now, kept up with the number of open streams."""

    __slots__ = ("_beats_missed", "_budget", "_silence_floor_s", "interval_s", "streams")

    def __init__(self, budget: float, beats_missed: int, silence_floor_s: float) -> None:
        self._budget = budget
        self._silence_floor_s = silence_floor_s
        self._beats_missed = beats_missed
        self.streams = 0
        self.interval_s = INTERVALS_S[0]

    @property
    def timeout_s(self) -> float:
        """Silence that agents are told will be taken for death."""
        return max(self.interval_s * self._beats_missed, self._silence_floor_s)

    def opened(self) -> None:
        """One stream more."""
        self.streams += 1
        self.interval_s = assign_interval(self.streams, self._budget, self.interval_s)

    def closed(self) -> None:
        """One stream less."""
        self.streams -= 1
        self.interval_s = assign_interval(self.streams, self._budget, self.interval_s)
