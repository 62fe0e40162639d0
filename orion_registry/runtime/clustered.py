"""A coordinator that is not alone: the other members' services beside its own, and facts that all of them share."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from orion_registry.cluster.base import Cluster, News, Peers
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
    Unavailable,
)
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.runtime.selections import Selections
from orion_registry.runtime.shared_epoch_blocks import SharedEpochBlocks
from orion_registry.runtime.taking import Taking
from orion_registry.store.base import StoreFailed
from orion_registry.store.etcd_writes import StoreConflict

log = logging.getLogger("orion_registry")

ETCD_LOST = "ETCD_LOST"
"""Alarm: etcd has not answered for a while. Selection, discovery and watches go on with what was known then; nothing is
stored, nobody is declared dead for it."""

MEMBER_REPLACED = "MEMBER_REPLACED"
"""Alarm: another daemon goes by this member's name; this one serves no more."""

ATTEMPTS = 8
"""How often a command is planned anew that others were faster than."""
CONFLICT_S = 0.02
REBALANCE_EVERY_S = 1.0

_OF_STATE = (NotFound, AlreadyExists, PermissionDenied, FailedPrecondition)
"""Refusals that another member's doing may have made wrong."""


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
        self._epochs: SharedEpochBlocks = SharedEpochBlocks(self.registry, self._writer, cluster)
        self.membership = Membership(fleet, own, monitoring.adopt, monitoring.release)
        self._taking = Taking(
            registry=self.registry,
            membership=self.membership,
            cluster=cluster,
            peers=peers,
            clock=self._clock,
            epochs_above=self._epochs.be_above,
        )
        fleet.still_heard = lambda entry: self._taking.former_owner(entry.service_id) is not None
        fleet.epoch_used = lambda entry: self._touch(entry.service_id)
        self._early: list[News] | None = []
        self._rebalanced_at = 0.0
        self._targets = Targets()
        self._replaced = False
        if reserving is not None:
            self.selections = reserving(self, self._clock)

    # Life.

    async def _restore(self) -> None:
        joined = await self._cluster.join(self)
        self.timelines.restore(joined.stored.edges)
        await self._epochs.reserve()
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
        self._taking.stop()
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
            self._taking.take_wanted()
        if now.mono - self._rebalanced_at >= REBALANCE_EVERY_S:
            self._rebalanced_at = now.mono
            self._rebalance()
            self._taking.collect_again()

    @property
    def stale_s(self) -> float:
        """Seconds since the other members were heard of by etcd; 0 while they are."""
        return self._cluster.stale_s

    def sights(self) -> tuple[Sight, ...]:
        """See `Coordinator.sights`."""
        streams = {**self.peers.streams, self.membership.own.life: len(self._streams)}
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
        count = streams_to_move(len(self._streams), tuple(streams.values()))
        now = self._judged_now().mono
        fewest = self.membership.member(self._targets.choose(streams, now) or "")
        if not count or fewest is None:
            return
        self._targets.sent(fewest.life, streams[fewest.life], now)
        away = GoAway(reason=GoAwayReason.REBALANCE, reconnect_after_s=0.0, alternates=fewest.addresses)
        for session in [session for session in self._streams if session.services][:count]:
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
            await self._epochs.be_above(0 if entry is None else entry.epoch)
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

    async def import_stored(self, stored: Stored, actor: Actor) -> Imported:
        """See `Coordinator.import_stored`."""
        await self._epochs.new_block(stored.epochs_below + SINCE_EXPORT)
        return await super().import_stored(stored, actor)

    async def _remove(self, command: Remove) -> None:
        entry = self.registry.find(command.service_id)
        if entry is not None and entry.owner is not None and not self.membership.is_chosen(command.service_id):
            return  # another member does it
        await super()._remove(command)

    # Agents that come to this member.

    async def receive(self, session: HeartbeatSession, frame: AgentFrame) -> None:
        """See `Coordinator.receive`. Services of another member, or of nobody, become ours first."""
        if isinstance(frame, Hello | Attach):
            await self.take_for([request.ref for request in frame.sessions], session.actor)
        await super().receive(session, frame)

    async def take_for(self, refs: Sequence[SessionRef], actor: Actor) -> None:
        """See `Taking`."""
        await self._taking.take_for(refs, actor)

    async def let_go(self, service_id: str, owner: str) -> None:
        """See `Taking`."""
        await self._taking.let_go(service_id, owner)

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
        members = self.membership
        self._epochs.told(news.epochs_below)
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
            self._streams.send_away("this member was replaced", 0.0, self._alternates)
            self.selections.stop()

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
        self._taking.taken(service_id)

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
