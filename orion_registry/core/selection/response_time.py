"""RESPONSE_TIME: the candidate with the shortest expected wait, by a decayed response time.

Formula   least expected x (in_flight + 1) / capacity; one pick in 32 is random.
          expected = (n x mean + 4 x all) / (n + 4): its decayed mean over n <= 16 samples, drawn towards the mean
          of all, so that one long call makes no slow agent and a new agent is taken for an average one. In steps of
          5 %. Failures count threefold.
Source    "least response time" of many proxies, mended: going by the average alone sends all to one agent until its
          first answer is back, and diverges with calls of seconds (docs/balancing.md).
Cost      O(log n).
For       agents whose speeds differ and are not declared by weight.
"""

from math import floor, log

from orion_registry.core.selection.exploring import Exploring
from orion_registry.core.selection.slots import Slots

PRIOR = 4
"""Samples that the mean of all counts as."""
STEP = 1.05
_LOG_STEP = log(STEP)


class ResponseTime(Exploring):
    """Buckets by expected wait."""

    __slots__ = ("_known", "_sum_s")

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[Slots, float] = {}
        self._sum_s = 0.0

    def number(self, slots: Slots) -> float:
        """Its expected wait, in seconds; whatever the speed, load alone while nothing is known of anybody."""
        return self._expected_s(slots) * (slots.in_flight + 1) / slots.capacity

    def enter(self, slots: Slots) -> None:
        """See `Strategy`."""
        self._learn(slots)
        super().enter(slots)

    def moved(self, slots: Slots) -> None:
        """See `Strategy`."""
        self._learn(slots)
        super().moved(slots)

    def leave(self, slots: Slots) -> None:
        """See `Strategy`."""
        super().leave(slots)
        self._sum_s -= self._known.pop(slots, 0.0)

    def _learn(self, slots: Slots) -> None:
        mean_s = slots.performance.mean_s
        if mean_s > 0:
            self._sum_s += mean_s - self._known.get(slots, 0.0)
            self._known[slots] = mean_s

    def _expected_s(self, slots: Slots) -> float:
        if not self._known:
            return 1.0
        all_s = self._sum_s / len(self._known)
        seen = slots.performance
        expected_s = (seen.samples * seen.mean_s + PRIOR * all_s) / (seen.samples + PRIOR)
        return float(STEP ** floor(log(max(expected_s, 1e-6)) / _LOG_STEP))
