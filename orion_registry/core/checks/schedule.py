"""When checks run: each by its own interval, few at once at one target, some of one agent, and not too many in all.

A check that is due takes one of its target's places, then one of its agent's, or waits there for one; who has both
waits in one queue for a turn, the longest first. So a target that hangs holds up nobody but its own checks, an agent
whose targets all hang nobody but itself, and what does not move costs nothing: the work of a tick is what is due, never
what there is.
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
    """The places of one target or agent: how many are taken, and who waits for one, the longest first."""

    __slots__ = ("most", "taken", "waiting")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.waiting: OrderedDict[ActiveCheck, None] = OrderedDict()


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
                del self._lane(check, check.places).waiting[check]
                self._held_up -= 1
                self._leave(check)
            case Phase.READY:
                del self._ready[check]
                self._leave(check)
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
        self._leave(check)
        if check.phase is Phase.GONE:
            return False
        self._set(check, check.next_due)
        return True

    def _set(self, check: ActiveCheck, due: float) -> None:
        check.phase = Phase.TIMED
        self._timers.set(check, due)

    def _enter(self, check: ActiveCheck) -> None:
        """It takes the places that it needs and has not got, until one is not free: then it waits there."""
        while check.places < len(self._lanes):
            lane = self._lane(check, check.places)
            if lane.taken >= lane.most:
                check.phase = Phase.HELD_UP
                lane.waiting[check] = None
                self._held_up += 1
                return
            lane.taken += 1
            check.places += 1
        check.phase = Phase.READY
        self._ready[check] = None

    def _leave(self, check: ActiveCheck) -> None:
        """Its places are free: whoever waits for one longest goes on, and to the end of the queue of all."""
        while check.places:
            check.places -= 1
            lane = self._lane(check, check.places)
            lane.taken -= 1
            if lane.waiting:
                self._held_up -= 1
                self._enter(lane.waiting.popitem(last=False)[0])
            elif not lane.taken:
                self._close(check, check.places)

    def _lane(self, check: ActiveCheck, place: int) -> Lane:
        """Of its target (0) or its agent (1)."""
        if place == 0:
            return self._lanes[0].setdefault(check.target, Lane(self._per_target))
        return self._lanes[1].setdefault(check.agent, Lane(self._per_agent))

    def _close(self, check: ActiveCheck, place: int) -> None:
        if place == 0:
            del self._lanes[0][check.target]
        else:
            del self._lanes[1][check.agent]
