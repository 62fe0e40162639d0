"""Deadlines: one lazily re-armed heap entry each, never a push per beat."""

import heapq
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

VOID_KEPT = 64
"""Items of the heap that may mean nothing before tidying up is worth it."""


class Timed(Protocol):
    """What may have a deadline.

    Attributes:
        deadline: when it is due; None = never. Belongs to `Deadlines`, as does armed: the deadline that the heap knows,
            never later than `deadline`.
    """

    deadline: float | None
    armed: float | None

    @property
    def ordinal(self) -> int:
        """Orders those that are due together; no two of one heap have the same."""
        ...


T = TypeVar("T", bound=Timed)


class Deadlines(Generic[T]):
    """A heap that may know a deadline too early, never too late.

    Moving a deadline later only writes `entry.deadline`; the heap finds out when the old one pops.
    """

    __slots__ = ("_heap", "_void")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._void = 0

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, entry: T, deadline: float | None) -> None:
        """Sets or clears an entry's deadline."""
        entry.deadline = deadline
        if deadline is not None and (entry.armed is None or deadline < entry.armed):
            self._arm(entry, deadline)

    def forget(self, entry: T) -> None:
        """The entry is gone."""
        entry.deadline = None
        if entry.armed is not None:
            entry.armed = None
            self._voided()

    def next(self) -> float | None:
        """The earliest instant at which `due` may have something; None = never."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[T]:
        """Takes out the entries whose deadline is not after `now`, and clears it."""
        while self._heap and self._heap[0][0] <= now:
            armed, _, entry = heapq.heappop(self._heap)
            if entry.armed != armed:
                self._void -= 1
                continue  # an earlier one replaced it and has popped already
            entry.armed = None
            if entry.deadline is None:
                continue
            if entry.deadline > now:
                self._arm(entry, entry.deadline)
                continue
            entry.deadline = None
            yield entry

    def _arm(self, entry: T, deadline: float) -> None:
        void = entry.armed is not None
        entry.armed = deadline
        heapq.heappush(self._heap, (deadline, entry.ordinal, entry))
        if void:
            self._voided()

    def _voided(self) -> None:
        """One item of the heap means nothing any more; when most do, they go, so that memory follows the fleet."""
        self._void += 1
        if self._void > VOID_KEPT and self._void * 2 > len(self._heap):
            armed = {item[1]: item for item in self._heap if item[2].armed == item[0]}  # one each
            self._heap = list(armed.values())
            heapq.heapify(self._heap)
            self._void = 0
