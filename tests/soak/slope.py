"""How fast something grows, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A line through samples over time.

    Attributes:
        per_minute: growth, in the samples' unit.
        error: its standard error, in the same unit.
    """

    per_minute: float
    error: float

    @property
    def least(self) -> float:
        """Growth that is all but certain: two standard errors below."""
        return self.per_minute - 2.0 * self.error


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Least squares of (seconds, value).

    Samples of memory follow each other, so that many of them say less than so many independent ones: the error is
    widened for the first autocorrelation r of the residuals, as if there were n (1 - r) / (1 + r) samples (Santer et
    al., 2000, "Statistical significance of trends", equation 6).

    Raises:
        ValueError: fewer than 5 samples, or all at one time.
    """
    count = len(points)
    if count < 5:
        raise ValueError(f"a slope needs 5 samples at least, not {count}")
    minutes = [at / 60.0 for at, _ in points]
    values = [value for _, value in points]
    middle, mean = math.fsum(minutes) / count, math.fsum(values) / count
    spread = math.fsum((minute - middle) ** 2 for minute in minutes)
    if spread == 0.0:
        raise ValueError("all samples were taken at one time")
    pairs = zip(minutes, values, strict=True)
    rise = math.fsum((minute - middle) * (value - mean) for minute, value in pairs) / spread
    left = [value - mean - rise * (minute - middle) for minute, value in zip(minutes, values, strict=True)]
    effective = max(3.0, count * (1.0 - (r := _autocorrelation(left))) / (1.0 + r))
    variance = math.fsum(one * one for one in left) / (effective - 2.0)
    return Slope(per_minute=rise, error=math.sqrt(variance / spread))


def _autocorrelation(residuals: Sequence[float]) -> float:
    """The first one, from 0 to 0.99: what swings to and fro is not taken for more samples than there are."""
    power = math.fsum(one * one for one in residuals)
    if power == 0.0:
        return 0.0
    return min(0.99, max(0.0, math.fsum(a * b for a, b in pairwise(residuals)) / power))
