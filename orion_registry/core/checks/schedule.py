"""When checks run: each by its own interval, few at once at one target, some of one agent, and not too many in all.

A check that is due takes a place of its target's and one of its agent's, both or neither, or waits where there is
none; who has waited for its agent's keeps that one, and goes first at its target. Who has both waits in one queue for
a turn, the longest first. So a target that hangs holds up nobody but its own checks, an agent whose targets all hang
nobody but itself, not even at targets that it shares with others, and what does not move costs nothing: the work of a
tick is what is due, never what there is.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from orion_registry.core.checks.active import ActiveCheck, Agent, Phase, Target
from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.deadlines import Deadlines
from orion_registry.core.patience import TICK_S

STARTS = 100
"""Runs started with one tick: 5,000 that begin together are spread over 5 s, and no tick takes long."""

AGENTS_SHARE = 4
"""An agent's checks take at most one in so many of the places of all, so that it needs several to starve the others."""

FIRST_RUN_S = 5.0
"""The first run is due within this, or within the interval if that is less: soon, and not all together."""

TARGET, AGENT, TARGET_NEXT = range(3)
"""What a check waits for: a place of its target's, of its agent's, or of its target's with its agent's in hand."""

JITTER = 0.1
"""Share of the interval by which two starts may be nearer or farther: checks that began together drift apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A run to start.

    Attributes:
        check: what it is a run of, as the registry keeps it.
        address: of the peer that the service's agent connects from; empty for a Unix socket and in process.
    """

    check: ActiveCheck
    address: str

    @property
    def spec(self) -> CheckSpec:
        """What to do, with nothing left to fill in."""
        return self.check.spec

    @property
    def service_id(self) -> str:
        """Whose check it is."""
        return self.check.service_id


class Lane:
    """The places of one target or agent: how many are taken, and who waits for one, the longest first.

    Those with a place of their agent's in hand (first) go before the others (waiting).
    """

    __slots__ = ("first", "most", "taken", "waiting")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.first: OrderedDict[ActiveCheck, None] = OrderedDict()
        self.waiting: OrderedDict[ActiveCheck, None] = OrderedDict()

    def line(self, waits_for: int) -> OrderedDict[ActiveCheck, None]:
        """Where who waits for this stands."""
        return self.first if waits_for == TARGET_NEXT else self.waiting


class Schedule:
    """Which checks are due, wait and run. Instants are judged seconds.

    Args:
        runs: at once in all.
        per_target: at once at one target.
        draw: uniform in [0, 1).
    """

    __slots__ = (
        "_draw",
        "_held_up",
        "_lanes",
        "_per_agent",
        "_per_target",
        "_ready",
        "_running",
        "_runs",
        "_starts",
        "_timers",
    )

    def __init__(self, runs: int, per_target: int, draw: Callable[[], float]) -> None:
        self._runs = runs
        self._per_target = per_target
        self._per_agent = max(1, runs // AGENTS_SHARE)
        self._draw = draw
        self._timers: Deadlines[ActiveCheck] = Deadlines()
        self._lanes: tuple[dict[Target, Lane], dict[Agent, Lane]] = ({}, {})
        self._ready: OrderedDict[ActiveCheck, None] = OrderedDict()  # O(1) at both ends, which a dict is not
        self._running: dict[ActiveCheck, Run] = {}
        self._held_up = 0
        self._starts = STARTS

    @property
    def running(self) -> int:
        """Runs under way, those of checks that are gone included."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Checks that are due and wait."""
        return self._held_up + len(self._ready)

    def ticked(self) -> None:
        """A tick came: as many may start again."""
        self._starts = STARTS

    def add(self, check: ActiveCheck, mono: float) -> None:
        """Takes in a check."""
        span_s = min(check.spec.interval_s, FIRST_RUN_S) - TICK_S
        self._set(check, mono + self._draw() * span_s)

    def drop(self, check: ActiveCheck) -> None:
        """A check is gone. A run of it that is under way keeps its places until it ends."""
        match check.phase:
            case Phase.TIMED:
                self._timers.forget(check)
            case Phase.HELD_UP:
                target, agent = self._lanes_of(check)
                del (agent if check.waits_for == AGENT else target).line(check.waits_for)[check]
                self._held_up -= 1
                self._leave(check, *([agent] if check.waits_for == TARGET_NEXT else []))
            case Phase.READY:
                del self._ready[check]
                self._leave(check, *self._lanes_of(check))
        check.phase = Phase.GONE

    def hasten(self, check: ActiveCheck, mono: float) -> None:
        """A check is due now, unless it waits or runs already."""
        if check.deadline is not None:
            self._timers.set(check, min(mono, check.deadline))

    def take(self, mono: float) -> list[ActiveCheck]:
        """The checks to start now: each has to be given to `started`."""
        for check in self._timers.due(mono):
            self._enter(check)
        room = min(self._runs - len(self._running), self._starts, len(self._ready))
        return [self._ready.popitem(last=False)[0] for _ in range(room)]

    def started(self, run: Run, mono: float) -> None:
        """A run begins. The next is drawn from here, so that it starts within the jitter though ticks have a grain."""
        check = run.check
        span_s = check.spec.interval_s
        check.next_due = mono + span_s * (1 - JITTER) + self._draw() * (span_s * 2 * JITTER - TICK_S)
        check.phase = Phase.RUNNING
        self._running[check] = run
        self._starts -= 1

    def ended(self, run: Run) -> bool:
        """A run is over. Returns whether it was under way, and its check is still there."""
        check = run.check
        if self._running.get(check) is not run:
            return False
        del self._running[check]
        self._leave(check, *self._lanes_of(check))
        if check.phase is Phase.GONE:
            return False
        self._set(check, check.next_due)
        return True

    def _set(self, check: ActiveCheck, due: float) -> None:
        check.phase = Phase.TIMED
        self._timers.set(check, due)

    def _enter(self, check: ActiveCheck) -> None:
        """It takes both its places, or none: then it waits for the first that is not free.

        A target's place that is held while an agent's is waited for stands idle, and would keep out whoever needs that
        one alone. An agent's that it has waited for it keeps, and goes first at its target: else it could change lines
        for ever, and what stands idle is its own agent's, for one run at most of each that goes before it.
        """
        target, agent = self._lanes_of(check)
        came_by = check.waits_for if check.phase is Phase.HELD_UP else None
        if target.taken >= target.most:
            keeps = came_by == AGENT
            agent.taken += keeps
            self._hold_up(check, target, TARGET_NEXT if keeps else TARGET)
        elif came_by != TARGET_NEXT and agent.taken >= agent.most:
            self._hold_up(check, agent, AGENT)
        else:
            target.taken += 1
            agent.taken += came_by != TARGET_NEXT
            check.phase = Phase.READY
            self._ready[check] = None
        self._close_idle(check)

    def _hold_up(self, check: ActiveCheck, lane: Lane, waits_for: int) -> None:
        check.phase, check.waits_for = Phase.HELD_UP, waits_for
        lane.line(waits_for)[check] = None
        self._held_up += 1

    def _leave(self, check: ActiveCheck, *lanes: Lane) -> None:
        """Its places there are free: who waits for one, the longest first, goes on to the end of the queue of all, or
        waits for the other now.
        """
        for lane in lanes:
            lane.taken -= 1
        for lane in lanes:
            while lane.taken < lane.most and (line := lane.first or lane.waiting):
                self._held_up -= 1
                self._enter(line.popitem(last=False)[0])
        self._close_idle(check)

    def _lanes_of(self, check: ActiveCheck) -> tuple[Lane, Lane]:
        """Of its target and of its agent; one that there is not yet is opened."""
        targets, agents = self._lanes
        if (target := targets.get(check.target)) is None:
            target = targets[check.target] = Lane(self._per_target)
        if (agent := agents.get(check.agent)) is None:
            agent = agents[check.agent] = Lane(self._per_agent)
        return target, agent

    def _close_idle(self, check: ActiveCheck) -> None:
        """Lanes of its where nobody has a place, or waits for one, go."""
        targets, agents = self._lanes
        target, agent = self._lanes_of(check)
        if not (target.taken or target.waiting):
            del targets[check.target]
        if not (agent.taken or agent.waiting):
            del agents[check.agent]
