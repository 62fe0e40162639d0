"""The fleet as it is now: catalog, views, history, deadlines. Every edge is made here, and only here."""

from collections.abc import Callable

from orion_registry.core import liveness
from orion_registry.core.access.refused import Refused
from orion_registry.core.access.usage import Usage
from orion_registry.core.admission import Admission
from orion_registry.core.catalog import Catalog
from orion_registry.core.census import Headcount, agent_of
from orion_registry.core.config import RegistryConfig
from orion_registry.core.deadlines import Deadlines
from orion_registry.core.entry import Entry
from orion_registry.core.epochs import EpochCounter
from orion_registry.core.events import RegistryEvent
from orion_registry.core.flaps import Flaps
from orion_registry.core.history import Edge, History
from orion_registry.core.homecoming import Homecoming
from orion_registry.core.mass_hold import MassHold
from orion_registry.core.model import (
    Actor,
    Load,
    Now,
    Record,
    RemovalReason,
    ServiceStatus,
    Snapshot,
    StatusReason,
    StatusReasonCode,
)
from orion_registry.core.overlay import OVERLAID
from orion_registry.core.overlay_book import OverlayBook, conditions_of
from orion_registry.core.pace import Pace
from orion_registry.core.patience import Patience
from orion_registry.core.standing import Standing
from orion_registry.core.status import effective
from orion_registry.core.tasks import Task
from orion_registry.core.views import Views
from orion_registry.errors import NotFound, Reason

Publish = Callable[[Edge], None]
"""Takes every edge, in the order of revisions, in the same call that made it. It must not call back."""

Loaded = Callable[[str, Load], None]
"""Takes the load of a service whenever it is told."""

NO_LOAD = Load()

Tell = Callable[[RegistryEvent], None]
"""Takes what no edge says, before the edges that come of it. It must not call back."""

Rewriting = Callable[[Entry, Record, Now, bool], None]
"""Takes a service whose record is about to be replaced, before the edge that tells of it, and whether another life of
its agent did it. It may change the conditions and the liveness that this edge shows; it must not call back."""

_PROBATION = StatusReasonCode.PROBATION
_SPANS = ("liveness_ttl_s", "retention_s", "silence_timeout_s")
"""Fields of a spec that deadlines are made of."""


class Fleet:
    """All state of the registry, and the one way to change what others see of it.

    Attributes:
        revision: that of the latest edge; 1 = nothing has happened in this life.
        beats: those of streams that are over.
        unary_beats: those that came by themselves.
        judging: False once the daemon is stopping: streams that end then say nothing about their services.
        tell: takes events that are no edges.
        usage: what namespaces take, against their quotas.
        refused: how often limits turned somebody away.
        leases_left: how many selections of a service are still held. Whoever gives leases puts its count here; until
            then there are none.
        rewriting: hears of every record that is about to be replaced.
        epoch_used: hears of a service whose holder has used a higher epoch than before.
        cut_off: whether other members could not be heard of at present: of what is theirs nothing is judged.
        still_heard: whether the lost owner of a service answers other members still: then its agents may well be there.
    """

    def __init__(self, config: RegistryConfig, publish: Publish, tell: Tell, loaded: Loaded = lambda *_: None) -> None:
        self.config = config
        self.catalog = Catalog()
        self.views = Views(self.catalog, config.views)
        self.history = History(config.history)
        self.headcount = Headcount()
        self.hold = MassHold(config.hold_share)
        self.homecoming = Homecoming()
        self.deadlines: Deadlines[Entry] = Deadlines()
        self.probations: Deadlines[Flaps] = Deadlines()
        self.tasks: Deadlines[Task] = Deadlines()
        self.epochs = EpochCounter(config.epoch_block)
        self.pace = Pace(config.beat_budget, config.beats_missed, config.silence_floor_s)
        self.patience = Patience(config.late_tick_s)
        self.admission = Admission(config)
        self.usage = Usage(self.catalog.count)
        self.refused = Refused()
        self.overlays = OverlayBook()
        self.leases_left: Callable[[str], int] = lambda _: 0
        self.rewriting: Rewriting = lambda *_: None
        self.epoch_used: Callable[[Entry], None] = lambda _: None
        self.cut_off = False
        self.still_heard: Callable[[Entry], bool] = lambda _: False
        self.tell = tell
        self.revision = 1
        self.beats = 0
        self.unary_beats = 0
        self.judging = True
        self._publish = publish
        self._loaded = loaded

    def require(self, service_id: str) -> Entry:
        """The entry of a service.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        entry = self.catalog.get(service_id)
        if entry is None:
            raise no_such_service(service_id)
        return entry

    # Coming and going.

    def add(
        self, record: Record, state: StatusReasonCode, now: Now, *, restored: bool = False, extra_s: float = 0.0
    ) -> Entry:
        """Adds a service in the given liveness state; `extra_s` is added to the time that it is allowed there.

        It gets a new epoch unless it is read back from the store.
        """
        alive = StatusReason(code=state, since_wall=now.wall)
        epoch = record.used_epoch if restored else self.epochs.take()
        self.revision += 1
        overlay = self.overlays.of(record.spec)
        conditions = conditions_of(overlay)  # from its first edge on, so that it is never ready in between
        weight_set = None if overlay is None else overlay.weight
        reasons = (alive, *conditions.values())
        snapshot = _snapshot(record, reasons, epoch, self.revision, weight_set=weight_set)
        entry = Entry(self.catalog.next_ordinal(), snapshot, alive)
        entry.epoch, entry.used_epoch = epoch, record.used_epoch
        entry.overlay, entry.conditions = overlay, conditions
        self.overlays.arrived(entry)
        self._allow(entry, now, extra_s)
        self.catalog.insert(entry)
        self._announce(entry, Edge(self.revision, entry.service_id, None, entry.snapshot))
        return entry

    def add_foreign(self, record: Record, standing: Standing, owner: str, now: Now) -> Entry:
        """Adds a service that another member owns, or did, as it stands there."""
        self.revision += 1
        overlay = self.overlays.of(record.spec)
        told = {reason.code: reason for reason in standing.conditions if reason.code not in OVERLAID}
        conditions = conditions_of(overlay, standing.conditions) | told
        reasons: tuple[StatusReason, ...] = (standing.liveness, *conditions.values())
        if standing.self_report is not ServiceStatus.UNSPECIFIED:
            told_wall = standing.self_report_wall
            reasons = (*reasons, StatusReason(code=StatusReasonCode.SELF_REPORTED, since_wall=told_wall))
        weight_set = None if overlay is None else overlay.weight
        snapshot = _snapshot(record, reasons, standing.epoch, self.revision, standing.self_report, weight_set)
        entry = Entry(self.catalog.next_ordinal(), snapshot, standing.liveness)
        entry.epoch, entry.used_epoch, entry.owner = standing.epoch, standing.used_epoch, owner
        entry.overlay, entry.conditions = overlay, conditions
        entry.self_report, entry.self_report_wall = standing.self_report, standing.self_report_wall
        self.overlays.arrived(entry)
        self.catalog.insert(entry)
        self._announce(entry, Edge(self.revision, entry.service_id, None, entry.snapshot))
        return entry

    def remove(self, entry: Entry, reason: RemovalReason) -> None:
        """Takes a service out."""
        self.revision += 1
        self.deadlines.forget(entry)
        if entry.flaps is not None:
            self.probations.forget(entry.flaps)
        self.forget_task(entry)
        self.overlays.left(entry)
        self.catalog.delete(entry)
        self._announce(entry, Edge(self.revision, entry.service_id, entry.snapshot, None, reason))

    # Changing.

    def happened(
        self, entry: Entry, event: liveness.Event, now: Now, *, record: Record | None = None, extra_s: float = 0.0
    ) -> None:
        """Moves a service's liveness, in one edge with its record if that changes too.

        `extra_s` is added to the time that the new state is allowed.
        """
        if entry.owner:
            return  # its owner says how it is
        mode = (record or entry.snapshot.record).spec.liveness
        before = entry.liveness.code
        state = liveness.next_state(before, event, mode)
        if state is not before or record is not None:
            entry.liveness = StatusReason(code=state, since_wall=now.wall)
            if record is not None:
                self.rewriting(entry, record, now, True)
            if state in liveness.DEAD:
                self.suspend_task(entry)
            if state in liveness.LIVE and before in liveness.CUT_OFF:
                self.homecoming.came(now.mono)
            if state in liveness.LIVE and before not in liveness.LIVE:
                self._welcome_back(entry, now)  # first, so that it is never ready in between
            self.refresh(entry, record)
        self._allow(entry, now, extra_s)

    def allow_anew(self, entry: Entry, now: Now) -> None:
        """Its agent spoke up: it may stay in its state for as long as if it had just come into it."""
        self._allow(entry, now, 0.0)

    def own(self, entry: Entry) -> None:
        """A service comes from another member: what holds there by timers and counts holds no more."""
        entry.owner = None
        entry.conditions = conditions_of(entry.overlay, entry.conditions.values())

    def wait_for(self, entry: Entry, wait_s: float, now: Now) -> None:
        """Its agent was told to come again after so long: it gets that on top of what it is allowed."""
        if entry.liveness.code in liveness.AWAITED and entry.deadline is not None:
            until = now.mono + wait_s + self.config.reconnect_grace_s
            self.deadlines.set(entry, max(entry.deadline, until))

    def loaded(self, entry: Entry, load: Load | None) -> None:
        """A service told its load; None = another process speaks for it, and has told nothing yet."""
        if entry.owner:
            return
        entry.load = load
        self._loaded(entry.service_id, load or NO_LOAD)

    def rejudge(self, entry: Entry) -> None:
        """Its streams, or the interval expected of them, have changed: its deadline may be earlier now."""
        if entry.liveness.code in liveness.ON_BEATS and not entry.owner:
            self.deadlines.set(entry, self.beat_deadline(entry))

    def rewritten(self, entry: Entry, record: Record, now: Now) -> None:
        """Publishes a changed record. A changed span of it counts from now."""
        before, after, lived = entry.spec, record.spec, entry.liveness
        self.rewriting(entry, record, now, False)
        self.refresh(entry, record)
        if before.silence_timeout_s != after.silence_timeout_s:
            entry.counts_from = now.mono
        if entry.liveness is not lived or any(getattr(before, name) != getattr(after, name) for name in _SPANS):
            self._allow(entry, now, 0.0)
        if before.stuck_after_s != after.stuck_after_s and entry.task is not None:
            if entry.task.since is not None:
                entry.task.since = now.mono
            self.judge_task(entry.task, now)

    def worked(self, entry: Entry, progress: int, age_s: float | None, now: Now) -> None:
        """A beat told what a service works on; see `Task.told`."""
        if entry.task is None:
            if age_s is None or entry.owner:
                return
            entry.task = Task(entry)
        entry.task.told(progress, age_s, now.mono)
        self.judge_task(entry.task, now)

    def forget_task(self, entry: Entry) -> None:
        """Another life of its agent speaks for a service. Published with the edge that tells of it."""
        self.suspend_task(entry)
        entry.task = None

    def suspend_task(self, entry: Entry) -> None:
        """A new session speaks for a service: until it tells of a task, as that of an idle process never does, there is
        none. How far the last one was is remembered: it may be the same. Published with the edge that tells of it.
        """
        if entry.task is not None:
            self.tasks.forget(entry.task)
            entry.task.suspended = True
            entry.conditions.pop(StatusReasonCode.STUCK, None)

    def judge_task(self, task: Task, now: Now) -> None:
        """A service is STUCK or is not, and may become so later."""
        entry = task.entry
        own_s = entry.spec.stuck_after_s
        stuck_at = task.stuck_at(self.config.stuck_after_s if own_s is None else own_s)
        if stuck_at is not None and stuck_at <= now.mono:
            self.tasks.set(task, None)
            self.impose(entry, StatusReasonCode.STUCK, now)
        else:
            self.tasks.set(task, stuck_at)
            self.lift(entry, StatusReasonCode.STUCK)

    def flaps_of(self, entry: Entry) -> Flaps:
        """The falls of a service."""
        if entry.flaps is None:
            entry.flaps = Flaps(entry, self.config)
        return entry.flaps

    def impose(self, entry: Entry, reason: StatusReasonCode, now: Now) -> None:
        """A condition holds from now on."""
        if reason not in entry.conditions:
            entry.conditions[reason] = StatusReason(code=reason, since_wall=now.wall)
            self.refresh(entry)

    def lift(self, entry: Entry, reason: StatusReasonCode) -> None:
        """A condition holds no more."""
        if entry.conditions.pop(reason, None) is not None:
            self.refresh(entry)

    def reported(self, entry: Entry, status: ServiceStatus, now: Now) -> None:
        """Takes a self-report; HEALTHY and UNSPECIFIED clear the last one."""
        told = ServiceStatus.UNSPECIFIED if status is ServiceStatus.HEALTHY else status
        if told is not entry.self_report and not entry.owner:
            entry.self_report, entry.self_report_wall = told, now.wall
            self.refresh(entry)

    def refresh(self, entry: Entry, record: Record | None = None) -> None:
        """Publishes an edge if the service looks other than its snapshot says."""
        old = entry.snapshot
        reasons: tuple[StatusReason, ...] = (entry.liveness, *entry.conditions.values())
        if entry.self_report is not ServiceStatus.UNSPECIFIED:
            reasons += (StatusReason(code=StatusReasonCode.SELF_REPORTED, since_wall=entry.self_report_wall),)
        weight_set = None if entry.overlay is None else entry.overlay.weight
        new = _snapshot(record or old.record, reasons, entry.epoch, self.revision + 1, entry.self_report, weight_set)
        same_look = (new.status, new.reasons, new.epoch, weight_set) == (
            old.status,
            old.reasons,
            old.epoch,
            old.weight_set,
        )
        if new.record is old.record:
            if same_look:
                return
            new.encoded_record = old.encoded_record
        self.revision += 1
        self.catalog.replace(entry, new)
        self._announce(entry, Edge(self.revision, entry.service_id, old, new))

    def beat_deadline(self, entry: Entry) -> float | None:
        """Of a service in `liveness.ON_BEATS`; None = no stream carries it.

        From the latest beat of any stream: the newest one may be a ghost of an old hello, with nobody behind it.
        """
        state, spec = entry.liveness.code, entry.spec
        deadlines = [
            max(stream.pulse.mono, entry.counts_from)
            + liveness.silence_allowed(state, stream.pulse.interval_s, spec, self.config)
            for stream in entry.streams
        ]
        return max(deadlines, default=None)

    def _welcome_back(self, entry: Entry, now: Now) -> None:
        """It is heard of again; one that fell too often is not trusted at once."""
        flaps, config = entry.flaps, self.config
        if flaps is not None and config.probation_s and flaps.are_many(now.mono, config):
            entry.conditions[_PROBATION] = StatusReason(code=_PROBATION, since_wall=now.wall)
            self.probations.set(flaps, now.mono + config.probation_s)

    def _allow(self, entry: Entry, now: Now, extra_s: float) -> None:
        state = entry.liveness.code
        if entry.owner:
            return
        if state in liveness.ON_BEATS:
            self.deadlines.set(entry, self.beat_deadline(entry))
            return
        if state is StatusReasonCode.HELD:
            self.deadlines.set(entry, self.hold.until)
            return
        allowed_s = liveness.time_allowed(entry.liveness.code, entry.spec, self.config)
        self.deadlines.set(entry, None if allowed_s is None else now.mono + allowed_s + extra_s)

    def _announce(self, entry: Entry, edge: Edge) -> None:
        self.views.update(entry, edge.before, edge.after)
        self.headcount.note(edge.before, edge.after)
        agent = agent_of(entry.spec)
        self.hold.seen(agent, lives=self.headcount.lives(agent))
        self.history.append(edge)
        self._publish(edge)


def _snapshot(
    record: Record,
    reasons: tuple[StatusReason, ...],
    epoch: int,
    revision: int,
    reported: ServiceStatus = ServiceStatus.UNSPECIFIED,
    weight_set: float | None = None,
) -> Snapshot:
    joined = effective(reasons, reported)
    return Snapshot(
        record=record,
        status=joined.status,
        reasons=joined.reasons,
        ready=joined.ready,
        tier=joined.tier,
        selection_tier=joined.selection_tier,
        epoch=epoch,
        revision=revision,
        weight_set=weight_set,
    )


def require_visible(actor: Actor, entry: Entry) -> None:
    """Raises NotFound, in the words for an id that nothing has: its namespace is none in which somebody has a role."""
    if not actor.rights.sees(entry.spec.namespace):
        raise no_such_service(entry.service_id)


def no_such_service(service_id: str) -> NotFound:
    """The error for an id that nothing has, or nothing that whoever asks may see."""
    return NotFound(Reason.NO_SUCH_SERVICE, f"no service {service_id!r} is registered")
