"""One check of a registered service as it lives: where it stands, when it runs, what its last runs said."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.checks.threshold import CheckState, Standing
from orion_registry.core.checks.verdict import Outcome

RESULTS = 20
"""Runs kept for one check; the oldest go."""

Target = tuple[str, int]
"""Host and port that the first probe of a check goes to: what a cap on runs at once is counted by."""

Agent = tuple[str, str]
"""Namespace and agent_id of whose check it is: what another is counted by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The end of one run of a check; wall is when, a label."""

    check: str
    outcome: Outcome
    wall: float


class Phase(Enum):
    """Where a check is between two runs."""

    TIMED = auto()
    """Its next run is not due yet."""
    HELD_UP = auto()
    """It is due, and waits for other runs at its target, or of its agent."""
    READY = auto()
    """It is due, and waits for its turn among all."""
    RUNNING = auto()
    GONE = auto()
    """Its service has it no more."""


class Freshness:
    """The timer until a check is stale (see `Deadlines`)."""

    __slots__ = ("armed", "check", "deadline", "ordinal")

    def __init__(self, check: ActiveCheck) -> None:
        self.check = check
        self.ordinal = check.ordinal
        self.deadline: float | None = None
        self.armed: float | None = None


class ActiveCheck:
    """A check that runs. Only the core changes it; it is the same object as long as its configuration stays.

    Attributes:
        ordinal: tells it from all others.
        service_id: whose it is, and agent whose that is.
        spec: what to do, with nothing left to fill in; see `targets.effective_checks`.
        target: where it goes.
        standing: where it stands, and since_wall since when (a label).
        stale: it has not been run, or said nothing, for too long.
        results: its last `RESULTS` runs, the oldest first.
        ended: judged seconds of its last run's end; -inf = there was none.
        phase: where it is between two runs; belongs to `Schedule`, as do deadline (judged seconds when it is due; None
            unless `Phase.TIMED`), armed, next_due (of a running one: when it is due again), and waits_for (of one that
            is held up: see `schedule`).
        freshness: the timer until it is stale.
    """

    __slots__ = (
        "agent",
        "armed",
        "deadline",
        "ended",
        "freshness",
        "next_due",
        "ordinal",
        "phase",
        "results",
        "service_id",
        "since_wall",
        "spec",
        "stale",
        "standing",
        "target",
        "waits_for",
    )

    def __init__(
        self, ordinal: int, service_id: str, agent: Agent, spec: CheckSpec, target: Target, wall: float
    ) -> None:
        self.ordinal = ordinal
        self.service_id = service_id
        self.agent = agent
        self.spec = spec
        self.target = target
        self.standing = Standing()
        self.since_wall = wall
        self.stale = False
        self.results: deque[Result] = deque(maxlen=RESULTS)
        self.ended = -math.inf
        self.phase = Phase.GONE  # until the schedule takes it
        self.deadline: float | None = None
        self.armed: float | None = None
        self.next_due = 0.0
        self.waits_for = 0
        self.freshness = Freshness(self)

    @property
    def name(self) -> str:
        """Its name, unique within its service."""
        return self.spec.name

    @property
    def state(self) -> CheckState:
        """Where it stands."""
        return self.standing.state


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckHealth:
    """One check, for people.

    Attributes:
        name: its name.
        state: where it stands, and since_wall since when.
        since_wall: a label.
        stale: it has had no run, or, where checks alone decide, no verdict, for three intervals.
        passes, failures: runs in a row.
        interval_s: time between two runs.
        next_run_s: time until the next run is due; 0 = it runs or waits for its turn.
        results: its last runs, the oldest first.
    """

    name: str
    state: CheckState
    since_wall: float
    stale: bool
    passes: int
    failures: int
    interval_s: float
    next_run_s: float
    results: tuple[Result, ...]


def health_of(check: ActiveCheck, mono: float) -> CheckHealth:
    """A check as it is at an instant in judged seconds."""
    return CheckHealth(
        name=check.name,
        state=check.state,
        since_wall=check.since_wall,
        stale=check.stale,
        passes=check.standing.passes,
        failures=check.standing.failures,
        interval_s=check.spec.interval_s,
        next_run_s=0.0 if check.deadline is None else max(0.0, check.deadline - mono),
        results=tuple(check.results),
    )
