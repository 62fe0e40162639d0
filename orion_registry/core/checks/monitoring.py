"""Active checks joined with the fleet: which there are, what is to run now, and what its end means for its service.

Services come and go by every edge, as for selection. Where a record is replaced, the one edge that tells of it shows
what becomes of its checks too: see `Fleet.rewriting`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from orion_registry.core.census import agent_of
from orion_registry.core.checks.active import ActiveCheck, CheckHealth, Freshness, Phase, Result, health_of
from orion_registry.core.checks.meaning import CONDITIONS, conditions_of_checks, event_of_checks
from orion_registry.core.checks.schedule import Run, Schedule
from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.checks.stats import HealthStats, Tallies
from orion_registry.core.checks.targets import effective_checks, target_of
from orion_registry.core.checks.threshold import DECISIVE, CheckState, standing_after
from orion_registry.core.checks.verdict import Outcome
from orion_registry.core.deadlines import Deadlines
from orion_registry.core.entry import Entry
from orion_registry.core.events import CheckNotRun
from orion_registry.core.fleet import Fleet
from orion_registry.core.history import Edge
from orion_registry.core.liveness import next_state
from orion_registry.core.model import LivenessMode, Now, Record, ServiceSpec, StatusReason
from orion_registry.errors import FailedPrecondition, Limit, Reason, ResourceExhausted, bad_field

STALE_AFTER = 3
"""Intervals without a run, or without a verdict where checks alone decide, after which a check is stale."""

AGAIN_S = 1.0
"""Time between the end of a run and another that somebody asks for: whoever asks in a loop is no load on the target."""

Ended = Callable[[ActiveCheck, "Result | None"], None]
"""Takes each end of a run; None: the check is gone, or was replaced, and will never run."""


class Monitoring:
    """The checks of a fleet. It runs nothing: `due` says what is to run, and `finish` takes what came of it.

    Instants come in as `Now` and are judged: a stall of the daemon makes no check stale.

    Attributes:
        ended: hears of each end, once the service shows it. Must not call back.
    """

    def __init__(self, fleet: Fleet, draw: Callable[[], float]) -> None:
        self._fleet = fleet
        self._schedule = Schedule(fleet.config.check_runs, fleet.config.check_runs_per_target, draw)
        self._freshness: Deadlines[Freshness] = Deadlines()
        self._checks: dict[str, tuple[ActiveCheck, ...]] = {}
        self._states: Counter[CheckState] = Counter()
        self._stale = 0
        self._made = 0
        self._tallies = Tallies()
        self.ended: Ended = lambda *_: None
        fleet.rewriting = self._rewriting

    # What is to run.

    def due(self, now: Now) -> list[Run]:
        """The runs to start now, within the caps: call it with every tick, and after each end. Every one is under way
        from now on, and must be given to `finish`.
        """
        mono = self._fleet.patience.read(now).mono
        runs = []
        for check in self._schedule.take(mono):
            entry = self._fleet.require(check.service_id)
            record = entry.snapshot.record
            run = Run(check=check, address=record.address if entry.peer is None else entry.peer)
            self._schedule.started(run, mono)
            runs.append(run)
        return runs

    def finish(self, run: Run, outcome: Outcome, now: Now) -> None:
        """A run is over. One of a check that is gone, or was replaced, or that was finished before, changes nothing."""
        now = self._fleet.patience.read(now)
        if not self._schedule.ended(run):
            return
        check, entry = run.check, self._fleet.require(run.service_id)
        self._tallies.add(outcome)
        result = Result(check=check.name, outcome=outcome, wall=now.wall)
        self._tell_if_not_run(check, entry, outcome)
        check.results.append(result)
        check.ended = now.mono
        self._count(check, -1)
        standing = standing_after(check.standing, outcome.verdict, check.spec)
        if standing.state is not check.state:
            check.since_wall = now.wall
        check.standing = standing
        if outcome.verdict in DECISIVE or entry.spec.liveness is not LivenessMode.CHECK:
            check.stale = False
            self._freshness.set(check.freshness, now.mono + check.spec.interval_s * STALE_AFTER)
        self._count(check, 1)
        self._show(entry, now)
        self.ended(check, result)

    def check_now(self, service_id: str, check: str, now: Now) -> tuple[ActiveCheck, ...]:
        """Makes a check of a service due at once, or all (empty): the next call of `ended` for each tells its end.

        Nothing is bypassed: they wait for their turn. One that runs already is not run again.

        Raises:
            NotFound: NO_SUCH_SERVICE.
            InvalidArgument: BAD_FIELD, it has no check of that name.
            FailedPrecondition: WRONG_MODE, it has no checks.
            ResourceExhausted: RATE_LIMITED, a run ended less than `AGAIN_S` ago.
        """
        mono = self._fleet.patience.read(now).mono
        self._fleet.require(service_id)
        checks = self._checks.get(service_id, ())
        if not checks:
            raise FailedPrecondition(Reason.WRONG_MODE, f"{service_id!r} has no checks: set service.checks")
        asked = tuple(one for one in checks if check in ("", one.name))
        if not asked:
            raise bad_field("check", f"one of {', '.join(one.name for one in checks)}", check)
        for one in asked:
            wait_s = one.ended + AGAIN_S - mono
            if wait_s > 0 and one.phase is Phase.TIMED:
                message = f"check: a run of {one.name!r} ended less than {AGAIN_S:g} s ago"
                raise ResourceExhausted(Reason.RATE_LIMITED, message, retry_after_s=wait_s, limit=Limit.CHECK_RUNS)
        for one in asked:
            self._schedule.hasten(one, mono)
        return asked

    # What is known.

    def health(self, service_id: str) -> tuple[CheckHealth, ...]:
        """The checks of a service, in the order of its configuration.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        self._fleet.require(service_id)
        mono = self._fleet.patience.latest
        return tuple(health_of(check, mono) for check in self._checks.get(service_id, ()))

    def stats(self) -> HealthStats:
        """All checks in numbers."""
        return HealthStats(
            checks=sum(self._states.values()),
            awaiting=self._states[CheckState.AWAITING],
            passing=self._states[CheckState.PASSING],
            failing=self._states[CheckState.FAILING],
            stale=self._stale,
            running=self._schedule.running,
            waiting=self._schedule.waiting,
            total=self._tallies.total,
            kinds=self._tallies.kinds,
        )

    # What the fleet tells.

    def edge(self, edge: Edge) -> None:
        """Follows one edge, already in the catalog."""
        if edge.after is None:
            for check in self._checks.pop(edge.service_id, ()):
                self._drop(check)
        elif edge.before is None:
            spec = edge.after.record.spec
            if (spec.checks or spec.health_check_url) and self._fleet.require(edge.service_id).owner is None:
                now = Now(mono=self._fleet.patience.latest, wall=edge.after.reasons[0].since_wall)
                self._set(edge.service_id, self._made_of(spec, now))

    def adopt(self, entry: Entry, now: Now) -> None:
        """A service came to this member, whose checks run here from now on; `now` is judged."""
        spec = entry.spec
        if (spec.checks or spec.health_check_url) and entry.service_id not in self._checks:
            self._set(entry.service_id, self._made_of(spec, now))

    def release(self, entry: Entry) -> None:
        """A service went to another member: its checks run there."""
        for check in self._checks.pop(entry.service_id, ()):
            self._drop(check)

    def advance(self, now: Now) -> None:
        """Lets time pass; `now` is judged."""
        self._schedule.ticked()
        for freshness in list(self._freshness.due(now.mono)):
            check = freshness.check
            self._count(check, -1)
            check.stale = True
            self._count(check, 1)
            self._show(self._fleet.require(check.service_id), now)

    def _rewriting(self, entry: Entry, record: Record, now: Now, anew: bool) -> None:
        """See `Fleet.rewriting`. Checks whose configuration stays go on; with another life of the agent none does."""
        before = self._checks.get(entry.service_id, ())
        if not before and not record.spec.checks and not record.spec.health_check_url:  # nearly always
            return
        if entry.owner is not None:  # its owner runs them
            return
        known = {} if anew else {check.spec: check for check in before}
        self._set(entry.service_id, self._made_of(record.spec, now, known))
        kept = set(self._checks.get(entry.service_id, ()))
        for check in before:
            if check not in kept:
                self._drop(check)
        self._settle(entry, record.spec, now)

    # Inside.

    def _made_of(
        self, spec: ServiceSpec, now: Now, known: dict[CheckSpec, ActiveCheck] | None = None
    ) -> list[ActiveCheck]:
        """The checks of a service: those that are known already, and new ones for the rest."""
        checks = []
        for effective in effective_checks(spec):
            check = known.get(effective) if known else None
            if check is None:
                self._made += 1
                target = target_of(effective)
                check = ActiveCheck(self._made, spec.service_id, agent_of(spec), effective, target, now.wall)
                self._schedule.add(check, now.mono)
                self._freshness.set(check.freshness, now.mono + effective.interval_s * STALE_AFTER)
                self._count(check, 1)
            checks.append(check)
        return checks

    def _set(self, service_id: str, checks: Iterable[ActiveCheck]) -> None:
        held = tuple(checks)
        if held:
            self._checks[service_id] = held
        else:
            self._checks.pop(service_id, None)

    def _drop(self, check: ActiveCheck) -> None:
        self._schedule.drop(check)
        self._freshness.forget(check.freshness)
        self._count(check, -1)
        self.ended(check, None)

    def _count(self, check: ActiveCheck, by: int) -> None:
        self._states[check.state] += by
        self._stale += by if check.stale else 0

    def _settle(self, entry: Entry, spec: ServiceSpec, now: Now) -> None:
        """What its checks mean, for the edge that is about to be made."""
        checks = self._checks.get(entry.service_id, ())
        alone = spec.liveness is LivenessMode.CHECK
        holding = frozenset() if alone else conditions_of_checks(checks)
        for code in CONDITIONS:
            if code not in holding:
                entry.conditions.pop(code, None)
        if alone:
            state = next_state(entry.liveness.code, event_of_checks(checks), spec.liveness)
            if state is not entry.liveness.code:
                entry.liveness = StatusReason(code=state, since_wall=now.wall)

    def _show(self, entry: Entry, now: Now) -> None:
        """What its checks mean by now, in an edge if it is something else than before."""
        checks = self._checks[entry.service_id]
        if entry.spec.liveness is LivenessMode.CHECK:
            event = event_of_checks(checks)
            if next_state(entry.liveness.code, event, LivenessMode.CHECK) is not entry.liveness.code:
                self._fleet.happened(entry, event, now)
            return
        holding = conditions_of_checks(checks)
        for code in CONDITIONS:
            if code in holding:
                self._fleet.impose(entry, code, now)
            else:
                self._fleet.lift(entry, code)

    def _tell_if_not_run(self, check: ActiveCheck, entry: Entry, outcome: Outcome) -> None:
        """An event for the first of several runs in a row that say the same: that the registry could not look."""
        verdict = outcome.verdict
        if verdict in DECISIVE or (check.results and check.results[-1].outcome.verdict is verdict):
            return
        told = CheckNotRun(
            service_id=check.service_id,
            agent_id=entry.spec.agent_id,
            namespace=entry.spec.namespace,
            check=check.name,
            verdict=verdict,
            detail=outcome.detail,
        )
        self._fleet.tell(told)
