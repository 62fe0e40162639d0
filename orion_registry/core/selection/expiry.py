"""When leases and waits end: by the second, so that what ends early leaves nothing behind."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar


class Expiring(Protocol):
    """Ends at an instant, in monotonic seconds, which changes only while it is not in an `Expiries`."""

    expires: float


T = TypeVar("T", bound=Expiring)

TIDY_LEAST = 256
"""Seconds, empty ones among them, below which tidying up is not worth it."""


class Expiries(Generic[T]):
    """One bucket for each second in which something ends, and a heap of the seconds.

    Nearly everything is released long before it expires; a heap of all would hold the dead until their time.
    """

    __slots__ = ("_heap", "_seconds", "_tidy_at")

    def __init__(self) -> None:
        self._seconds: dict[int, dict[T, None]] = {}
        self._heap: list[int] = []
        self._tidy_at = TIDY_LEAST

    def add(self, item: T) -> None:
        """Adds one."""
        second = int(item.expires)
        bucket = self._seconds.get(second)
        if bucket is None:
            bucket = self._seconds[second] = {}
            heappush(self._heap, second)
            if len(self._heap) > self._tidy_at:
                self._tidy(second)
        bucket[item] = None

    def remove(self, item: T) -> None:
        """Takes out one that is in it."""
        del self._seconds[int(item.expires)][item]

    def next(self) -> float | None:
        """The earliest instant at which something ends; None = never."""
        bucket = self._earliest()
        return min(item.expires for item in bucket) if bucket else None

    def due(self, now: float) -> Iterator[T]:
        """Takes out those that end at `now` or earlier, the earliest first."""
        while bucket := self._earliest():
            ended = sorted((item for item in bucket if item.expires <= now), key=lambda item: item.expires)
            if not ended:
                return
            for item in ended:
                if item in bucket:  # the end of one may have ended others
                    del bucket[item]
                    yield item

    def _earliest(self) -> dict[T, None]:
        while self._heap:
            bucket = self._seconds[self._heap[0]]
            if bucket:
                return bucket
            del self._seconds[heappop(self._heap)]
        return {}

    def _tidy(self, fresh: int) -> None:
        self._seconds = {second: bucket for second, bucket in self._seconds.items() if bucket or second == fresh}
        self._heap = list(self._seconds)
        heapify(self._heap)
        self._tidy_at = max(TIDY_LEAST, 2 * len(self._heap))
