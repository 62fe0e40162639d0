"""Late binding: callers who wait for a slot of one pool, fairly among callers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.errors import Limit, Reason, RegistryError, ResourceExhausted

if TYPE_CHECKING:
    from orion_registry.core.selection.pool import Pool

RETRY_S = 1.0


class Waiter:
    """One request that waits; settled once, with a lease or an error.

    Attributes:
        request: what it wants.
        pool: where it wants it from.
        ordinal: order of arrival over all pools.
        since, expires: monotonic seconds of its arrival, and at which it gives up.
        lease: what it was given; None while it waits, and if it failed.
        error: why it was given nothing.
    """

    __slots__ = ("error", "expires", "lease", "ordinal", "pool", "request", "since")

    def __init__(self, request: SelectionRequest, pool: Pool, ordinal: int, now: float) -> None:
        self.request = request
        self.pool = pool
        self.ordinal = ordinal
        self.since = now
        self.expires = now + request.wait_s
        self.lease: Lease | None = None
        self.error: RegistryError | None = None

    @property
    def waiting(self) -> bool:
        """Whether it is not settled yet."""
        return self.lease is None and self.error is None

    @property
    def position(self) -> int:
        """How many are served before it, if nobody else comes or goes; meaningless once it is settled."""
        return self.pool.line.position(self)


def queue_full(capacity: int) -> ResourceExhausted:
    """The refusal of one waiter too many."""
    message = f"wait_timeout: all slots are taken and {capacity:,} callers wait already"
    return ResourceExhausted(Reason.QUEUE_FULL, message, retry_after_s=RETRY_S, limit=Limit.WAITERS)


class Line:
    """Who waits, at most `capacity` in all; fair among callers.

    First come first served, but for one rule: a caller stands in the line with `window` waiters at most. Its others
    wait behind, and each time one of its own is served, its next one joins at the end. With a window of 1 this is round
    robin over callers. A wider one serves equal callers in the order of arrival, which strict turns would cost a fifth
    of p99 (docs/balancing.md), and still nobody has to wait for more than a window's width of a greedy caller's.

    When it is full, a caller with fewer waiters than another gets the place of that one's newest: nobody can fill the
    queue for all.
    """

    __slots__ = ("_behind", "_capacity", "_line", "_number", "_total", "_window")

    def __init__(self, capacity: int, window: int) -> None:
        self._capacity = capacity
        self._window = window
        self._total = 0
        self._line: dict[Waiter, None] = {}
        self._number: dict[str, int] = {}  # of each caller, in all
        self._behind: dict[str, deque[Waiter]] = {}

    def __len__(self) -> int:
        return self._total

    def join(self, waiter: Waiter) -> Waiter | None:
        """Puts a waiter in its place; returns the one that had to make room.

        Raises:
            ResourceExhausted: QUEUE_FULL.
        """
        caller, ousted = waiter.request.caller, None
        number = self._number.get(caller, 0)
        if len(self) >= self._capacity:
            greediest = max(self._number, key=self._number.__getitem__)
            if number + 1 >= self._number[greediest]:
                raise queue_full(self._capacity)
            ousted = next(other for other in reversed(self.all()) if other.request.caller == greediest)
            self.leave(ousted)
        self._total += 1
        self._number[caller] = number + 1
        if number < self._window:
            self._line[waiter] = None
        else:
            self._behind.setdefault(caller, deque()).append(waiter)
        return ousted

    def leave(self, waiter: Waiter) -> None:
        """Takes a waiter out, served or not; its caller's next one joins the line."""
        caller = waiter.request.caller
        behind = self._behind.get(caller)
        if waiter in self._line:
            del self._line[waiter]
            if behind:
                self._line[behind.popleft()] = None
        elif behind:
            behind.remove(waiter)
        if not behind:
            self._behind.pop(caller, None)
        self._total -= 1
        self._number[caller] -= 1
        if not self._number[caller]:
            del self._number[caller]

    def find(self, wants: Callable[[Waiter], bool]) -> Waiter | None:
        """The one whose turn it is among those that want what there is; None if nobody does."""
        for waiter in self._line:  # nearly always the first one
            if wants(waiter):
                return waiter
        return next((waiter for waiter in self.all() if wants(waiter)), None) if self._behind else None

    def all(self) -> list[Waiter]:
        """Everybody who waits, in the order in which they are served if nobody comes or goes and all want the same."""
        order = list(self._line)
        behind = {caller: iter(own) for caller, own in self._behind.items()}
        for waiter in order:  # grows as it goes
            follower = next(behind.get(waiter.request.caller, iter(())), None)
            if follower is not None:
                order.append(follower)
        return order

    def position(self, waiter: Waiter) -> int:
        """How many are served before one that waits; takes as long as the queue."""
        return self.all().index(waiter)
