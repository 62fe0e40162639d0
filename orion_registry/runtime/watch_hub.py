"""Tells watchers of edges. Memory is bounded by what each has in view; one that takes nothing is cut."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orion_registry.core.history import Edge
from orion_registry.core.selector import Selector
from orion_registry.core.watching import WatchBatch, WatchBuffer, in_view
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.stopping import stopping

BATCH = 1_500
"""Services in one batch at most: a batch costs a turn of the loop, and a mass kill makes those long."""

STALLED_S = 5.0
"""How long a watcher may take nothing before it is cut."""

BOOKMARK_EVERY_S = 10.0
"""How often a watcher learns of the present revision though nothing in its view has changed."""


class Watcher:
    """One watch: hands out batches as fast as they are taken, joined when they are taken slowly."""

    def __init__(self, hub: "WatchHub", buffer: WatchBuffer, cut: Callable[[], None]) -> None:
        self._hub = hub
        self._news = asyncio.Event()
        self.buffer = buffer
        self.cut = cut
        self.sending_since: float | None = None
        self.stopped = False
        self._news.set()

    async def next_batch(self) -> WatchBatch:
        """The next news, as soon as there is some.

        Raises:
            Unavailable: NOT_SERVING, the registry stops.
        """
        while True:
            if self.stopped:
                raise stopping()
            if not self.buffer.idle:
                return self.buffer.take(BATCH, self._hub.revision())
            self._news.clear()
            await self._news.wait()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Around the write of a batch: if it takes longer than `STALLED_S`, the hub calls `cut`."""
        self.sending_since = self._hub.clock.now().mono
        try:
            yield
        finally:
            self.sending_since = None

    def wake(self) -> None:
        """There is news, or it is over."""
        self._news.set()

    def close(self) -> None:
        """The watch is over; calling it again does nothing."""
        self._hub.forget(self)


class WatchHub:
    """All watchers, by selector: what an edge means is worked out once for those who ask the same.

    Attributes:
        cuts: watchers that took nothing for too long.
    """

    def __init__(
        self, clock: Clock, revision: Callable[[], int], over: Callable[[WatchBuffer], None] = lambda _: None
    ) -> None:
        """Args: clock; revision: the present one; over: hears once of each watch that has ended."""
        self.clock = clock
        self.revision = revision
        self._over = over
        self._watchers: dict[Selector, set[Watcher]] = {}
        self._bookmarked_at = clock.now().mono
        self._bookmarked_revision = 0
        self.cuts = 0

    def __len__(self) -> int:
        return sum(len(watchers) for watchers in self._watchers.values())

    def __iter__(self) -> Iterator[Watcher]:
        return (watcher for watchers in self._watchers.values() for watcher in watchers)

    def open(self, buffer: WatchBuffer, cut: Callable[[], None]) -> Watcher:
        """A watcher that begins with what is in the buffer."""
        watcher = Watcher(self, buffer, cut)
        self._watchers.setdefault(buffer.selector, set()).add(watcher)
        return watcher

    def forget(self, watcher: Watcher) -> None:
        """The watch is over."""
        watchers = self._watchers.get(watcher.buffer.selector, set())
        if watcher in watchers:
            watchers.discard(watcher)
            self._over(watcher.buffer)
        if not watchers:
            self._watchers.pop(watcher.buffer.selector, None)

    def publish(self, edge: Edge) -> None:
        """Tells everybody who has the edge's service in view, or had."""
        for selector, watchers in self._watchers.items():
            before_in, after_in = in_view(selector, edge)
            if before_in or after_in:
                for watcher in watchers:
                    watcher.buffer.offer(edge, before_in, after_in)
                    watcher.wake()

    def tick(self) -> None:
        """Cuts watchers that take nothing; now and then tells the others how far they are."""
        now = self.clock.now().mono
        for watcher in list(self):
            if watcher.sending_since is not None and now - watcher.sending_since > STALLED_S:
                watcher.sending_since = None
                self.cuts += 1
                watcher.cut()
        if now - self._bookmarked_at >= BOOKMARK_EVERY_S and self.revision() != self._bookmarked_revision:
            self._bookmarked_at, self._bookmarked_revision = now, self.revision()
            for watcher in self:
                watcher.buffer.bookmark()
                watcher.wake()

    def stop(self) -> None:
        """Ends all watches."""
        for watcher in self:
            watcher.stopped = True
            watcher.wake()
