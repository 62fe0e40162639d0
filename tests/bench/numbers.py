"""Requests that differ by a number, and what many durations come to."""

from collections.abc import Sequence

NUMBER = b"0000000000"
"""Where the requests of a series differ: each has its own number in every such place, so no length changes."""


def numbered(template: bytes, number: int) -> bytes:
    """One request of a series."""
    return template.replace(NUMBER, b"%010d" % number)


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile; raises ValueError if there are no values."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.50, 0.99))
    return p50, p99
