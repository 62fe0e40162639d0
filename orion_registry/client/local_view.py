"""Selecting without a round trip: a watched view with a balancer of its own behind it, in the caller's process.

    async with client.local_view(Selector(capabilities=("math.add",))) as view:
        with view.select() as selection:
            call(selection.service.address)

It goes on while the registry is away. What it gives is unleased: no slot is reserved with the registry, other callers'
calls are not seen, and `max_concurrency` bounds the calls of this view alone.
"""

import asyncio
import random
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from orion_registry.client.channel import Connection
from orion_registry.client.environment import Environment
from orion_registry.client.failures import Unreachable
from orion_registry.client.fold import WatchEvent, WatchKind
from orion_registry.client.last_good import LastGood
from orion_registry.client.local_candidate import candidate_of
from orion_registry.client.local_selection import LocalSelection
from orion_registry.client.specs import check_not_letters
from orion_registry.client.state import ConnectionState
from orion_registry.client.watch import Watch
from orion_registry.core.candidates import check_wanted
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.queue import Waiter
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selection.unleased import UnleasedBalancer
from orion_registry.core.selector import Selector
from orion_registry.errors import NotFound, Reason, RegistryError, bad_field
from orion_registry.wire.service import Service

TICK_S: Final = 0.25
"""How late an ejected service may come back: looked at no more often than this."""
UNKNOWN: Final = Outcome.UNKNOWN


class _Silent:
    """A `Listener` of a balancer with nobody around it: nobody waits, and ejections show in what is selected."""

    def settled(self, waiter: Waiter) -> None:
        """See `Listener`."""

    def expired(self, lease: Lease) -> None:
        """See `Listener`."""

    def ejected(self, service_id: str, until: float) -> None:
        """See `Listener`."""

    def returned(self, service_id: str) -> None:
        """See `Listener`."""

    def closed(self, pool: Pool) -> None:
        """See `Listener`."""


class LocalView:
    """Made by `RegistryClient.local_view`; use it with `async with`. Belongs to one event loop.

    Attributes:
        services: what it knows of, ready or not, by service_id, each with the last status that the registry was sure
            of. Read-only and live.
    """

    def __init__(
        self,
        connection: Connection,
        selector: Selector,
        environment: Environment,
        *,
        strategy: StrategyName | None = None,
        zone: str = "",
        cache: Path | None = None,
        start_timeout_s: float = 5.0,
    ) -> None:
        check_not_letters("selector", selector)
        check_wanted(selector)
        if start_timeout_s <= 0.0:
            raise bad_field("start_timeout_s", "above 0 seconds", start_timeout_s)
        self._connection = connection
        self._env = environment
        self._now = environment.now
        self._strategy = strategy
        self._zone = zone
        self._start_timeout_s = start_timeout_s
        self._last_good = LastGood()
        self._watch = Watch(
            connection,
            replace(selector, include_not_ready=True),
            environment,
            cache=cache,
            last_good=self._last_good,
            told=self._follow,
        )
        draw = random.Random(environment.draw()).random  # noqa: S311 - picks, not secrets: 0.03 us instead of 0.4
        self._balancer = UnleasedBalancer(BalancerConfig(), draw, "local", _Silent())
        self._pool = self._balancer.pool(selector, tuple, selector.service_name, selector.capabilities)
        self._plain = SelectionRequest(strategy=strategy, zone=zone)
        self._tick_at = 0.0
        self._closed = False
        self.services: Mapping[str, Service] = self._last_good.services

    async def __aenter__(self) -> "LocalView":
        """Begins to watch; returns once there is something to go by: the registry's snapshot, or the cache.

        Raises:
            RegistryError: why there is neither after start_timeout_s seconds, or the registry's refusal of the watch.
        """
        await self._watch.__aenter__()
        try:
            await self._fill()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False

    async def close(self) -> None:
        """Ends the watch; the view selects nothing more. Idempotent."""
        self._closed = True
        await self._watch.close()

    # How far to trust it.

    @property
    def connection_state(self) -> ConnectionState:
        """CONNECTING, CONNECTED, RECONNECTING or CLOSED."""
        return self._watch.connection_state

    @property
    def stale_for_s(self) -> float:
        """Seconds since it was last known to be what the registry has: see `Watch.stale_for_s`."""
        return self._watch.stale_for_s

    @property
    def is_cached(self) -> bool:
        """Whether it came from the cache, and the registry has not been heard since."""
        return self._watch.is_cached

    async def wait_for(self, *states: ConnectionState) -> ConnectionState:
        """Waits until the connection state is one of `states`; returns it."""
        return await self._watch.wait_for(*states)

    # Selections.

    def select(
        self,
        *,
        strategy: StrategyName | None = None,
        exclude: Collection[str] = (),
        affinity_key: str = "",
        allow_degraded: bool = False,
    ) -> LocalSelection:
        """A service to call, chosen here and now: for a `with` block, or to be ended by `release`.

        A block that ends well says SUCCEEDED, one that raises FAILED (TimeoutError: TIMED_OUT), one that is cancelled
        CANCELLED. A selection that nobody ends counts as a call under way for as long as its service is in view.

        Args:
            strategy: how to choose; None = as the view was made, else WEIGHTED_LEAST_LOAD.
            exclude: ids of services not wanted, such as those that have just failed.
            affinity_key: calls with the same one go to the same service while it can take them.
            allow_degraded: take ejected and unknown ones when nothing better is free.

        Raises:
            NotFound: NO_MATCH. Unavailable: NO_READY_SERVICE; `Unreachable`: the view is closed, or was not entered.
            ResourceExhausted: NO_FREE_SLOT: this view's own calls take all slots that it knows of.
        """
        now = self._now()
        if now >= self._tick_at:
            self._tick(now)
        request = self._plain
        if strategy is not None or exclude or affinity_key or allow_degraded:
            request = SelectionRequest(
                strategy=strategy or self._strategy,
                excluded=frozenset(exclude),
                key=affinity_key,
                zone=self._zone,
                allow_degraded=allow_degraded,
            )
        if self._closed:
            raise self._unusable("is closed")
        try:
            slots = self._balancer.take(self._pool, request, now)
        except RegistryError as error:
            raise self._refusal(error) from None
        return LocalSelection(self, self.services[slots.service_id], slots, now)

    def release(
        self, selection: LocalSelection, outcome: Outcome = UNKNOWN, response_time_s: float | None = None
    ) -> None:
        """Ends a selection, and says what became of the call; without a response time, its age counts.

        Failures eject a service from this view for a while, as the registry would; response times feed the strategies
        that go by them. The registry is not told: see `BalancerClient.report`.

        Raises:
            NotFound: NO_SUCH_LEASE: it was released before.
        """
        if not selection.holds:
            raise NotFound(Reason.NO_SUCH_LEASE, "selection: it was released before")
        selection.holds = False
        now = self._now()
        took_s = now - selection.began if response_time_s is None else response_time_s
        self._balancer.give_back(selection.slots, now, outcome, took_s)

    # Inside.

    async def _fill(self) -> None:
        closed = asyncio.create_task(self._watch.wait_for(ConnectionState.CLOSED))
        filled = asyncio.create_task(self._watch.filled.wait())
        try:
            await asyncio.wait({closed, filled}, timeout=self._start_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
            filled.cancel()
        if not self._watch.filled.is_set():
            raise self._watch.last_error or self._unusable(f"has nothing to show after {self._start_timeout_s:g} s")

    def _follow(self, event: WatchEvent) -> None:
        """One event of the watch; `_last_good` has taken it in already."""
        if event.service is None:
            return
        service_id, now = event.service.service_id, self._now()
        if event.kind is WatchKind.REMOVED:
            self._balancer.drop(service_id)
            return
        vouched = service_id in self._last_good.vouched
        self._balancer.put(candidate_of(self.services[service_id], vouched=vouched), now)
        self._balancer.join(self._pool, service_id, now)

    def _tick(self, now: float) -> None:
        self._tick_at = now + TICK_S
        due = self._balancer.next()
        if due is not None and due <= now:
            self._balancer.tick(now)

    def _refusal(self, error: RegistryError) -> RegistryError:
        """The balancer's refusal, with how old the view is that it rests on."""
        if not self._watch.filled.is_set():
            return self._unusable("is not filled: use it inside `async with`")
        age = f", {self.stale_for_s:.1f} s old" if self.stale_for_s else ""
        return type(error)(
            error.reason,
            f"{error.message} (local view, {self.connection_state.value}{age})",
            retry_after_s=error.retry_after_s,
        )

    def _unusable(self, why: str) -> Unreachable:
        return Unreachable(f"the local view {why}", address=self._connection.address)
