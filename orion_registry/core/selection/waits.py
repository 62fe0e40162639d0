"""Everybody who waits, over all pools: each free slot goes to one of them, and no wait outlasts its time."""

from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.expiry import Expiries
from orion_registry.core.selection.leases import Lease, Leases
from orion_registry.core.selection.listener import Listener
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.queue import Waiter, queue_full
from orion_registry.core.selection.refusals import asked_again, check_possible, not_free, reused
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.slots import NEVER, Slots
from orion_registry.errors import RegistryError

WAITING = 8_192
"""Callers that may wait in all: whoever frees a slot that none of them wants looks at all of them, 0.1 us each."""


class Waits:
    """All waits. Tells the listener of each that is over, unless it was given up."""

    __slots__ = ("_arrived", "_asked", "_config", "_expiries", "_leases", "_listener", "number")

    def __init__(self, config: BalancerConfig, leases: Leases, listener: Listener) -> None:
        self._config = config
        self._leases = leases
        self._listener = listener
        self._expiries: Expiries[Waiter] = Expiries()
        self._asked: dict[tuple[str, str], Waiter] = {}  # those with a request_id
        self._arrived = 0
        self.number = 0

    def reconfigure(self, config: BalancerConfig) -> None:
        """Goes by another config from now on."""
        self._config = config

    def join(self, pool: Pool, request: SelectionRequest, now: float) -> Waiter:
        """Takes a place in a pool's line.

        A request that waits already under its request_id gives its wait up for this one: its caller asks again, so it
        does not hear the answer any more, and must not be given a slot besides.

        Raises:
            InvalidArgument: REQUEST_ID_REUSED.
            ResourceExhausted: QUEUE_FULL.
        """
        asked = (request.caller, request.request_id)
        before = self._asked.get(asked)
        if before is not None:
            if before.request.payload != request.payload:
                raise reused(request.request_id)
            self._expiries.remove(before)
            before.pool.line.leave(before)
            self._settle(before, None, asked_again())
        if self.number >= WAITING:
            raise queue_full(WAITING)
        self._arrived += 1
        waiter = Waiter(request, pool, self._arrived, now)
        ousted = pool.line.join(waiter)
        self._expiries.add(waiter)
        self.number += 1
        if request.request_id:
            self._asked[asked] = waiter
        if ousted is not None:
            self._expiries.remove(ousted)
            self._settle(ousted, None, queue_full(self._config.queue))
        return waiter

    def give_up(self, waiter: Waiter) -> None:
        """Whoever waits does not any more; nobody is told. Nothing happens if the wait is over."""
        if waiter.waiting:
            self._expiries.remove(waiter)
            waiter.pool.line.leave(waiter)
            self._forget(waiter)
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
            self._settle(waiter, None, _why(waiter))

    def next(self) -> float | None:
        """When the next one is over; None = never."""
        return self._expiries.next()

    def _settle(self, waiter: Waiter, lease: Lease | None, error: RegistryError | None) -> None:
        waiter.lease, waiter.error = lease, error
        self._forget(waiter)
        self._listener.settled(waiter)

    def _forget(self, waiter: Waiter) -> None:
        self.number -= 1
        if waiter.request.request_id:
            self._asked.pop((waiter.request.caller, waiter.request.request_id), None)


def _why(waiter: Waiter) -> RegistryError:
    """Why it got nothing: who it waited for may be gone by now."""
    try:
        check_possible(waiter.pool, waiter.request)
    except RegistryError as error:
        return error
    return not_free(waiter.pool)


def _takes(waiter: Waiter, slots: Slots) -> bool:
    return slots.standing <= waiter.request.last_tier and slots.service_id not in waiter.request.excluded
