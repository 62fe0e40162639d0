"""Selections in a cluster: picked here among all services, and reserved at the member that owns the one picked.

Only an owner grants slots of its services, so however many callers race at however many members, what is granted never
exceeds what there is. A pick of another member's service is a lease here for as long as its owner is asked; then it is
the owner's lease, by the owner's id, and only how full the service is stays here.
"""

import asyncio
import math
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from orion_registry.core.balancing import PREFIX, Balancing
from orion_registry.core.holder import owner_of
from orion_registry.core.membership import Member, Membership
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.refusals import reused
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.slots import NO_LIMIT
from orion_registry.core.selector import Selector
from orion_registry.errors import NotFound, Reason, RegistryError, ResourceExhausted, Unavailable
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.selections import Queued, Selections, Wanted

TRIES = 10
"""Picks of one request that are made at once. One is in vain if its owner has just given the last slot, or is just
lost. Whoever may wait goes on, with a pause before each."""
PAUSE_S = 0.1
DOUBT_RETRY_S = 1.0
NOBODY = ""
"""Stands among members that do not answer for an owner that is lost: slots of its services are nobody's to give."""
LEFT_OUT_S = 0.5
"""How long the list of a silent member's services is good for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A slot that its owner has granted. in_flight: slots of the service that are taken now."""

    selection_id: str
    ttl_s: float
    in_flight: int


class Reserving(Protocol):
    """Asks other members for slots."""

    def reserve(
        self, member: Member, service_id: str, namespace: str, request: SelectionRequest
    ) -> Awaitable[Reserved]:
        """Reserves a slot at its owner, of a service of this namespace.

        Raises:
            ResourceExhausted: NO_FREE_SLOT.
            RegistryError: it is not there any more, or does not answer.
        """
        ...

    def is_silent(self, life: str) -> bool:
        """Whether a member could not be heard of late: it would not answer either."""
        ...

    def renew(self, member: Member, selection_id: str, caller: str, stream: str) -> Awaitable[float]:
        """Lets a slot that it granted last its ttl from now, which is returned, on this Route stream of this member.

        Raises:
            NotFound: it has ended; that member is gone.
            RegistryError: it does not answer.
        """
        ...

    def give_back(self, member: Member, selection_id: str, caller: str) -> None:
        """Nobody wants a slot that was granted. Best effort: else it ends by its ttl."""
        ...


class _Asked:
    """A `Wanted` of one try."""

    __slots__ = ("pool", "request", "selector")

    def __init__(self, wanted: Wanted, request: SelectionRequest) -> None:
        self.selector: Selector = wanted.selector
        self.pool = wanted.pool
        self.request = request


class ClusterSelections(Selections):
    """See `Selections`."""

    def __init__(self, balancing: Balancing, clock: Clock, membership: Membership, peers: Reserving) -> None:
        super().__init__(balancing, clock)
        self._membership = membership
        self._peers = peers
        self._left_out: dict[str, tuple[float, frozenset[str]]] = {}
        self._answered: dict[tuple[str, str], tuple[str, float, tuple[Lease, ...]]] = {}

    async def select_or_wait(self, wanted: Wanted, queued: Queued | None = None) -> tuple[Lease, ...]:
        """See `Selections.select_or_wait`. Fewer than asked for may be granted, one at least. Who was slower at the
        owner than others may wait again, and `queued` hears of it again.
        """
        loop, silent = asyncio.get_running_loop(), set[str]()
        until = loop.time() + wanted.request.wait_s
        before = await self._granted_before(wanted.request)
        if before:
            return before
        asked: Wanted = wanted
        tries = 0
        while (tries := tries + 1) <= TRIES or asked.request.wait_s:
            if tries > TRIES:
                await asyncio.sleep(PAUSE_S)
            try:
                leases = await super().select_or_wait(asked, queued)
            except RegistryError as error:
                raise self._beyond(silent, error) from None
            kept, unreachable = await self._confirm_all(leases, asked, silent)
            if kept:
                self._remember(wanted.request, kept)
                return kept
            request = asked.request
            left_s = max(0.0, until - loop.time()) if request.wait_s else 0.0
            excluded = request.excluded | unreachable
            asked = _Asked(asked, replace(request, excluded=excluded, wait_s=left_s))
        faster = "others were faster each time"
        raise self._beyond(silent, ResourceExhausted(Reason.NO_FREE_SLOT, faster, retry_after_s=DOUBT_RETRY_S))

    def doubtful(self) -> bool:
        """Whether this member stood still so long of late that others may have taken what it takes for its own."""
        return self.balancing.shaken

    def owner(self, selection_id: str) -> Member | None:
        """The other member that granted a lease; None = this one, or nobody who is there."""
        prefix = selection_id[:PREFIX]
        return None if self._membership.own.life.startswith(prefix) else self._membership.holder_of(prefix)

    def answered(self, request: SelectionRequest) -> tuple[Lease, ...]:
        """What the same request was answered with before; it may have ended since.

        Raises:
            InvalidArgument: REQUEST_ID_REUSED: it was another payload.
        """
        before = self._answered.get((request.caller, request.request_id)) if request.request_id else None
        if before is None or before[1] <= self.balancing.latest:
            return ()
        if before[0] != request.payload:
            raise reused(request.request_id)
        return before[2]

    # Inside.

    async def _confirm_all(
        self, leases: tuple[Lease, ...], asked: Wanted, silent: set[str]
    ) -> tuple[tuple[Lease, ...], frozenset[str]]:
        """The leases that hold, and services that could not be asked for: all of a member that does not answer, which
        joins the silent ones.
        """
        confirming = [asyncio.ensure_future(self._confirm(lease, asked, silent)) for lease in leases]
        kept, unreachable = [], set()
        try:
            await asyncio.gather(*confirming, return_exceptions=True)
            for lease, ended in zip(leases, confirming, strict=True):
                outcome = ended.exception() or ended.result()
                if isinstance(outcome, Lease):
                    kept.append(outcome)
                elif isinstance(outcome, RegistryError):
                    unreachable |= set() if isinstance(outcome, ResourceExhausted) else {lease.service_id}
                else:
                    raise outcome
        except BaseException:
            self._undo(leases, confirming)
            raise
        return tuple(kept), frozenset(unreachable).union(*map(self._services_of, silent - {NOBODY}))

    def _undo(self, leases: tuple[Lease, ...], confirming: "Sequence[asyncio.Future[Lease]]") -> None:
        """Nobody waits any more: what was granted meanwhile is given back."""
        for lease, ended in zip(leases, confirming, strict=True):
            if ended.cancelled() or ended.exception() is not None:
                continue
            granted = ended.result()
            if granted is lease:  # this member's own
                self.balancing.drop(lease)
            elif (owner := self.owner(granted.selection_id)) is not None:
                self._peers.give_back(owner, granted.selection_id, granted.caller)

    async def _confirm(self, lease: Lease, asked: Wanted, silent: set[str]) -> Lease:
        entry, service_id = self.balancing.entry_of(lease), lease.service_id
        limited = lease.slots.limit != NO_LIMIT
        if entry is None or (entry.owner is None and not (limited and self.doubtful())):
            return lease
        owner = self._membership.owner_of(service_id)
        if owner is None:
            if not limited and entry.owner is not None:  # nobody's, taken on the caller's own risk: allow_degraded
                return lease
            silent.add(NOBODY)
            self.balancing.drop(lease)
            raise Unavailable(Reason.NO_READY_SERVICE, f"{service_id!r} has no owner at present", retry_after_s=1.0)
        if self._peers.is_silent(owner.life):  # each call would take its whole time limit, and the caller's
            silent.add(owner.life)
            self.balancing.drop(lease)
            raise Unavailable(Reason.NO_READY_SERVICE, f"member {owner.name!r} is not heard", retry_after_s=1.0)
        asking = asyncio.ensure_future(self._peers.reserve(owner, service_id, asked.selector.namespace, asked.request))
        try:
            got = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(lambda asked: self._give_back(owner, lease.caller, asked))
            self.balancing.drop(lease)
            raise
        except ResourceExhausted:
            self._settle(lease, lease.slots.limit if limited else lease.slots.in_flight)
            raise
        except BaseException as error:
            if isinstance(error, Unavailable):
                silent.add(owner.life)
            self.balancing.drop(lease)
            raise
        self._settle(lease, got.in_flight)
        return self._anothers(lease, got.selection_id, got.ttl_s)

    def _anothers(self, lease: Lease, selection_id: str, ttl_s: float) -> Lease:
        """A lease of another member, in place of one that stood for it, or of what was known of it."""
        mono = self.balancing.latest
        return Lease(selection_id, lease.ordinal, lease.slots, lease.caller, "", mono, ttl_s, None)

    def _services_of(self, life: str) -> frozenset[str]:
        """All services of a member that does not answer. Looked up now and then: callers ask for them all the time."""
        at, found = self._left_out.get(life, (-math.inf, frozenset[str]()))
        mono = self.balancing.latest
        if mono - at > LEFT_OUT_S:
            self._left_out[life] = mono, (found := self._membership.owned_by(life))
        return found

    def _beyond(self, silent: Collection[str], error: RegistryError) -> RegistryError:
        """A refusal, if members do not answer: whoever could be picked may be theirs."""
        none_left = isinstance(error, NotFound)  # but those that were left out
        if not silent or error.reason is Reason.NOT_SERVING:
            return error
        if not (none_left or isinstance(error, Unavailable | ResourceExhausted)):
            return error
        found = [member.name for life in silent if (member := self._membership.member(life)) is not None]
        names = ", ".join(sorted(found)) or "one that is lost"
        told = "selector: no other service matches" if none_left else error.message
        message = f"{told}; left out are the services of members that do not answer: {names}"
        return Unavailable(Reason.NO_READY_SERVICE, message, retry_after_s=error.retry_after_s or DOUBT_RETRY_S)

    def _give_back(self, owner: Member, caller: str, asked: "asyncio.Future[Reserved]") -> None:
        """Whoever wanted it has gone by the time that it was granted."""
        if not asked.cancelled() and asked.exception() is None:
            self._peers.give_back(owner, asked.result().selection_id, caller)

    def _settle(self, lease: Lease, in_flight: int) -> None:
        """The lease here ends; so many slots are taken in truth. First told, so that nobody waits for this one."""
        now = self.now()
        entry = self.balancing.entry_of(lease)
        if entry is not None and entry.owner:
            count = in_flight + len(lease.slots.leases)
            self.balancing.told_elsewhere(lease.service_id, count, lease.slots.utilization, now)
        self.balancing.drop(lease)

    async def _granted_before(self, request: SelectionRequest) -> tuple[Lease, ...]:
        """What the same request was granted before and holds still: whoever granted it renews it, on its new stream."""
        renewed = await asyncio.gather(*(self._renewed(lease, request.stream) for lease in self.answered(request)))
        held = tuple([lease for lease in renewed if lease is not None])
        if held:
            self._remember(request, held)
        return held

    async def _renewed(self, lease: Lease, stream: str) -> Lease | None:
        """None: it has ended. Raises RegistryError: whether it has, the member that granted it does not say."""
        owner = self.owner(lease.selection_id)
        try:
            if owner is None:
                return self.balancing.renew(lease.selection_id, owner_of(lease), self.now(), stream=stream)
            ttl_s = await self._peers.renew(owner, lease.selection_id, lease.caller, stream)
        except NotFound:
            return None
        return self._anothers(lease, lease.selection_id, ttl_s)

    def _remember(self, request: SelectionRequest, leases: tuple[Lease, ...]) -> None:
        if not request.request_id:
            return
        mono = self.balancing.latest
        if len(self._answered) > 10_000:
            self._answered = {key: one for key, one in self._answered.items() if one[1] > mono}
        ends = mono + min(lease.ttl_s for lease in leases)
        self._answered[request.caller, request.request_id] = (request.payload, ends, leases)

    def ended(self, selection_id: str) -> None:
        """A lease of another member has ended: a retry of what it was granted for is a new request."""
        for key, (_, _, leases) in list(self._answered.items()):
            if any(lease.selection_id == selection_id for lease in leases):
                del self._answered[key]


def gone(selection_id: str) -> NotFound:
    """The member that granted a lease is lost, and the lease with it."""
    return NotFound(Reason.NO_SUCH_LEASE, f"selection_id: the member that granted {selection_id!r} is gone")
