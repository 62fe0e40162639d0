"""The services that a member takes from others: how, for whom, and what their former owners owe an answer on."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from orion_registry.cluster.base import Cluster, Peers
from orion_registry.core.authority import check_right, refuse_ungranted
from orion_registry.core.membership import Member, Membership
from orion_registry.core.model import Actor, Now, SessionRef
from orion_registry.core.registry import Registry
from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.runtime.clock import Clock
from orion_registry.store.base import StoreFailed

log = logging.getLogger("orion_registry")

UNKNOWN_READ = 8
"""Services of a hello that are looked up in etcd because nothing is known of them here."""


class Taking:
    """Takes services, has their former owners hand over, and hands over to others.

    What was taken is owed until its former owner has answered, or is lost: until then nobody may speak for it here.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        membership: Membership,
        cluster: Cluster,
        peers: Peers,
        clock: Clock,
        epochs_above: Callable[[int], Awaitable[None]],
    ) -> None:
        """Args: epochs_above: has this member's epochs be above one; may raise Unavailable."""
        self._registry = registry
        self._membership = membership
        self._cluster = cluster
        self._peers = peers
        self._clock = clock
        self._epochs_above = epochs_above
        self._owed: dict[str, str] = {}
        self._collecting = False
        self._tasks: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Takes nothing more by itself."""
        for task in self._tasks:
            task.cancel()

    def former_owner(self, service_id: str) -> Member | None:
        """The member that owned a service of nobody's, if it answers still: it is cut off from etcd alone."""
        life = self._membership.last_owner(service_id)
        return self._peers.member(life) if life and self._peers.reachable(life) else None

    # For agents that come to this member.

    async def take_for(self, refs: Sequence[SessionRef], actor: Actor) -> None:
        """Takes the services that these refs, and who sends them, may act for.

        What cannot be taken stays as it is, and is refused later.
        """
        wanted, unknown = [], 0
        for ref in refs:
            entry = self._registry.find(ref.service_id)
            if entry is None:
                unknown += 1
                if unknown > UNKNOWN_READ or not await self._asked(ref.service_id):
                    continue
            elif entry.owner is None and not entry.held_off:
                continue
            if await self._may(ref, actor):
                wanted.append(ref.service_id)
        if wanted:
            await self._took(wanted)

    async def _asked(self, service_id: str) -> bool:
        """Whether etcd knows more, as far as it can be asked."""
        try:
            return await self._cluster.refresh(service_id)
        except StoreFailed:
            return False

    async def _may(self, ref: SessionRef, actor: Actor) -> bool:
        return self._may_now(ref, actor) or (await self._asked(ref.service_id) and self._may_now(ref, actor))

    def _may_now(self, ref: SessionRef, actor: Actor) -> bool:
        try:
            refuse_ungranted(actor, check_right(self._registry.fleet, ref, actor.identity))
        except RegistryError:
            return False
        return True

    # Of its own accord.

    def take_wanted(self) -> None:
        """What its owner may speak for yet is not taken: one that is out of etcd and answers comes back, or is lost."""
        wanted = [
            service_id
            for service_id in self._membership.wanted
            if self._speaks_here(service_id) or self.former_owner(service_id) is None
        ]
        for service_id in wanted:
            del self._membership.wanted[service_id]
        if wanted:
            self._spawn(self._take_all(wanted))

    def _speaks_here(self, service_id: str) -> bool:
        entry = self._registry.find(service_id)
        return entry is not None and bool(entry.streams)

    async def _take_all(self, service_ids: Sequence[str]) -> None:
        if not await self._took(service_ids):
            self._membership.wanted.update(dict.fromkeys(service_ids))
        now = self._judged_now()
        for service_id in service_ids:
            self._membership.speaks_here(service_id, now)

    def collect_again(self) -> None:
        """Asks once more for what is owed still; their agents may have gone, and nobody else would."""
        self._owed = {service_id: life for service_id, life in self._owed.items() if service_id in self._registry}
        owed = [service_id for service_id in self._owed if self._membership.is_ours(service_id)]
        if owed and not self._collecting:
            self._collecting = True
            self._spawn(self._collect_quietly(owed))

    async def _collect_quietly(self, service_ids: Sequence[str]) -> None:
        try:
            await self._collect(service_ids)
        except RegistryError as error:
            log.info("services are held off", extra={"services": len(service_ids), "error": error.message})
        finally:
            self._collecting = False

    # How.

    async def _took(self, service_ids: Sequence[str]) -> bool:
        """Takes services; whether all are ours by now, and may be spoken for here."""
        try:
            await self._take(service_ids)
        except (StoreFailed, RegistryError) as error:
            log.info("services could not be taken", extra={"services": len(service_ids), "error": str(error)})
            return False
        return True

    async def _take(self, service_ids: Sequence[str]) -> None:
        """Makes services ours, and has their former owners grant no slots of them any more.

        Raises:
            StoreFailed: etcd did not take it.
            RegistryError: a former owner that is there does not answer: they stay out of selection until it does, or
                is lost.
        """
        owners, highest = dict[str, str](), 0
        for service_id in service_ids:
            entry = self._registry.find(service_id)
            if entry is not None and entry.owner is not None:
                former = None if entry.owner else self.former_owner(service_id)
                owners[service_id] = entry.owner if former is None else former.life
                highest = max(highest, entry.epoch)
        await self._epochs_above(highest)
        self._owed.update({service_id: owner for service_id, owner in owners.items() if owner})
        await self._cluster.take(list(owners))  # one that fails may have taken some, and is in doubt: they stay owed
        await self._collect(service_ids)

    def taken(self, service_id: str) -> None:
        """A service is ours, for so it is stored; it is held off while it is owed."""
        now = self._judged_now()
        self._membership.take(service_id, now)
        self._membership.hold_off(service_id, service_id in self._owed, now)

    async def _collect(self, service_ids: Sequence[str]) -> None:
        """Asks former owners what they have granted, all at once: what one answers for may be spoken for here."""
        owed: dict[str, list[str]] = {}
        for service_id in service_ids:
            life = self._owed.get(service_id)
            if life is not None:
                owed.setdefault(life, []).append(service_id)
        asked = itertools.starmap(self._collect_from, owed.items())
        for failure in await asyncio.gather(*asked, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _collect_from(self, life: str, service_ids: Sequence[str]) -> None:
        member = self._membership.member(life) or self._peers.member(life)
        left = None if member is None else await self._peers.hand_over(member, service_ids)
        now = self._clock.now()
        for service_id in service_ids:
            if self._owed.get(service_id) != life:  # another member had it meanwhile, and owes the answer now
                continue
            del self._owed[service_id]
            self._membership.hold_off(service_id, False, self._judged_now())
            if left is not None and member is not None and self._membership.is_ours(service_id):
                self._registry.balancing.held_elsewhere(service_id, member.name, left.get(service_id, ()), now)

    # What others take.

    async def let_go(self, service_id: str, owner: str) -> None:
        """Another member says that a service is its own: if etcd says so too, no slot of it is granted here any more.
        Where that cannot be seen none is granted either, if its agent has left.

        Raises:
            Unavailable: STORE_DOWN, it cannot be seen now, and its agent speaks here.
        """
        if not self._membership.is_ours(service_id):
            return
        if self._registry.fleet.cut_off and self._membership.is_left(service_id):
            # At once: who asks waits for no longer than a call between members takes. etcd has taken its word.
            self._membership.let_go(service_id, owner, self._judged_now())
            return
        try:
            await self._cluster.refresh(service_id)
        except StoreFailed as error:
            message = f"whether {service_id!r} is {owner!r}'s cannot be seen in etcd"
            raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=1.0) from error

    # Inside.

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _judged_now(self) -> Now:
        return self._registry.fleet.patience.read(self._clock.now())
