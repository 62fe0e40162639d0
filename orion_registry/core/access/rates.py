"""How fast each identity may call, and how many streams and watches it may hold open."""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from orion_registry.core.access.cost import Cost
from orion_registry.core.admission import TokenBucket
from orion_registry.errors import Limit, Reason, ResourceExhausted, shown

BURST_S: Final = 2.0
"""Seconds' worth of calls that come in at once after a pause."""

BUCKETS: Final = 16_384
"""Buckets kept; that of the identity that called least recently goes first. Somebody else has to call as many times in
between to get a full one again."""

RETRY_S: Final = 5.0
"""When to try again where as many are open as may be."""

_LIMITS: Final = {
    Cost.READ: Limit.READ_RATE,
    Cost.REPORT: Limit.REPORT_RATE,
    Cost.WRITE: Limit.WRITE_RATE,
    Cost.PROBE: Limit.PROBE_RATE,
    Cost.STREAM: Limit.STREAM_RATE,
}


class Hold(Enum):
    """What stays open."""

    STREAM = "stream"
    WATCH = "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """What one identity may do. Absent, or 0 = no limit.

    Attributes:
        a_second: calls by what they cost.
        at_once: what it may hold open.
    """

    a_second: Mapping[Cost, float] = field(default_factory=dict)
    at_once: Mapping[Hold, int] = field(default_factory=dict)


class Rates:
    """Counts for each identity. Nobody is nobody: calls without an identity are not to be brought here."""

    __slots__ = ("_at_once", "_buckets", "_open", "_rates")

    def __init__(self, limits: RateLimits) -> None:
        self._buckets: OrderedDict[tuple[str, Cost], TokenBucket] = OrderedDict()
        self._open: Counter[tuple[str, Hold]] = Counter()
        self.reconfigure(limits)

    def reconfigure(self, limits: RateLimits) -> None:
        """Goes by other limits from now on, with full buckets; what is open stays open."""
        self._buckets.clear()
        self._rates = {cost: rate for cost, rate in limits.a_second.items() if rate}
        self._at_once = {hold: most for hold, most in limits.at_once.items() if most}

    def take(self, identity: str, cost: Cost, mono: float, units: int = 1) -> None:
        """Lets a call in, or a message that is worth so many.

        Raises:
            ResourceExhausted: RATE_LIMITED, the identity has called faster than it may.
        """
        rate = self._rates.get(cost)
        if rate is None:
            return
        key = identity, cost
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(rate, rate * BURST_S)
            if len(self._buckets) > BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        if wait_s := bucket.take(mono, units):
            message = (
                f"{shown(identity)} may make {rate:g} {cost.value} calls a second (identity_{cost.value}_rate); "
                f"your turn is in {wait_s:.1f} s"
            )
            raise ResourceExhausted(Reason.RATE_LIMITED, message, retry_after_s=wait_s, limit=_LIMITS[cost])

    def open(self, identity: str, hold: Hold) -> None:
        """Something is opened; `close` has to follow.

        Raises:
            ResourceExhausted: TOO_LARGE, the identity has as many open as it may.
        """
        most, there = self._at_once.get(hold), self._open[identity, hold]
        if most is not None and there >= most:
            what = "streams" if hold is Hold.STREAM else "watches"
            message = f"{shown(identity)} may have {most:,} {what} open (max_{what}_per_identity) and has {there:,}"
            limit = Limit.IDENTITY_STREAMS if hold is Hold.STREAM else Limit.IDENTITY_WATCHES
            raise ResourceExhausted(Reason.TOO_LARGE, message, retry_after_s=RETRY_S, limit=limit)
        self._open[identity, hold] = there + 1

    def close(self, identity: str, hold: Hold) -> None:
        """It is over."""
        self._open[identity, hold] -= 1
        if not self._open[identity, hold]:
            del self._open[identity, hold]
