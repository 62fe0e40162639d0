"""The log of events: what happened in this life of the registry, numbered, the latest kept for who asks or follows."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orion_registry.core import paging
from orion_registry.core.events import EventFilter, LoggedEvent, RegistryEvent, events_of
from orion_registry.core.history import Edge
from orion_registry.core.validation import check_number
from orion_registry.errors import OutOfRange, Reason, shown
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.stopping import stopping

KEPT = 10_000
"""Events kept: about 3 MB. A fleet of 5,000 that dies at once is in it, and so is what came before."""

BATCH = 500
"""Events in one batch at most."""

BOOKMARK_EVERY_S = 10.0
"""How often a subscription that has nothing to tell learns how far the log is, so that it can be resumed."""

Taker = Callable[[Sequence[LoggedEvent]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events that pass a filter. Everything up to after_seq has been looked at; the log keeps oldest_seq to last_seq.

    oldest_seq is one above last_seq while nothing is kept.
    """

    events: tuple[LoggedEvent, ...]
    after_seq: int
    oldest_seq: int
    last_seq: int


class EventLog:
    """Takes edges and events, numbers them, keeps the last `KEPT`, and hands them on.

    `note` and `add` only put them into a list: where thousands of services change at once, watchers wait for that.
    They are told apart and numbered at the next tick, or when somebody reads.

    Attributes:
        history_id: the life that the numbers are of.
        last_seq: number of the latest event; 0 = none yet.
    """

    def __init__(self, clock: Clock, history_id: str) -> None:
        self._clock = clock
        self.history_id = history_id
        self.last_seq = 0
        self._kept = KEPT
        self._fresh: list[tuple[Edge | RegistryEvent, float]] = []
        self._ring: list[LoggedEvent] = []
        self._takers: list[Taker] = []
        self._subscriptions: set[Subscription] = set()
        self._bookmarked_at = clock.now().mono

    @property
    def oldest_seq(self) -> int:
        """Number of the oldest event that is kept."""
        return self.last_seq - len(self._ring) + 1

    @property
    def subscribers(self) -> int:
        """How many follow it."""
        return len(self._subscriptions)

    def hand_to(self, taker: Taker) -> None:
        """From now on `taker` gets all events, in their order, soon after they happened. It must not raise."""
        self._takers.append(taker)

    # In.

    def note(self, edge: Edge) -> None:
        """Takes an edge; which events it means is found out later."""
        self._fresh.append((edge, self._clock.now().wall))

    def add(self, event: RegistryEvent) -> None:
        """Takes an event."""
        self._fresh.append((event, self._clock.now().wall))

    def settle_restored(self) -> None:
        """What was taken until now is the restoring of what was stored. Takers hear of it, with the number 0.

        It is not kept: `RegistryStarted` says it in one, and ten thousand services would push out all else.
        """
        restored = [LoggedEvent(0, wall, event) for event, wall in self._take_fresh()]
        for taker in self._takers:
            taker(restored)

    def settle(self) -> None:
        """Numbers and hands on what was taken."""
        if not self._fresh:
            return
        first = self.last_seq + 1
        told = [LoggedEvent(seq, wall, event) for seq, (event, wall) in enumerate(self._take_fresh(), first)]
        if not told:
            return
        self._keep(told)
        self.last_seq = told[-1].seq
        for taker in self._takers:
            taker(told)
        for subscription in self._subscriptions:
            subscription.wake()

    def tick(self) -> None:
        """Settles; now and then tells those who follow how far the log is, though nothing is for them."""
        self.settle()
        now = self._clock.now().mono
        if now - self._bookmarked_at >= BOOKMARK_EVERY_S:
            self._bookmarked_at = now
            for subscription in self._subscriptions:
                subscription.bookmark()

    def stop(self) -> None:
        """Ends all subscriptions once they have had the last event."""
        self.settle()
        for subscription in self._subscriptions:
            subscription.stop()

    def _take_fresh(self) -> list[tuple[RegistryEvent, float]]:
        fresh, self._fresh = self._fresh, []
        return [
            (event, wall) for item, wall in fresh for event in (events_of(item) if isinstance(item, Edge) else (item,))
        ]

    def _keep(self, told: list[LoggedEvent]) -> None:
        """The event with the number n stands at n - 1, modulo the size of the ring."""
        room = self._kept - len(self._ring)
        self._ring += told[:room]
        for logged in told[room:]:
            self._ring[(logged.seq - 1) % self._kept] = logged

    # Out.

    def page(self, wanted: EventFilter, after_seq: int = 0, history_id: str = "", page_size: int = 0) -> EventPage:
        """The next events after after_seq that pass a filter; 0 = from the oldest on.

        Args:
            wanted: which events.
            after_seq: number of the event to begin after.
            history_id: the life that it is of; empty = this one.
            page_size: events at most; 0 = 100; above 1,000 counts as 1,000.

        Raises:
            InvalidArgument: BAD_FIELD for a negative number.
            OutOfRange: events after after_seq are gone, it is of the future, or of another life.
        """
        most = paging.page_size(page_size)
        after_seq = self.check_position(after_seq, history_id)
        return self.read(wanted, after_seq, most)

    def subscribe(self, wanted: EventFilter, after_seq: int = 0, history_id: str = "") -> "Subscription":
        """All events after after_seq that pass a filter, and then those that come; see `page`.

        Raises:
            InvalidArgument: BAD_FIELD for a negative number.
            OutOfRange: as `page`.
        """
        subscription = Subscription(self, wanted, self.check_position(after_seq, history_id))
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: "Subscription") -> None:
        """The subscription is over."""
        self._subscriptions.discard(subscription)

    def check_position(self, after_seq: int, history_id: str) -> int:
        """Where to begin: after_seq, or just before the oldest event for 0. See `page` for the errors."""
        self.settle()
        check_number("after_seq", after_seq, 0, 2**63 - 1)
        if history_id not in {"", self.history_id}:
            message = f"history_id: {shown(history_id)} is not this registry's, which is {self.history_id}; {_ADVICE}"
            raise OutOfRange(Reason.OUT_OF_RANGE, message)
        if after_seq > self.last_seq:
            message = f"after_seq: the latest event is {self.last_seq:,}, got {after_seq:,}; {_ADVICE}"
            raise OutOfRange(Reason.OUT_OF_RANGE, message)
        return self._reachable(after_seq) if after_seq else self.oldest_seq - 1

    def read(self, wanted: EventFilter, after_seq: int, most: int) -> EventPage:
        """Up to `most` events after after_seq.

        Raises:
            OutOfRange: some after after_seq are gone.
        """
        seq = self._reachable(after_seq)
        found: list[LoggedEvent] = []
        while seq < self.last_seq and len(found) < most:
            logged = self._ring[seq % self._kept]
            seq += 1
            if wanted.passes(logged.event):
                found.append(logged)
        return EventPage(events=tuple(found), after_seq=seq, oldest_seq=self.oldest_seq, last_seq=self.last_seq)

    def _reachable(self, after_seq: int) -> int:
        if after_seq + 1 < self.oldest_seq:
            lost = f"events {after_seq + 1:,} to {self.oldest_seq - 1:,} are lost"
            message = f"after_seq: {lost}, the oldest that is kept is {self.oldest_seq:,}; {_ADVICE}"
            raise OutOfRange(Reason.OUT_OF_RANGE, message)
        return after_seq


_ADVICE = "begin again from 0"


class Subscription:
    """One who follows the log. It is a place in the ring and nothing else, so a slow one costs no memory: it is
    overtaken, told what it lost, and that is its end.
    """

    def __init__(self, log: EventLog, wanted: EventFilter, after_seq: int) -> None:
        self._log = log
        self._wanted = wanted
        self._after_seq = after_seq
        self._told_seq = -1
        self._bookmark_due = True
        self._stopped = False
        self._news = asyncio.Event()

    async def next_batch(self) -> EventPage:
        """The next events, as soon as there are some; or none, to say how far the log is: at first, and every 10 s.

        Raises:
            OutOfRange: it was overtaken; the message says which events are lost.
            Unavailable: NOT_SERVING, the registry stops and the last event was told.
        """
        while True:
            page = self._log.read(self._wanted, self._after_seq, BATCH)
            self._after_seq = page.after_seq
            if page.events or (self._bookmark_due and page.after_seq != self._told_seq):
                self._told_seq, self._bookmark_due = page.after_seq, False
                return page
            if self._stopped:
                raise stopping()
            self._news.clear()
            await self._news.wait()

    def wake(self) -> None:
        """There is news."""
        self._news.set()

    def bookmark(self) -> None:
        """Says how far the log is, if that is new."""
        self._bookmark_due = True
        self._news.set()

    def stop(self) -> None:
        """The log ends."""
        self._stopped = True
        self._news.set()

    def close(self) -> None:
        """Nobody follows any more; calling it again does nothing."""
        self._log.forget(self)
