"""A coordinator that is not alone: the other members' services beside its own, and facts that all of them share."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from orion_registry.cluster.base import Cluster, News
from orion_registry.core.authority import check_right, refuse_ungranted
from orion_registry.core.commands import Command, Imported, Remove, Result
from orion_registry.core.facts import Stored
from orion_registry.core.frames import AgentFrame, Attach, GoAway, GoAwayReason, Hello
from orion_registry.core.history import Edge
from orion_registry.core.importing import SINCE_EXPORT
from orion_registry.core.membership import Member, Membership, Sight
from orion_registry.core.model import Actor, Now, Record, SessionRef
from orion_registry.core.planning import key_of
from orion_registry.core.rebalancing import Targets, streams_to_move
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.core.standing import Standing
from orion_registry.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Reason,
    RegistryError,
    Unavailable,
)
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.runtime.selections import Selections
from orion_registry.store.base import StoreFailed
from orion_registry.store.etcd import StoreConflict

log = logging.getLogger("orion_registry")

ETCD_LOST = "ETCD_LOST"
"""Alarm: etcd has not answered for a while. Selection, discovery and watches go on with what was known then; nothing is
stored, nobody is declared dead for it."""

MEMBER_REPLACED = "MEMBER_REPLACED"
"""Alarm: another daemon goes by this member's name; this one serves no more."""

ATTEMPTS = 8
"""How often a command is planned anew that others were faster than."""
CONFLICT_S = 0.02
UNKNOWN_READ = 8
"""Services of a hello that are looked up in etcd because nothing is known of them here."""
REBALANCE_EVERY_S = 1.0

_OF_STATE = (NotFound, AlreadyExists, PermissionDenied, FailedPrecondition)
"""Refusals that another member's doing may have made wrong."""


class Peers(Protocol):
    """The other members, as far as they can be spoken to."""

    def reachable(self, life: str) -> bool:
        """Whether a member answers."""
        ...

    @property
    def streams(self) -> Mapping[str, int]:
        """Heartbeat streams of each member that tells, by life."""
        ...

    def know(self, members: Collection[Member]) -> None:
        """Who is there now, but for this member. Who is gone from etcd and answers yet is known until it does not."""
        ...

    def member(self, life: str) -> Member | None:
        """A member that is known."""
        ...

    async def hand_over(self, member: Member, service_ids: Sequence[str]) -> Mapping[str, Sequence[float]] | None:
        """Has a member give no slots any more of services that are its no longer.

        Returns:
            For each of them the seconds that are left of each lease that it has granted and that is still held. None =
            there is no such process any more.

        Raises:
            RegistryError: it does not answer, so it may be granting still.
        """
        ...


class ClusterCoordinator(Coordinator):
    """See `Coordinator`; a `cluster.base.Listener`.

    Attributes:
        membership: the core's part.
        peers: the other members.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        own: Member,
        peers: Peers,
        reserving: "Callable[[ClusterCoordinator, Clock], Selections] | None" = None,
        **rest: Any,
    ) -> None:
        """Args: cluster; own: this member, whose life is the history_id; peers; reserving: makes the selections, which
        reserve at other members; rest: see `Coordinator`.
        """
        super().__init__(history_id=own.life, **rest)
        self._cluster = cluster
        self.peers = peers
        fleet = self._fleet = self.registry.fleet
        monitoring = self.registry.monitoring
        self.membership = Membership(fleet, own, monitoring.adopt, monitoring.release)
        fleet.still_heard = lambda entry: self._former_owner(entry.service_id) is not None
        fleet.epoch_used = lambda entry: self._touch(entry.service_id)
        self._early: list[News] | None = []
        self._reserving_block = asyncio.Lock()
        self._owed: dict[str, str] = {}
        self._collecting = False
        self._taking: set[asyncio.Task[None]] = set()
        self._rebalanced_at = 0.0
        self._targets = Targets()
        self._replaced = False
        if reserving is not None:
            self.selections = reserving(self, self._clock)

    # Life.

    async def _restore(self) -> None:
        joined = await self._cluster.join(self)
        self.timelines.restore(joined.stored.edges)
        await self._reserve_epochs()
        now = self._judged_now()
        for member in joined.members:
            self.membership.present(member, now)
        self.membership.restore(joined.stored.records, joined.standings, joined.stored.overlays, now)
        early, self._early = self._early, None
        for news in early or ():
            self.news(news)
        self.peers.know(self.membership.others)
        log.info("joined", extra={"member": self.membership.own.name, "members": len(self.membership.members)})

    async def _leave(self) -> None:
        for task in self._taking:
            task.cancel()
        await self._cluster.leave()

    def _alternates(self, turn: int = 0) -> tuple[str, ...]:
        streams = self.peers.streams
        others = sorted(self.membership.others, key=lambda member: streams.get(member.life, 0))
        first = turn % max(1, len(others))  # were all to begin with the same, it would get all of them
        return tuple(address for member in others[first:] + others[:first] for address in member.addresses)

    def tick(self) -> None:
        """See `Coordinator.tick`."""
        self._fleet.cut_off = self._cluster.stale_s > 0.0
        super().tick()
        now = self._judged_now()
        if self.membership.advance(now):
            self.peers.know(self.membership.others)
        self.alarms.keep(ETCD_LOST, self._lost_etcd())
        self.alarms.keep(MEMBER_REPLACED, "another daemon has taken this member's name" if self._replaced else "")
        if not self._fleet.cut_off:
            self._take_wanted()
        if now.mono - self._rebalanced_at >= REBALANCE_EVERY_S:
            self._rebalanced_at = now.mono
            self._rebalance()
            self._collect_again()

    def _take_wanted(self) -> None:
        """What its owner may speak for yet is not taken: one that is out of etcd and answers comes back, or is lost."""
        wanted = [
            service_id
            for service_id in self.membership.wanted
            if self._speaks_here(service_id) or self._former_owner(service_id) is None
        ]
        for service_id in wanted:
            del self.membership.wanted[service_id]
        if wanted:
            self._spawn(self._take_quietly(wanted))

    def _speaks_here(self, service_id: str) -> bool:
        entry = self.registry.find(service_id)
        return entry is not None and bool(entry.streams)

    def _former_owner(self, service_id: str) -> Member | None:
        """The member that owned a service of nobody's, if it answers still: it is cut off from etcd alone."""
        life = self.membership.last_owner(service_id)
        return self.peers.member(life) if life and self.peers.reachable(life) else None

    @property
    def stale_s(self) -> float:
        """Seconds since the other members were heard of by etcd; 0 while they are."""
        return self._cluster.stale_s

    def sights(self) -> tuple[Sight, ...]:
        """See `Coordinator.sights`."""
        streams = {**self.peers.streams, self.membership.own.life: len(self._sessions)}
        reachable = {member.life for member in self.membership.others if self.peers.reachable(member.life)}
        return self.membership.sights(reachable, streams)

    def _lost_etcd(self) -> str:
        stale_s = self._cluster.stale_s
        if not stale_s:
            return ""
        trouble = self._cluster.trouble
        return f"etcd has not answered for {stale_s:.0f} s" + (f": {trouble}" if trouble else "")

    def _rebalance(self) -> None:
        """After a member came (back) it has few streams: some of ours go there, a few at a time."""
        streams = self.peers.streams
        if not streams or self._fleet.cut_off:
            return
        count = streams_to_move(len(self._sessions), tuple(streams.values()))
        now = self._judged_now().mono
        fewest = self.membership.member(self._targets.choose(streams, now) or "")
        if not count or fewest is None:
            return
        self._targets.sent(fewest.life, streams[fewest.life], now)
        away = GoAway(reason=GoAwayReason.REBALANCE, reconnect_after_s=0.0, alternates=fewest.addresses)
        for session in [session for session in self._sessions if session.services][:count]:
            session.go_away(away)
            session.finish(None)

    # The durable lane.

    async def execute(self, command: Command, actor: Actor) -> Result:
        """See `Coordinator.execute`. What another member was faster with is planned anew.

        A refusal is given only after etcd was asked: another member may have stored since what makes it wrong.
        """
        key, asked = key_of(command), False
        for attempt in range(ATTEMPTS):
            entry = None if key is None else self.registry.find(key)
            await self._epochs_above(0 if entry is None else entry.epoch)
            try:
                return await super().execute(command, actor)
            except StoreConflict:
                if attempt == ATTEMPTS - 1:
                    raise
                await asyncio.sleep(CONFLICT_S * attempt)
            except _OF_STATE:
                if asked or key is None:
                    raise
                await self._ask(key)  # planned again whatever it says: news may have come since the refusal
                asked = True
        raise AssertionError  # the last attempt returned or raised

    async def _ask(self, service_id: str) -> None:
        """Takes in what etcd knows of a service by now.

        Raises:
            Unavailable: STORE_DOWN, it cannot be asked, so nobody can tell whether the refusal is right.
        """
        try:
            await self._cluster.refresh(service_id)
        except StoreFailed as error:
            message = "what other members have stored cannot be seen"
            raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=1.0) from error

    async def _asked(self, service_id: str) -> bool:
        """Whether etcd knows more, as far as it can be asked."""
        try:
            return await self._cluster.refresh(service_id)
        except StoreFailed:
            return False

    async def import_stored(self, stored: Stored, actor: Actor) -> Imported:
        """See `Coordinator.import_stored`."""
        await self._new_block(stored.epochs_below + SINCE_EXPORT)
        return await super().import_stored(stored, actor)

    async def _remove(self, command: Remove) -> None:
        entry = self.registry.find(command.service_id)
        if entry is not None and entry.owner is not None and not self.membership.is_chosen(command.service_id):
            return  # another member does it
        await super()._remove(command)

    async def _reserve_epochs(self) -> None:
        if self.registry.epochs_wanted is not None:
            await self._new_block(0)

    async def _epochs_above(self, epoch: int) -> None:
        if not self._fleet.epochs.is_above(epoch):
            await self._new_block(epoch)

    async def _new_block(self, above: int) -> None:
        """A block of epochs above all that others have given.

        Raises:
            Unavailable: STORE_DOWN.
        """
        async with self._reserving_block:
            epochs = self._fleet.epochs
            if epochs.is_above(above) and self.registry.epochs_wanted is None:
                return
            try:
                first, below = await self._cluster.reserve_epochs(self.registry.config.epoch_block, above)
            except (StoreFailed, StoreConflict) as error:
                message = "no epochs could be reserved: the store took no write"
                raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=1.0) from error
            epochs.granted(first, below)

    # Agents that come to this member.

    async def receive(self, session: HeartbeatSession, frame: AgentFrame) -> None:
        """See `Coordinator.receive`. Services of another member, or of nobody, become ours first."""
        if isinstance(frame, Hello | Attach):
            await self.take_for([request.ref for request in frame.sessions], session.actor)
        await super().receive(session, frame)

    async def take_for(self, refs: Sequence[SessionRef], actor: Actor) -> None:
        """Takes the services that these refs, and who sends them, may act for.

        What cannot be taken stays as it is, and is refused later.
        """
        wanted, unknown = [], 0
        for ref in refs:
            entry = self.registry.find(ref.service_id)
            if entry is None:
                unknown += 1
                if unknown > UNKNOWN_READ or not await self._asked(ref.service_id):
                    continue
            elif entry.owner is None and not entry.held_off:
                continue
            if await self._may(ref, actor):
                wanted.append(ref.service_id)
        if wanted:
            try:
                await self.take(wanted)
            except (StoreFailed, RegistryError) as error:
                log.info("services could not be taken", extra={"services": len(wanted), "error": str(error)})

    async def _may(self, ref: SessionRef, actor: Actor) -> bool:
        return self._may_now(ref, actor) or (await self._asked(ref.service_id) and self._may_now(ref, actor))

    def _may_now(self, ref: SessionRef, actor: Actor) -> bool:
        try:
            refuse_ungranted(actor, check_right(self._fleet, ref, actor.identity))
        except RegistryError:
            return False
        return True

    async def take(self, service_ids: Sequence[str]) -> None:
        """Makes services ours, and has their former owners grant no slots of them any more.

        Raises:
            StoreFailed: etcd did not take it.
            RegistryError: a former owner that is there does not answer: they stay out of selection until it does, or
                is lost.
        """
        owners = {}
        for service_id in service_ids:
            entry = self.registry.find(service_id)
            if entry is not None and entry.owner is not None:
                former = None if entry.owner else self._former_owner(service_id)
                owners[service_id] = entry.owner if former is None else former.life
        highest = max((entry.epoch for one in owners if (entry := self.registry.find(one))), default=0)
        await self._epochs_above(highest)
        self._owed.update({service_id: owner for service_id, owner in owners.items() if owner})
        try:
            await self._cluster.take(list(owners))
        except StoreFailed:
            for service_id in owners:
                if not self.membership.is_ours(service_id):
                    self._owed.pop(service_id, None)
            raise
        await self._collect(service_ids)

    async def _collect(self, service_ids: Sequence[str]) -> None:
        """Asks former owners what they have granted; then the services may be spoken for here."""
        owed: dict[str, list[str]] = {}
        for service_id in service_ids:
            life = self._owed.get(service_id)
            if life is not None:
                owed.setdefault(life, []).append(service_id)
        for life, of_one in owed.items():
            member = self.membership.member(life) or self.peers.member(life)
            left = None if member is None else await self.peers.hand_over(member, of_one)
            now = self._clock.now()
            for service_id in of_one:
                self._owed.pop(service_id, None)
                self.membership.hold_off(service_id, False, self._judged_now())
                if left is not None and member is not None and self.membership.is_ours(service_id):
                    self.registry.balancing.held_elsewhere(service_id, member.name, left.get(service_id, ()), now)

    def _collect_again(self) -> None:
        """Asks once more for what is owed still; their agents may have gone, and nobody else would."""
        owed = [service_id for service_id in self._owed if self.membership.is_ours(service_id)]
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

    async def let_go(self, service_id: str, owner: str) -> None:
        """Another member says that a service is its own: if etcd says so too, no slot of it is granted here any more.
        Where that cannot be seen none is granted either, if its agent has left.

        Raises:
            Unavailable: STORE_DOWN, it cannot be seen now, and its agent speaks here.
        """
        if not self.membership.is_ours(service_id):
            return
        if self._fleet.cut_off and self.membership.is_left(service_id):
            # At once: who asks waits for no longer than a call between members takes. etcd has taken its word.
            self.membership.let_go(service_id, owner, self._judged_now())
            return
        try:
            await self._cluster.refresh(service_id)
        except StoreFailed as error:
            message = f"whether {service_id!r} is {owner!r}'s cannot be seen in etcd"
            raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=1.0) from error

    def told_of_load(
        self,
        member: Member,
        loads: Sequence[tuple[str, int, float]],
        old_leases: Sequence[tuple[str, int]],
    ) -> None:
        """What another member tells: how loaded its services are, and of which of ours it has leases still."""
        balancing, now = self.registry.balancing, self._clock.now()
        for service_id, in_flight, utilization in loads:
            entry = self.registry.find(service_id)
            if entry is not None and entry.owner == member.life:
                balancing.told_elsewhere(service_id, in_flight, utilization, now)
        for service_id, count in old_leases:
            if self.membership.is_ours(service_id):
                balancing.still_elsewhere(service_id, member.name, count, now)

    async def _take_quietly(self, service_ids: Sequence[str]) -> None:
        try:
            await self.take(service_ids)
        except (StoreFailed, RegistryError) as error:
            log.info("services could not be taken", extra={"services": len(service_ids), "error": str(error)})
            self.membership.wanted.update(dict.fromkeys(service_ids))
        now = self._judged_now()
        for service_id in service_ids:
            self.membership.speaks_here(service_id, now)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    # What the cluster tells: `cluster.base.Listener`.

    def news(self, news: News) -> None:
        """See `Listener`."""
        if self._early is not None:
            self._early.append(news)
            return
        try:
            self._take_in(news, self._judged_now())
        except Exception:  # the watch must go on
            log.exception("news of other members could not be taken in")

    def _take_in(self, news: News, now: Now) -> None:
        members, epochs = self.membership, self._fleet.epochs
        if news.epochs_below - epochs.below > SINCE_EXPORT:
            # Somebody has taken in what another registry stored: its agents may have epochs above those of our block.
            epochs.overtaken(news.epochs_below - 1)
        for member in news.members.values():
            members.present(member, now)
        for service_id in news.removed:
            members.removed(service_id)
        for service_id, record in news.records.items():
            members.changed(record, news.standings.get(service_id), now)
        for service_id, standing in news.standings.items():
            if service_id not in news.records:
                members.stands(service_id, standing, now)
        for overlay in news.overlays.values():
            members.set_overlay(overlay, now)
        for key in news.cleared:
            members.clear_overlay(key)
        for name in news.missing:
            gone = next((member for member in members.others if member.name == name), None)
            if gone is not None:
                members.missing(name, now, reachable=self.peers.reachable(gone.life))
        if news.members or news.missing:
            self.peers.know(members.others)

    def replaced(self) -> None:
        """See `Listener`."""
        if not self._replaced:
            log.error("another daemon has this member's name: this one serves no more")
            self._replaced = True
            self.serving = False
            for turn, session in enumerate(list(self._sessions)):
                elsewhere = self._alternates(turn)
                session.go_away(GoAway(reason=GoAwayReason.SHUTDOWN, reconnect_after_s=0.0, alternates=elsewhere))
                session.finish(Unavailable(Reason.NOT_SERVING, "this member was replaced", retry_after_s=1.0))

    def standing(self, service_id: str) -> Standing | None:
        """See `Listener`."""
        return self.membership.standing_of(service_id)

    def standing_with(self, record: Record) -> Standing | None:
        """See `Listener`."""
        return self.membership.standing_with(record, self._clock.now())

    def standing_to_take(self, service_id: str) -> Standing | None:
        """See `Listener`."""
        return self.membership.standing_to_take(service_id, self._clock.now())

    def taken(self, service_id: str) -> None:
        """See `Listener`."""
        now = self._judged_now()
        self.membership.take(service_id, now)
        self.membership.hold_off(service_id, service_id in self._owed, now)

    # Inside.

    def _publish(self, edge: Edge) -> None:
        super()._publish(edge)
        if edge.after is not None:
            self._touch(edge.service_id)

    def _touch(self, service_id: str) -> None:
        if self._early is None and self.membership.is_ours(service_id):
            self._cluster.touched(service_id)

    def _judged_now(self) -> Now:
        return self._fleet.patience.read(self._clock.now())
