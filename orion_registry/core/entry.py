"""One registered service as it lives: its published snapshot, and what changes too often to publish."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from orion_registry.core.model import (
    Load,
    ServiceSpec,
    ServiceStatus,
    Snapshot,
    StatusReason,
    StatusReasonCode,
)

if TYPE_CHECKING:
    from orion_registry.core.flaps import Flaps
    from orion_registry.core.overlay import Overlay
    from orion_registry.core.sessions import HeartbeatSession
    from orion_registry.core.tasks import Task


Encoded = tuple[Snapshot, float | None, Load | None, bytes]


class Pulse:
    """When something was last heard of; the services of one stream share one, so a beat costs the same for all.

    Attributes:
        mono, wall: the instant.
        interval_s: time between two beats that is expected of the agent at most.
        missed: services that were found late, in that order: the next beat brings them back.
    """

    __slots__ = ("interval_s", "missed", "mono", "wall")

    def __init__(self, mono: float, wall: float, interval_s: float = 0.0) -> None:
        self.mono = mono
        self.wall = wall
        self.interval_s = interval_s
        self.missed: dict[Entry, None] = {}


class Entry:
    """A service in the catalog. Only the core changes it.

    Attributes:
        snapshot: what is published; replaced at every edge.
        ordinal: place in the order of registration; pages and views are sorted by it.
        liveness: the liveness state and since when.
        conditions: what else holds besides liveness and self-report, by reason.
        overlay: what operators have set for it; None = nothing. Its condition is among `conditions`.
        flaps, task: its falls, and what it works on; None = none so far.
        self_report: what the agent says of itself and since when; UNSPECIFIED = nothing.
        load: last load reported.
        pulse: when it was last heard of; None = never in this life of the daemon.
        epoch: the highest epoch given for it.
        used_epoch: the highest epoch that its holder has used; lower ones are stale.
        streams: heartbeat streams that carry it, with the epoch of each; nearly always one at most.
        peer: address that the latest hello or attach for it came from, empty for a Unix socket and in process; None =
            there was none since it was claimed. Its agent is there: checks may go there.
        owner: who owns it in a cluster. None = this member, and always so where there is no cluster; a life = the other
            member of that life: nothing that happens here changes it; empty = nobody since its owner was lost.
        departing: a claim or removal of it is on its way to the store: nobody may act for it until that is settled.
        held_off: it was taken from another member, which may be granting slots of it: nobody may act for it until that
            one has said what it granted, or is gone.
        counts_from: judged seconds before which no silence counts, because it was under another rule.
        deadline: judged seconds of its next DEADLINE, or before it; None = none.
        armed: the deadline that the deadline heap knows; never later than `deadline`.
        encoded: belongs to the wire floor: its last bytes, with the snapshot, last_beat_wall and load that they show.
    """

    __slots__ = (
        "armed",
        "conditions",
        "counts_from",
        "deadline",
        "departing",
        "encoded",
        "epoch",
        "flaps",
        "held_off",
        "liveness",
        "load",
        "ordinal",
        "overlay",
        "owner",
        "peer",
        "pulse",
        "self_report",
        "self_report_wall",
        "snapshot",
        "streams",
        "task",
        "used_epoch",
    )

    def __init__(self, ordinal: int, snapshot: Snapshot, liveness: StatusReason) -> None:
        self.ordinal = ordinal
        self.snapshot = snapshot
        self.liveness = liveness
        self.self_report = ServiceStatus.UNSPECIFIED
        self.self_report_wall = 0.0
        self.conditions: dict[StatusReasonCode, StatusReason] = {}
        self.overlay: Overlay | None = None
        self.flaps: Flaps | None = None
        self.task: Task | None = None
        self.load: Load | None = None
        self.pulse: Pulse | None = None
        self.epoch = 0
        self.used_epoch = 0
        self.streams: dict[HeartbeatSession, int] = {}
        self.peer: str | None = None
        self.owner: str | None = None
        self.departing = False
        self.held_off = False
        self.counts_from = -math.inf
        self.deadline: float | None = None
        self.armed: float | None = None
        self.encoded: Encoded | None = None

    @property
    def service_id(self) -> str:
        """Id of the service."""
        return self.snapshot.record.spec.service_id

    @property
    def spec(self) -> ServiceSpec:
        """What its agent wrote."""
        return self.snapshot.record.spec

    @property
    def last_beat_wall(self) -> float | None:
        """When it was last heard of, by the wall clock; None = never in this life of the daemon."""
        return self.pulse.wall if self.pulse else None
