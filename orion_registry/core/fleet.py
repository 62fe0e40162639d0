"""The fleet as it is now: catalog, views, history, deadlines. Every edge is made here, and only here."""

from collections.abc import Callable

from orion_registry.core import liveness
from orion_registry.core.catalog import Catalog
from orion_registry.core.config import RegistryConfig
from orion_registry.core.deadlines import Deadlines
from orion_registry.core.entry import Entry
from orion_registry.core.epochs import EpochCounter
from orion_registry.core.history import Edge, History
from orion_registry.core.model import (
    Now,
    Record,
    RemovalReason,
    ServiceStatus,
    Snapshot,
    StatusReason,
    StatusReasonCode,
)
from orion_registry.core.pace import Pace
from orion_registry.core.patience import Patience
from orion_registry.core.status import effective
from orion_registry.core.views import Views
from orion_registry.errors import NotFound, Reason

Publish = Callable[[Edge], None]
"""Takes every edge, in the order of revisions, in the same call that made it. It must not call back."""


_SPANS = ("liveness_ttl_s", "retention_s", "silence_timeout_s")
"""Fields of a spec that deadlines are made of."""


class Fleet:
    """All state of the registry, and the one way to change what others see of it.

    Attributes:
        revision: that of the latest edge; 1 = nothing has happened in this life.
        judging: False once the daemon is stopping: streams that end then say nothing about their services.
    """

    def __init__(self, config: RegistryConfig, publish: Publish) -> None:
        self.config = config
        self.catalog = Catalog()
        self.views = Views(self.catalog, config.views)
        self.history = History(config.history)
        self.deadlines = Deadlines()
        self.epochs = EpochCounter(config.epoch_block)
        self.pace = Pace(config.beat_budget, config.beats_missed, config.silence_floor_s)
        self.patience = Patience()
        self.revision = 1
        self.judging = True
        self._publish = publish

    def require(self, service_id: str) -> Entry:
        """The entry of a service.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        entry = self.catalog.get(service_id)
        if entry is None:
            raise NotFound(Reason.NO_SUCH_SERVICE, f"no service {service_id!r} is registered")
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
        entry = Entry(self.catalog.next_ordinal(), _snapshot(record, (alive,), epoch, self.revision), alive)
        entry.epoch, entry.used_epoch = epoch, record.used_epoch
        self._allow(entry, now, extra_s)
        self.catalog.insert(entry)
        self._announce(entry, Edge(self.revision, entry.service_id, None, entry.snapshot))
        return entry

    def remove(self, entry: Entry, reason: RemovalReason) -> None:
        """Takes a service out."""
        self.revision += 1
        self.deadlines.forget(entry)
        self.catalog.delete(entry)
        self._announce(entry, Edge(self.revision, entry.service_id, entry.snapshot, None, reason))

    # Changing.

    def happened(
        self, entry: Entry, event: liveness.Event, now: Now, *, record: Record | None = None, extra_s: float = 0.0
    ) -> None:
        """Moves a service's liveness, in one edge with its record if that changes too.

        `extra_s` is added to the time that the new state is allowed.
        """
        mode = (record or entry.snapshot.record).spec.liveness
        state = liveness.next_state(entry.liveness.code, event, mode)
        if state is not entry.liveness.code or record is not None:
            entry.liveness = StatusReason(code=state, since_wall=now.wall)
            self.refresh(entry, record)
        self._allow(entry, now, extra_s)

    def overdue(self, entry: Entry, now: Now) -> None:
        """The deadline of one that is not dead yet passed. Where beats came since, a later one is set instead."""
        if entry.liveness.code in liveness.ON_BEATS:
            deadline = self._beat_deadline(entry)
            if deadline is None or deadline > now.mono:
                self.deadlines.set(entry, deadline)
                return
        self.happened(entry, liveness.Event.DEADLINE, now)
        for stream in entry.streams:
            stream.pulse.missed[entry] = None

    def rejudge(self, entry: Entry) -> None:
        """Its streams, or the interval expected of them, have changed: its deadline may be earlier now."""
        if entry.liveness.code in liveness.ON_BEATS:
            self.deadlines.set(entry, self._beat_deadline(entry))

    def rewritten(self, entry: Entry, record: Record, now: Now) -> None:
        """Publishes a changed record. A changed ttl, silence or retention counts from now."""
        before, after = entry.spec, record.spec
        self.refresh(entry, record)
        if before.silence_timeout_s != after.silence_timeout_s:
            entry.counts_from = now.mono
        if any(getattr(before, name) != getattr(after, name) for name in _SPANS):
            self._allow(entry, now, 0.0)

    def reported(self, entry: Entry, status: ServiceStatus, now: Now) -> None:
        """Takes a self-report; HEALTHY and UNSPECIFIED clear the last one."""
        told = ServiceStatus.UNSPECIFIED if status is ServiceStatus.HEALTHY else status
        if told is not entry.self_report:
            entry.self_report, entry.self_report_wall = told, now.wall
            self.refresh(entry)

    def refresh(self, entry: Entry, record: Record | None = None) -> None:
        """Publishes an edge if the service looks other than its snapshot says."""
        old = entry.snapshot
        reasons: tuple[StatusReason, ...] = (entry.liveness,)
        if entry.self_report is not ServiceStatus.UNSPECIFIED:
            reasons += (StatusReason(code=StatusReasonCode.SELF_REPORTED, since_wall=entry.self_report_wall),)
        new = _snapshot(record or old.record, reasons, entry.epoch, self.revision + 1, entry.self_report)
        same_look = (new.status, new.reasons, new.epoch) == (old.status, old.reasons, old.epoch)
        if new.record is old.record:
            if same_look:
                return
            new.encoded_record = old.encoded_record
        self.revision += 1
        self.catalog.replace(entry, new)
        self._announce(entry, Edge(self.revision, entry.service_id, old, new))

    def _beat_deadline(self, entry: Entry) -> float | None:
        """From the latest beat of any stream that carries it: an older one may be the live one. None = no stream."""
        state, spec = entry.liveness.code, entry.spec
        deadlines = [
            max(stream.pulse.mono, entry.counts_from)
            + liveness.silence_allowed(state, stream.pulse.interval_s, spec, self.config)
            for stream in entry.streams
        ]
        return max(deadlines, default=None)

    def _allow(self, entry: Entry, now: Now, extra_s: float) -> None:
        if entry.liveness.code in liveness.ON_BEATS:
            self.deadlines.set(entry, self._beat_deadline(entry))
            return
        allowed_s = liveness.time_allowed(entry.liveness.code, entry.spec, self.config)
        self.deadlines.set(entry, None if allowed_s is None else now.mono + allowed_s + extra_s)

    def _announce(self, entry: Entry, edge: Edge) -> None:
        self.views.update(entry, edge.before, edge.after)
        self.history.append(edge)
        self._publish(edge)


def _snapshot(
    record: Record,
    reasons: tuple[StatusReason, ...],
    epoch: int,
    revision: int,
    reported: ServiceStatus = ServiceStatus.UNSPECIFIED,
) -> Snapshot:
    joined = effective(reasons, reported)
    return Snapshot(
        record=record,
        status=joined.status,
        reasons=joined.reasons,
        ready=joined.ready,
        tier=joined.tier,
        epoch=epoch,
        revision=revision,
    )
