"""Counts for who watches the registry, cheap enough for hot paths: a histogram is a list of counts."""

from bisect import bisect_left


class Histogram:
    """How often a value fell into each of some ranges.

    Attributes:
        bounds: upper bounds of all ranges but the last, which has none; rising.
        counts: values in each range.
        total: of all values.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts a value.

        >>> spans = Histogram((0.1, 1.0)); spans.observe(0.1); spans.observe(7.0); spans.counts
        [1, 0, 1]
        """
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Values."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """For each bound, and infinity, how many values do not exceed it."""
        found, below = [], 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            below += count
            found.append((bound, below))
        return found
