"""Everybody who waits, over all pools: each free slot goes to one of them, and no wait outlasts its time."""

from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.expiry import Expiries
from orion_registry.core.selection.leases import Lease, Leases
from orion_registry.core.selection.listener import Listener
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.queue import Waiter, queue_full
from orion_registry.core.selection.refusals import not_free
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.slots import NEVER, Slots
from orion_registry.errors import RegistryError


class Waits:
    """All waits. Tells the listener of each that is over, unless it was given up."""

    __slots__ = ("_arrived", "_config", "_expiries", "_leases", "_listener", "number")

    def __init__(self, config: BalancerConfig, leases: Leases, listener: Listener) -> None:
        self._config = config
        self._leases = leases
        self._listener = listener
        self._expiries: Expiries[Waiter] = Expiries()
        self._arrived = 0
        self.number = 0

    def join(self, pool: Pool, request: SelectionRequest, now: float) -> Waiter:
        """Takes a place in a pool's line.

        Raises:
            ResourceExhausted: QUEUE_FULL.
        """
        self._arrived += 1
        waiter = Waiter(request, pool, self._arrived, now)
        ousted = pool.line.join(waiter)
        self._expiries.add(waiter)
        self.number += 1
        if ousted is not None:
            self._expiries.remove(ousted)
            self._settle(ousted, None, queue_full(self._config.queue))
        return waiter

    def give_up(self, waiter: Waiter) -> None:
        """Whoever waits does not any more; nobody is told. Nothing happens if the wait is over."""
        if waiter.waiting:
            self._expiries.remove(waiter)
            waiter.pool.line.leave(waiter)
            self.number -= 1
            waiter.error = not_free(waiter.pool)

    def freed(self, slots: Slots, now: float) -> None:
        """Gives free slots of a service to those who wait for one, each to one: the longest wait of all its pools."""
        while self.number and slots.in_flight < slots.limit and slots.standing != NEVER:
            waiters = (pool.line.find(lambda waiter: _takes(waiter, slots)) for pool in slots.pools)
            longest = min((one for one in waiters if one is not None), key=lambda one: one.ordinal, default=None)
            if longest is None:
                return
            longest.pool.line.leave(longest)
            self._expiries.remove(longest)
            request = longest.request
            retry = (request.caller, request.request_id) if request.request_id else None
            ttl_s = request.ttl_s or self._config.lease_ttl_s
            lease = self._leases.grant(slots, request.caller, now, ttl_s, request.stream, retry, request.payload)
            self._settle(longest, lease, None)

    def expire(self, now: float) -> None:
        """Ends the waits whose time is over."""
        for waiter in self._expiries.due(now):
            waiter.pool.line.leave(waiter)
            self._settle(waiter, None, not_free(waiter.pool))

    def next(self) -> float | None:
        """When the next one is over; None = never."""
        return self._expiries.next()

    def _settle(self, waiter: Waiter, lease: Lease | None, error: RegistryError | None) -> None:
        waiter.lease, waiter.error = lease, error
        self.number -= 1
        self._listener.settled(waiter)


def _takes(waiter: Waiter, slots: Slots) -> bool:
    return slots.standing <= waiter.request.last_tier and slots.service_id not in waiter.request.excluded
