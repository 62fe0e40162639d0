"""The front door of the core: commands and an instant go in; answers, edges and frames come out.

Durable commands go through two calls, so that nothing is acknowledged before it is stored:

    plan(command) -> Plan      reads, may refuse
    begin(plan)                holds off who would act for a service that the plan ends
    audits(plan)               what the audit chain is told of it
    (the shell stores plan.facts and those, together)
    apply(plan) -> Result      changes memory, gives revision and epoch, cannot fail

Between the two the shell holds back other commands for the same service, or all others (`key_of`). Everything else, the
soft edges, is applied at once.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from orion_registry.core import applying, draining, falling, planning
from orion_registry.core.access.quota import Quotas
from orion_registry.core.access.refused import Refused
from orion_registry.core.auditing import audits_of
from orion_registry.core.authority import authorize, check_ref, mode_of, use_epoch
from orion_registry.core.balancing import Balancing
from orion_registry.core.census import Census
from orion_registry.core.checks.monitoring import Monitoring
from orion_registry.core.commands import Command, Remove, Result
from orion_registry.core.config import RegistryConfig
from orion_registry.core.credentials import SecretMaker
from orion_registry.core.entry import Entry, Pulse
from orion_registry.core.facts import Audit, ReserveEpochs, Stored
from orion_registry.core.fleet import Fleet, Publish, Tell
from orion_registry.core.history import Edge
from orion_registry.core.liveness import DEAD, Event
from orion_registry.core.model import (
    Actor,
    LivenessMode,
    Load,
    Now,
    RemovalReason,
    ServiceStatus,
    SessionRef,
    StatusReasonCode,
)
from orion_registry.core.overlay import OverlayFilter
from orion_registry.core.overlay_page import OverlayPage, overlay_page
from orion_registry.core.paging import Page, page_of
from orion_registry.core.planning import Plan, Registration, Removal
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.strategy import Draw
from orion_registry.core.selector import Selector, check_selector
from orion_registry.core.self_health import SelfHealth
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.core.validation import check_load
from orion_registry.core.watching import WatchBuffer
from orion_registry.errors import FailedPrecondition, Reason

REMOVAL_RETRY_S = 5.0
"""When a removal is tried again that the store did not take."""


class Registry:
    """The registry's state and rules.

    Args:
        config: spans and sizes.
        secrets: makes secrets for agents that bring none.
        history_id: names this life; revisions of another life mean nothing here.
        publish: takes every edge.
        tell: takes the events that no edge says.
        balancer: how selection behaves.
        draw: randomness of picks and of when checks run; without any, what goes by chance is always the same.

    Attributes:
        balancing: selections, and all that belongs to them.
        monitoring: active checks.
        resyncs: watches that asked for a revision that is not known any more.
    """

    def __init__(
        self,
        config: RegistryConfig,
        secrets: SecretMaker,
        history_id: str,
        publish: Publish,
        tell: Tell = lambda _: None,
        *,
        balancer: BalancerConfig | None = None,
        draw: Draw = lambda: 0.0,
    ) -> None:
        self.config = config
        self.history_id = history_id
        self._secrets = secrets
        self._publish = publish
        self._fleet = Fleet(config, self._edge, tell, self._loaded)
        self.balancing = Balancing(self._fleet, balancer or BalancerConfig(), draw, history_id)
        self._fleet.leases_left = self.balancing.leases_on
        self.monitoring = Monitoring(self._fleet, draw)
        self.resyncs = 0

    def _edge(self, edge: Edge) -> None:
        self.balancing.candidates.edge(edge)  # first: nobody may hear of a death, ask, and be given the dead
        self.monitoring.edge(edge)
        self._publish(edge)

    def _loaded(self, service_id: str, load: Load) -> None:
        self.balancing.candidates.loaded(service_id, load)

    # Start and end.

    @property
    def fleet(self) -> Fleet:
        """The state itself, for what joins this registry with others: see `membership`."""
        return self._fleet

    def restore_epochs(self, stored: Stored) -> None:
        """Goes on above every epoch that an earlier life may have given; a block of them is to be reserved next."""
        self._fleet.epochs.restore(stored.epochs_below)

    def restore(self, stored: Stored, now: Now) -> None:
        """Takes in what the store held. Nothing is declared dead because the daemon was away.

        Their time runs from `now`: call it when whatever could delay serving is done, `restore_epochs` first of all.
        """
        now = self._fleet.patience.read(now)
        draining.restore(self._fleet, stored.overlays, now)
        applying.bring_back(self._fleet, stored.records, now)

    def reconfigure(self, config: RegistryConfig, balancer: BalancerConfig) -> None:
        """Goes by other spans and shares for what happens from now on; what was given, such as deadlines, stays.

        What is looked at when it is needed counts: retention_s, probation_s and stuck_after_s; of the balancer
        lease_ttl_s, leases, zone_ready_share and eject_*. What the rest of the fields have made stays as it was.
        """
        self.config = self._fleet.config = config
        self.balancing.reconfigure(balancer)

    def set_quotas(self, quotas: Quotas) -> None:
        """Goes by other quotas from now on. Nobody is put out: whatever is there beyond them stays until it goes."""
        self._fleet.usage.quotas = quotas

    def stop_judging(self) -> None:
        """From now on the end of a stream says nothing: the daemon itself is about to end them."""
        self._fleet.judging = False

    # Reads.

    @property
    def revision(self) -> int:
        """Revision of the latest edge."""
        return self._fleet.revision

    def __len__(self) -> int:
        """Services registered."""
        return len(self._fleet.catalog)

    def __contains__(self, service_id: str) -> bool:
        """Whether a service is registered."""
        return self.find(service_id) is not None

    def stored(self) -> Stored:
        """All that is stored, as another registry, or a later life, can take it in.

        Epochs count as used as far as their holders have used them by now, so that who is stale here is stale there.
        """
        records = (
            replace(record, used_epoch=entry.used_epoch) if record.used_epoch < entry.used_epoch else record
            for entry in self._fleet.catalog
            for record in (entry.snapshot.record,)
        )
        overlays = tuple(self._fleet.overlays)
        return Stored(records=tuple(records), epochs_below=self._fleet.epochs.below, overlays=overlays)

    def find(self, service_id: str) -> Entry | None:
        """One service, ready or not; None if it is not registered."""
        return self._fleet.catalog.get(service_id)

    def get(self, service_id: str) -> Entry:
        """One service, ready or not.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        return self._fleet.require(service_id)

    def discover(self, selector: Selector, page_size: int = 0, page_token: str = "") -> Page:
        """One page of the services that match, in the order of their registration.

        Raises:
            InvalidArgument: BAD_FIELD, BAD_PAGE_TOKEN.
        """
        view = self._fleet.views.get(selector)
        return page_of(view, page_size, page_token, self.history_id)

    def overlays(self, wanted: OverlayFilter, page_size: int, page_token: str, now: Now) -> OverlayPage:
        """One page of what operators have set, in the order of natural keys.

        Raises:
            InvalidArgument: BAD_FIELD, BAD_PAGE_TOKEN.
        """
        return overlay_page(self._fleet, wanted, page_size, page_token, self._fleet.patience.read(now))

    def watch(self, selector: Selector, start_revision: int = 0, history_id: str = "") -> WatchBuffer:
        """A watcher's buffer: a snapshot, or all since `start_revision` if the history reaches that far.

        It counts until it is handed to `unwatch`.

        Raises:
            InvalidArgument: BAD_FIELD.
            ResourceExhausted: TOO_LARGE, the namespace's quota of watches is used up.
        """
        selector = check_selector(selector)
        self._fleet.usage.watch(selector.namespace)
        buffer = WatchBuffer(selector)
        known = self._fleet.history.since(start_revision, self.revision) if history_id == self.history_id else None
        if known is not None:
            buffer.resume(known, start_revision)
        else:
            shown = [entry.snapshot for entry in self._fleet.catalog.matching(selector)]
            members = [snapshot for snapshot in shown if selector.shows(snapshot)]
            buffer.start(members, resync=start_revision != 0)
            self.resyncs += start_revision != 0
        return buffer

    def unwatch(self, buffer: WatchBuffer) -> None:
        """A watch is over; to be said once."""
        self._fleet.usage.unwatch(buffer.selector.namespace)

    @property
    def refused(self) -> Refused:
        """How often limits turned somebody away; whoever tells somebody so notes it there."""
        return self._fleet.refused

    @property
    def census(self) -> Census:
        """How many there are, as of now."""
        return self._fleet.headcount.taken(self._fleet.pace.streams)

    def beats(self, streams: Iterable[HeartbeatSession]) -> tuple[int, int]:
        """Beats so far, of streams and by themselves. streams: those that are open."""
        return self._fleet.beats + sum(session.beats for session in streams), self._fleet.unary_beats

    @property
    def latest(self) -> float:
        """The instant seen last, in judged seconds."""
        return self._fleet.patience.latest

    def services(self) -> Iterator[Entry]:
        """All of them, in all namespaces."""
        return iter(self._fleet.catalog)

    @property
    def refused_hellos(self) -> int:
        """Hellos that were told to wait for their turn."""
        return self._fleet.admission.refused_hellos

    @property
    def mass_hold(self) -> str:
        """What happened if many fell silent together and are held; empty: nobody is held. For an alarm."""
        return self._fleet.hold.story

    # The durable lane.

    @property
    def epochs_wanted(self) -> ReserveEpochs | None:
        """The reservation to store soon, so that epochs never run out; None if there are enough."""
        below = self._fleet.epochs.wanted
        return None if below is None else ReserveEpochs(below=below)

    def epochs_reserved(self, fact: ReserveEpochs) -> None:
        """The store holds this reservation."""
        self._fleet.epochs.reserved(fact.below)

    def plan(self, command: Command, actor: Actor, now: Now) -> Plan:
        """What a command would store.

        Raises:
            RegistryError: the command is refused.
        """
        return planning.plan(self._fleet, self._secrets, command, actor, self._fleet.patience.read(now))

    def audits(self, plan: Plan, command: Command, actor: Actor, now: Now) -> tuple[Audit, ...]:
        """What the audit chain is told of a plan that was made just now; to be stored together with its facts."""
        return audits_of(self._fleet, plan, command, actor, now.wall, self.history_id)

    def begin(self, plan: Plan) -> None:
        """A plan is on its way to the store: until `apply` or `abandon` nobody may act for a service that it ends.

        So no beat is answered, and no session opened, that the plan would then sweep away.
        """
        self._depart(plan, True)

    def abandon(self, plan: Plan) -> None:
        """A plan that has begun was not stored."""
        self._depart(plan, False)

    def _depart(self, plan: Plan, departing: bool) -> None:
        if isinstance(plan, Removal) or (isinstance(plan, Registration) and plan.anew):
            service_id = plan.service_id if isinstance(plan, Removal) else plan.record.service_id
            entry = self._fleet.catalog.get(service_id)
            if entry is not None:
                entry.departing = departing
            elif isinstance(plan, Registration) and departing:
                self._fleet.usage.coming(service_id, plan.record.spec.namespace)
            if not departing:
                self._fleet.usage.come(service_id)

    def departing(self, service_id: str) -> bool:
        """Whether a claim or removal of a service is on its way to the store."""
        entry = self._fleet.catalog.get(service_id)
        return entry is not None and entry.departing

    def apply(self, plan: Plan, now: Now) -> Result:
        """Makes a stored plan true."""
        now = self._fleet.patience.read(now)
        self._depart(plan, False)
        return applying.apply(self._fleet, plan, now)

    # The soft lane.

    def open_stream(self, actor: Actor, wake: Callable[[], None]) -> HeartbeatSession:
        """A session for a heartbeat stream; `wake` is called when it has something to send."""
        self._fleet.pace.opened()
        return HeartbeatSession(self._fleet, actor, wake)

    def close_stream(self, session: HeartbeatSession, now: Now) -> None:
        """The stream is over."""
        self._fleet.pace.closed()
        self._fleet.beats += session.beats
        session.close(self._fleet.patience.read(now))

    def report_status(self, ref: SessionRef, status: ServiceStatus, now: Now, identity: str = "") -> Entry:
        """Takes what a service says of itself. It never hides missing liveness. identity: who says so.

        Raises:
            RegistryError: see `authority.authorize`.
        """
        now = self._fleet.patience.read(now)
        entry = authorize(self._fleet, ref, identity, now)
        self._fleet.reported(entry, status, now)
        return entry

    def beat(
        self, ref: SessionRef, load: Load | None, self_status: ServiceStatus, now: Now, identity: str = ""
    ) -> Entry:
        """Takes a unary beat. identity: who sends it.

        Raises:
            InvalidArgument: a load figure beyond its limit.
            FailedPrecondition: WRONG_MODE, the service has another liveness mode.
            RegistryError: see `authority.authorize`.
        """
        now = self._fleet.patience.read(now)
        if load is not None:
            check_load("load", load)
        entry = check_ref(self._fleet, ref, identity)
        if entry.spec.liveness is not LivenessMode.TTL:
            raise FailedPrecondition(Reason.WRONG_MODE, f"unary beats need LIVENESS_MODE_TTL, {mode_of(entry)}")
        use_epoch(self._fleet, entry, ref.epoch, now)
        entry.pulse = Pulse(now.mono, now.wall)
        self._fleet.unary_beats += 1
        if load is not None:
            self._fleet.loaded(entry, load)
        if self_status is not ServiceStatus.UNSPECIFIED:
            self._fleet.reported(entry, self_status, now)
        self._fleet.happened(entry, Event.BEAT, now)
        return entry

    # Time.

    def judged(self, now: Now) -> float:
        """An instant in seconds that leave out every stall of the daemon: what others are judged by."""
        return self._fleet.patience.read(now).mono

    def self_health(self) -> SelfHealth:
        """How well the daemon itself keeps time, as of the instant seen last."""
        return self._fleet.patience.health()

    def advance(self, now: Now) -> list[Remove]:
        """Lets time pass: deadlines become edges; returns the removals that are due, for the durable lane.

        To be called every `TICK_S`: what comes later is taken for a stall of the daemon, and counts against nobody.
        """
        now = self._fleet.patience.tick(now)
        due = []
        for entry in list(self._fleet.deadlines.due(now.mono)):
            if entry.liveness.code in DEAD:
                self._fleet.deadlines.set(entry, now.mono + REMOVAL_RETRY_S)
                at = entry.snapshot.revision
                due.append(Remove(service_id=entry.service_id, reason=RemovalReason.EXPIRED, at_revision=at))
            else:
                falling.overdue(self._fleet, entry, now)
        for flaps in list(self._fleet.probations.due(now.mono)):
            self._fleet.lift(flaps.entry, StatusReasonCode.PROBATION)
        for task in list(self._fleet.tasks.due(now.mono)):
            self._fleet.judge_task(task, now)
        falling.judge(self._fleet, now)
        self.monitoring.advance(now)
        self.balancing.advance(now)
        draining.judge(self._fleet, now)  # last: leases that have just ended hold nobody
        return due
