"""The other members of a cluster, and the services that are theirs. Pure: the cluster's shell tells it what it saw.

Each service has one owner: the member that its agent speaks to. What the owner says of it (`Standing`) is shown here as
it is; nothing that happens here changes it. An owner that is lost leaves orphans: UNKNOWN(OWNER_LOST), not dead, until
their agents come to another member, or their time is over.

    ours (owner None) ◄── take ── foreign (owner a life) ── its member is lost ──► orphan (owner "") ── take ──► ours
          └── another member took it, or claimed it anew ──► foreign ◄── its member is back ──┘
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from orion_registry.core import draining
from orion_registry.core.admission import last_turn_s
from orion_registry.core.applying import restore_extra_s
from orion_registry.core.authority import use_epoch, void_streams
from orion_registry.core.entry import Entry
from orion_registry.core.fleet import Fleet
from orion_registry.core.frames import LostReason
from orion_registry.core.liveness import DEAD, LIVE, RESTORED, START, Event
from orion_registry.core.model import LivenessMode, Now, Record, RemovalReason, StatusReason, StatusReasonCode
from orion_registry.core.overlay import OVERLAID, Overlay
from orion_registry.core.overlay_book import conditions_of
from orion_registry.core.standing import Standing, standing_of

_SPOKEN_FOR = frozenset({LivenessMode.STREAM, LivenessMode.TTL})
"""Modes in which an agent tells that it is there. The services of the others go to a member that is chosen."""

LOST_GRACE_S = 2.0
"""How long a member that still answers may be missing in etcd: it puts itself back with its next renewal. After a pause
of etcd past the ttl all members are missing at once, and none of them is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One daemon of a cluster.

    Attributes:
        name: what the operator calls it; stays over restarts.
        life: this life of it (its history_id): what owners are named by.
        addresses: where agents and callers reach it; the first is for the other members too.
        token: what other members show it, known to those who may read etcd alone.
        version: of its software. started_wall: when this life began, a label.
    """

    name: str
    life: str
    addresses: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    version: str = ""
    started_wall: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A member as one of them sees it: whether it can be spoken to, what it owns, the streams that it told of."""

    member: Member
    own: bool
    reachable: bool
    services: int
    streams: int | None


class Membership:
    """Keeps a fleet true to what the other members say.

    Args:
        fleet: the registry's.
        own: this member.
        adopted: hears of services that this member owns from now on, and lost of those that it does not any more; for
            what only owners do, such as active checks.

    Attributes:
        own: this member.
        wanted: services that this member ought to take: nobody owns them and no agent speaks for them, or an agent
            speaks here for what another has let go.
    """

    def __init__(
        self,
        fleet: Fleet,
        own: Member,
        adopted: Callable[[Entry, Now], None] = lambda *_: None,
        lost: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        self._fleet = fleet
        self.own = own
        self._adopted = adopted
        self._lost = lost
        self._members: dict[str, Member] = {own.name: own}
        self._lives: dict[str, Member] = {own.life: own}
        self._missing: dict[str, float] = {}
        self._standings: dict[str, Standing] = {}
        self.wanted: dict[str, None] = {}

    # Who is there.

    @property
    def members(self) -> tuple[Member, ...]:
        """All that are there, by name; this one too."""
        return tuple(self._members[name] for name in sorted(self._members))

    @property
    def others(self) -> tuple[Member, ...]:
        """All but this one."""
        return tuple(member for member in self.members if member.life != self.own.life)

    def member(self, life: str) -> Member | None:
        """The member of a life, if it is there."""
        return self._lives.get(life)

    def owner_of(self, service_id: str) -> Member | None:
        """The other member that owns a service; None = this one, or nobody does, or it is not registered."""
        entry = self._fleet.catalog.get(service_id)
        return self._lives.get(entry.owner) if entry is not None and entry.owner else None

    def last_owner(self, service_id: str) -> str:
        """The life of the other member that owns a service, or did last, there or not; empty if none is known."""
        standing = self._standings.get(service_id)
        return "" if standing is None or standing.owner == self.own.life else standing.owner

    def owned_by(self, life: str) -> frozenset[str]:
        """All services of another member."""
        return frozenset(entry.service_id for entry in self._fleet.catalog if entry.owner == life)

    def is_left(self, service_id: str) -> bool:
        """Whether the agent of a service of ours speaks here no more: then no slot of it is granted."""
        entry = self._fleet.catalog.get(service_id)
        return entry is None or (entry.spec.liveness in _SPOKEN_FOR and entry.liveness.code not in LIVE)

    def let_go(self, service_id: str, owner: str, now: Now) -> None:
        """Another member has a service that was ours, as it says itself: it is shown as that one's, about to move."""
        entry = self._fleet.catalog.get(service_id)
        if entry is not None and entry.owner is None:
            liveness = StatusReason(code=StatusReasonCode.RECONNECT_GRACE, since_wall=now.wall)
            told = Standing(owner=owner, epoch=entry.epoch, used_epoch=entry.used_epoch, liveness=liveness)
            self.stands(service_id, told, now)

    def holder_of(self, prefix: str) -> Member | None:
        """The other member whose life begins so: it granted the leases with that prefix."""
        found = (member for life, member in self._lives.items() if life.startswith(prefix))
        return next((member for member in found if member.life != self.own.life), None)

    def sights(self, reachable: Collection[str], streams: Mapping[str, int]) -> tuple[Sight, ...]:
        """All members, by name. reachable: lives that answer; streams: of each life that told."""
        owned = Counter(self.own.life if entry.owner is None else entry.owner for entry in self._fleet.catalog)
        return tuple(
            Sight(
                member=member,
                own=member.life == self.own.life,
                reachable=member.life == self.own.life or member.life in reachable,
                services=owned[member.life],
                streams=streams.get(member.life),
            )
            for member in self.members
        )

    def is_chosen(self, service_id: str) -> bool:
        """Whether this member is to do what one of them has to do for a service that nobody owns.

        Highest hash of member and service (rendezvous): all who see the same members choose the same one. That they
        may not is why what is done is a transaction.
        """
        return max(self._lives, key=lambda life: hashlib.sha256(f"{life}/{service_id}".encode()).digest()) == (
            self.own.life
        )

    def present(self, member: Member, now: Now) -> None:
        """A member is there, new or again: its services are shown as it says."""
        before = self._members.get(member.name)
        if before is not None and before.life != member.life:
            self._drop(before, now)  # another life of it
        self._members[member.name] = self._lives[member.life] = member
        self._missing.pop(member.life, None)
        for service_id, standing in list(self._standings.items()):
            entry = self._fleet.catalog.get(service_id)
            if entry is not None and entry.owner == "" and standing.owner == member.life:
                self._become(entry, standing, now)

    def missing(self, name: str, now: Now, *, reachable: bool) -> None:
        """A member is not in etcd any more. One that still answers has `LOST_GRACE_S` to come back."""
        member = self._members.get(name)
        if member is None or member.life == self.own.life:
            return
        if reachable:
            self._missing.setdefault(member.life, now.mono + LOST_GRACE_S)
        else:
            self._drop(member, now)

    def advance(self, now: Now) -> bool:
        """Lets time pass; `now` is judged. Returns whether a member was lost."""
        over = [self._lives.get(life) for life, until in self._missing.items() if until <= now.mono]
        lost = [member for member in over if member is not None]
        for member in lost:
            self._drop(member, now)
        return bool(lost)

    def _drop(self, member: Member, now: Now) -> None:
        """A member is lost, and its services are orphans."""
        self._missing.pop(member.life, None)
        self._lives.pop(member.life, None)
        if self._members.get(member.name) is member:
            del self._members[member.name]
        left = [entry for entry in self._fleet.catalog if entry.owner == member.life]
        if left:
            self._fleet.homecoming.begin(now.mono)
        extra_s = last_turn_s(len(left), self._fleet.config)
        for entry in left:
            self._orphan(entry, now, extra_s)

    def _orphan(self, entry: Entry, now: Now, extra_s: float) -> None:
        entry.owner = ""
        state = entry.liveness.code
        if entry.spec.liveness not in _SPOKEN_FOR:
            if self.is_chosen(entry.service_id):
                self.wanted[entry.service_id] = None
        elif state in DEAD:
            self._fleet.allow_anew(entry, now)  # until somebody removes it
        else:
            self._fleet.happened(entry, Event.OWNER_LOST, now, extra_s=extra_s)

    # The services of others.

    def restore(
        self, records: Collection[Record], standings: Mapping[str, Standing], overlays: Iterable[Overlay], now: Now
    ) -> None:
        """Takes in what etcd held when this member came. Whoever has no owner that is there is an orphan."""
        draining.restore(self._fleet, overlays, now)
        self._fleet.homecoming.begin(now.mono)
        orphans = [record for record in records if self._owner(standings.get(record.service_id)) == ""]
        extra_s = restore_extra_s(len(orphans), self._fleet.config)
        for record in sorted(records, key=lambda record: record.registered_wall):
            self._add(record, standings.get(record.service_id), now, extra_s)

    def changed(self, record: Record, standing: Standing | None, now: Now) -> None:
        """Another member has stored a record, new or changed; standing: what came with it, if anything did."""
        entry = self._fleet.catalog.get(record.service_id)
        if entry is None:
            self._add(record, standing, now)
            return
        held = entry.snapshot.record
        anew = record.secret_hash != held.secret_hash or record.spec.liveness is not held.spec.liveness
        if anew:  # another life of its agent: what went before is void
            void_streams(entry, LostReason.SUPERSEDED)
            self._give_up(entry)
            entry.owner = self._owner(standing)
            entry.used_epoch = max(entry.used_epoch, record.used_epoch)
        else:
            use_epoch(self._fleet, entry, record.used_epoch, now)
        if standing is not None and entry.owner is not None:
            self._take_in(entry, standing)
        self._fleet.rewritten(entry, record, now)
        if standing is not None:
            self.stands(record.service_id, standing, now)

    def stands(self, service_id: str, standing: Standing, now: Now) -> None:
        """Another member says how a service stands that is its own."""
        self._standings[service_id] = standing
        self._fleet.epochs.outrun(standing.epoch)
        entry = self._fleet.catalog.get(service_id)
        if entry is None or standing.owner == self.own.life:
            return
        use_epoch(self._fleet, entry, standing.used_epoch, now)
        if entry.owner is None:
            self._give_up(entry)
        self._become(entry, standing, now)
        if entry.streams and standing.liveness.code not in LIVE:
            self.wanted[service_id] = None  # its agent speaks here, and nobody does there

    def removed(self, service_id: str) -> None:
        """Another member has removed a service."""
        standing = self._standings.pop(service_id, None)
        entry = self._fleet.catalog.get(service_id)
        if entry is not None:
            self._fleet.epochs.overtaken(max(entry.epoch, 0 if standing is None else standing.epoch))
            void_streams(entry, LostReason.REMOVED)
            expired = entry.liveness.code in DEAD
            self._fleet.remove(entry, RemovalReason.EXPIRED if expired else RemovalReason.REMOVED)

    def set_overlay(self, overlay: Overlay, now: Now) -> None:
        """Another member has stored an overlay."""
        held = self._fleet.overlays.get(overlay.key)
        before = None if held is None else held.overlay
        anew = before is None or (before.mode, before.set_wall) != (overlay.mode, overlay.set_wall)
        draining.put(self._fleet, (overlay,), now, anew=anew)

    def clear_overlay(self, key: str) -> None:
        """Another member has cleared one."""
        held = self._fleet.overlays.get(key)
        if held is not None:
            draining.clear(self._fleet, (held.overlay,), "")

    # Taking.

    def standing_with(self, record: Record, now: Now) -> Standing | None:
        """What goes with a record that is about to be stored here: that it is ours, if it is new or claimed anew."""
        entry = self._fleet.catalog.get(record.service_id)
        if entry is not None:
            held = entry.snapshot.record
            same = record.secret_hash == held.secret_hash and record.spec.liveness is held.spec.liveness
            if entry.owner is None or same:
                return None
        used = record.used_epoch
        liveness = StatusReason(code=START[record.spec.liveness], since_wall=now.wall)
        return Standing(owner=self.own.life, epoch=used, used_epoch=used, liveness=liveness)

    def standing_to_take(self, service_id: str, now: Now) -> Standing | None:
        """What is said of a service that this member takes: somebody is to speak for it. None = it is ours, or gone."""
        entry = self._fleet.catalog.get(service_id)
        if entry is None or entry.owner is None:
            return None
        liveness = entry.liveness
        if entry.spec.liveness in _SPOKEN_FOR:
            liveness = StatusReason(code=StatusReasonCode.RECONNECT_GRACE, since_wall=now.wall)
        return Standing(owner=self.own.life, epoch=entry.epoch, used_epoch=entry.used_epoch, liveness=liveness)

    def take(self, service_id: str, now: Now) -> None:
        """A service is ours from now on, for so it is stored. Until its agent speaks here it is not ready."""
        entry = self._fleet.catalog.get(service_id)
        if entry is None or entry.owner is None:
            return
        self._fleet.own(entry)
        self._standings.pop(entry.service_id, None)
        self.wanted.pop(entry.service_id, None)
        self._adopted(entry, now)
        if entry.spec.liveness in _SPOKEN_FOR:
            self._fleet.happened(entry, Event.MOVING, now)
        else:
            self._fleet.refresh(entry)

    def hold_off(self, service_id: str, holds: bool, now: Now) -> None:
        """While the former owner of a service of ours may be granting slots of it, nobody may speak for it here. Its
        agent gets all the time that it is allowed once it may.
        """
        entry = self._fleet.catalog.get(service_id)
        if entry is None or entry.held_off == holds:
            return
        entry.held_off = holds
        if not holds and entry.owner is None:
            self._fleet.allow_anew(entry, now)

    def speaks_here(self, service_id: str, now: Now) -> None:
        """A service that was taken has a stream here already: its agent never left."""
        entry = self._fleet.catalog.get(service_id)
        if entry is not None and entry.owner is None and entry.streams:
            entry.pulse = next(reversed(entry.streams)).pulse
            self._fleet.happened(entry, Event.SESSION, now)

    def standing_of(self, service_id: str) -> Standing | None:
        """How a service stands that is ours; None if it is not, or is gone."""
        entry = self._fleet.catalog.get(service_id)
        return standing_of(entry, self.own.life) if entry is not None and entry.owner is None else None

    def is_ours(self, service_id: str) -> bool:
        """Whether this member owns a service."""
        entry = self._fleet.catalog.get(service_id)
        return entry is not None and entry.owner is None

    # Inside.

    def _owner(self, standing: Standing | None) -> str:
        return standing.owner if standing is not None and standing.owner in self._lives else ""

    def _add(self, record: Record, standing: Standing | None, now: Now, extra_s: float = 0.0) -> None:
        owner = self._owner(standing)
        if standing is not None:
            self._standings[record.service_id] = standing
            self._fleet.epochs.outrun(standing.epoch)
        else:
            liveness = StatusReason(code=RESTORED[record.spec.liveness], since_wall=now.wall)
            standing = Standing(owner="", epoch=record.used_epoch, used_epoch=record.used_epoch, liveness=liveness)
        entry = self._fleet.add_foreign(record, standing, owner, now)
        if not owner:
            self._orphan(entry, now, extra_s)

    def _become(self, entry: Entry, standing: Standing, now: Now) -> None:
        """A service is shown as its owner says, in one edge."""
        entry.owner = self._owner(standing)
        self._take_in(entry, standing)
        self._fleet.deadlines.set(entry, None)
        self._fleet.refresh(entry)
        if not entry.owner:
            self._orphan(entry, now, 0.0)

    def _take_in(self, entry: Entry, standing: Standing) -> None:
        entry.epoch = max(entry.epoch, standing.epoch)
        entry.used_epoch = max(entry.used_epoch, standing.used_epoch)
        entry.liveness = standing.liveness
        entry.conditions = foreign_conditions(entry.overlay, standing)
        entry.self_report, entry.self_report_wall = standing.self_report, standing.self_report_wall

    def _give_up(self, entry: Entry) -> None:
        """A service is ours no more."""
        entry.held_off = False
        if entry.owner is None:
            self._lost(entry)
        if entry.flaps is not None:
            self._fleet.probations.forget(entry.flaps)
            entry.flaps = None
        self._fleet.forget_task(entry)
        self._fleet.deadlines.set(entry, None)


def foreign_conditions(overlay: Overlay | None, standing: Standing) -> dict[StatusReasonCode, StatusReason]:
    """What overlays make of a service here, and what its owner says beside that."""
    told = {reason.code: reason for reason in standing.conditions if reason.code not in OVERLAID}
    return conditions_of(overlay, standing.conditions) | told
