"""Response times of one service in bounded memory: count, average, least, most, and quantiles within 5 %."""

from math import ceil, exp, log

ACCURACY = 0.05
"""Relative error of a quantile at most: buckets grow by (1 + a) / (1 - a) (DDSketch, Masson et al., VLDB 2019)."""

LEAST_S = 1e-6
MOST_S = 86_400.0
"""Times beyond these are counted as these, which bounds the buckets: 253 at most."""

_LOG_GROWTH = log((1 + ACCURACY) / (1 - ACCURACY))
_MIDDLE = 2 / (1 + (1 + ACCURACY) / (1 - ACCURACY))


class ResponseTimes:
    """A sketch: counts in buckets whose bounds grow geometrically."""

    __slots__ = ("_buckets", "count", "max_s", "min_s", "sum_s")

    def __init__(self) -> None:
        self.count = 0
        self.sum_s = 0.0
        self.min_s = 0.0
        self.max_s = 0.0
        self._buckets: dict[int, int] = {}

    @property
    def average_s(self) -> float:
        """0 while there is none."""
        return self.sum_s / self.count if self.count else 0.0

    def add(self, seconds: float) -> None:
        """Counts one."""
        if not self.count or seconds < self.min_s:
            self.min_s = seconds
        if seconds > self.max_s:  # noqa: PLR1730 - on the hot path: a call of `max` costs three times as much
            self.max_s = seconds
        self.count += 1
        self.sum_s += seconds
        counted = seconds if LEAST_S <= seconds <= MOST_S else min(max(seconds, LEAST_S), MOST_S)
        bucket = ceil(log(counted) / _LOG_GROWTH)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def quantile(self, q: float) -> float:
        """The response time that the share `q` does not exceed, within 5 %; 0 while there is none."""
        rank, seen = q * (self.count - 1), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen > rank:
                return min(max(_MIDDLE * exp(bucket * _LOG_GROWTH), self.min_s), self.max_s)
        return 0.0
