"""Selections between the core and those who ask: waits become futures, news of leases finds its Route stream."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from orion_registry.core.balancing import Balancing
from orion_registry.core.model import Now, StatusReasonCode
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.queue import Waiter
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selector import Selector
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.stopping import stopping


class Route(Protocol):
    """A Route stream. Must not call back."""

    def lost(self, lease: Lease, reason: StatusReasonCode | None) -> None:
        """The service of one of its leases has died, or was removed (None)."""
        ...

    def expired(self, lease: Lease) -> None:
        """One of its leases ended by time."""
        ...

    def stop(self) -> None:
        """The registry stops."""
        ...


Settled = Callable[[Waiter], None]
"""Hears of the end of a wait. Must not call back."""
Queued = Callable[[int], None]
"""Hears that there is a wait: how many are served before it."""


class Wanted(Protocol):
    """What somebody asks for. pool is kept between calls, so that those who ask often need not look it up."""

    selector: Selector
    request: SelectionRequest
    pool: Pool | None


class Selections:
    """The `Holder` of a registry's balancing.

    Attributes:
        balancing: the core's part.
    """

    def __init__(self, balancing: Balancing, clock: Clock) -> None:
        self.balancing = balancing
        self._clock = clock
        self._settlers: dict[Waiter, Settled] = {}
        self._routes: dict[str, Route] = {}
        self._named = 0
        self._stopped = False
        balancing.holder = self

    # Callers.

    def now(self) -> Now:
        """The instant; a batch of commands shares one."""
        return self._clock.now()

    def pool(self, wanted: Wanted) -> Pool:
        """The pool of what is wanted. Raises InvalidArgument."""
        pool = wanted.pool
        if pool is None or pool.closed:
            pool = wanted.pool = self.balancing.pool(wanted.selector)
        return pool

    def select(self, wanted: Wanted, now: Now) -> tuple[Lease, ...] | Waiter:
        """Leases, or a place in the queue: then say at once who is to hear of the end of the wait (`when_settled`).

        Raises:
            RegistryError: see `Balancing.select`.
        """
        pool = wanted.pool
        if pool is None or pool.closed:
            pool = self.pool(wanted)
        return self.balancing.select(pool, wanted.request, now)

    def when_settled(self, waiter: Waiter, settled: Settled) -> None:
        """`settled` hears of the end of a wait, unless it is given up."""
        self._settlers[waiter] = settled

    async def select_or_wait(self, wanted: Wanted, queued: Queued | None = None) -> tuple[Lease, ...]:
        """Leases, as soon as there are any. Who is cancelled while it waits has none.

        Args:
            wanted: what to select.
            queued: hears that there is a wait, and how many are served before it.

        Raises:
            RegistryError: see `Balancing.select`.
        """
        if self._stopped:
            raise stopping()
        got = self.select(wanted, self.now())
        if not isinstance(got, Waiter):
            return got
        if queued is not None:
            queued(got.position)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settled(_waiter: Waiter) -> None:
            if not over.done():
                over.set_result(None)

        self.when_settled(got, settled)
        try:
            await over
        except asyncio.CancelledError:
            self.give_up(got)
            if got.lease is not None:  # granted in the same turn: nobody will release it
                self.balancing.drop(got.lease)
            raise
        if got.lease is None:
            assert got.error is not None
            raise got.error
        return (got.lease,)

    def give_up(self, waiter: Waiter) -> None:
        """Whoever waits does not any more; nobody is told. Nothing happens if the wait is over."""
        self._settlers.pop(waiter, None)
        self.balancing.give_up(waiter)

    # Route streams.

    @property
    def streams(self) -> int:
        """Route streams open."""
        return len(self._routes)

    def open_stream(self, route: Route) -> str:
        """A name for a Route stream, under which its leases are kept."""
        self._named += 1
        name = f"r{self._named:x}"
        self._routes[name] = route
        return name

    def close_stream(self, name: str) -> None:
        """A Route stream is over. Calling it again does nothing."""
        if self._routes.pop(name, None) is not None:
            self.balancing.stream_ended(name, self.now())

    def stop(self) -> None:
        """Ends all waits and streams; nobody begins to wait after it."""
        self._stopped = True
        waiting, self._settlers = self._settlers, {}
        for waiter, settled in waiting.items():
            self.balancing.give_up(waiter)
            waiter.error = stopping()
            settled(waiter)
        for route in list(self._routes.values()):
            route.stop()

    # What the core tells: `core.balancing.Holder`.

    def settled(self, waiter: Waiter) -> None:
        """See `Holder`."""
        settled = self._settlers.pop(waiter, None)
        if settled is not None:
            settled(waiter)

    def expired(self, lease: Lease) -> None:
        """See `Holder`."""
        route = self._routes.get(lease.stream)
        if route is not None:
            route.expired(lease)

    def lost(self, lease: Lease, reason: StatusReasonCode | None) -> None:
        """See `Holder`."""
        route = self._routes.get(lease.stream)
        if route is not None:
            route.lost(lease, reason)
