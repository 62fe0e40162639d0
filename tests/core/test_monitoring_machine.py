"""Active checks under anything in any order, beside a slow and obvious twin.

Caps are never overrun; every check runs within its bounds while there is room; statuses are what the verdicts say.
"""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orion_registry.core.checks.schedule import Run
from orion_registry.core.checks.spec import CheckSpec, TcpProbe
from orion_registry.core.checks.verdict import Verdict
from orion_registry.core.entry import Entry
from orion_registry.core.model import LivenessMode
from orion_registry.core.patience import TICK_S
from orion_registry.errors import ResourceExhausted
from tests.building import OTHER_SECRET, SECRET, STATIC, ref_of
from tests.core.checking import CHECK, FAILED, PASSED, Bench, codes_of

NAMES = ("a", "b", "c", "d")
RUNS, PER_TARGET, PER_AGENT = 3, 2, 2
GRAIN_S = 1e-6

names, pick = st.sampled_from(NAMES), st.integers(0, 1_000)
modes, secrets = st.sampled_from([CHECK, STATIC]), st.sampled_from([SECRET, SECRET, OTHER_SECRET])
verdicts = st.sampled_from([PASSED, PASSED, FAILED, FAILED, *Verdict])
checks_given = st.lists(
    st.builds(
        CheckSpec,
        name=st.sampled_from("xyz"),
        probes=st.tuples(st.builds(TcpProbe, port=st.sampled_from([1, 1, 2]))),
        interval_s=st.sampled_from([1.0, 2.0, 5.0]),
        fall=st.integers(1, 2),
        rise=st.integers(1, 2),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda check: check.name,
).map(tuple)


class TwinCheck:
    """One check, told by what happened to it."""

    def __init__(self, spec: CheckSpec, born: float) -> None:
        self.spec = spec
        self.born = born
        self.row: list[Verdict] = []
        self.starts: list[float] = []
        self.asked = False
        self.fresh = born
        self.ended_at: float | None = None
        self.stale = False

    @property
    def port(self) -> int:
        (probe,) = self.spec.probes
        assert isinstance(probe, TcpProbe)
        return probe.port

    def latest_start(self) -> float:
        """When it has to start, if there is room."""
        if self.starts:
            return self.starts[-1] + self.spec.interval_s * 1.1
        return self.born + min(5.0, self.spec.interval_s)

    def state(self) -> str:
        """By the whole row."""
        row, fall, rise = self.row, self.spec.fall, self.spec.rise
        state = "AWAITING"
        for end in range(1, len(row) + 1):
            if row[end - 1] is PASSED and (state == "AWAITING" or row[max(0, end - rise) : end] == [PASSED] * rise):
                state = "PASSING"
            elif row[max(0, end - fall) : end] == [FAILED] * fall:
                state = "FAILING"
        return state


class TwinService:
    def __init__(self, mode: LivenessMode) -> None:
        self.mode = mode
        self.checks: dict[str, TwinCheck] = {}

    def configure(self, specs: tuple[CheckSpec, ...], now: float, *, anew: bool) -> None:
        known = {} if anew else self.checks
        kept = {check.spec.name: check for check in known.values() if check.spec in specs}
        self.checks = {spec.name: kept.get(spec.name) or TwinCheck(spec, now) for spec in specs}

    def codes(self) -> set[str]:
        states = [check.state() for check in self.checks.values()]
        stale = any(check.stale for check in self.checks.values())
        if self.mode is STATIC:
            return {"STATIC", *["CHECK_FAILED"] * ("FAILING" in states), *["CHECK_STALE"] * stale}
        if "FAILING" in states:
            return {"CHECK_FAILED"}
        if "AWAITING" in states:
            return {"AWAITING_CHECK"}
        return {"CHECK_STALE"} if stale else {"CHECK_OK"}


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(lambda _: None, check_runs=RUNS, check_runs_per_target=PER_TARGET)
        self.bench.monitoring._schedule._per_agent = PER_AGENT
        self.twin: dict[str, TwinService] = {}
        self.entries: dict[str, Entry] = {}
        self.secrets: dict[str, str] = {}
        self.running: list[tuple[Run, str, TwinCheck]] = []

    @property
    def now(self) -> float:
        return self.bench.world.now.mono

    def go(self) -> None:
        """The shell starts what is due; each start has to be one that was to come."""
        agents = {entry.service_id: name for name, entry in self.entries.items()}
        for run in self.bench.start():
            name = agents[run.service_id]
            check = self.twin[name].checks[run.spec.name]
            assert check not in [running for _, _, running in self.running], "never twice at once"
            if check.starts and not check.asked:
                assert self.now >= check.starts[-1] + check.spec.interval_s * 0.9 - GRAIN_S
            check.starts.append(self.now)
            check.asked = False
            self.running.append((run, name, check))
        self.on_time()

    def on_time(self) -> None:
        """Whoever is overdue has no room: runs take all places, or those of its target or agent."""
        ports = Counter(run.spec.probes[0].port for run, _, _ in self.running)  # type: ignore[union-attr]
        targets, _ = self.bench.monitoring._schedule._lanes
        in_hand = Counter(check.agent[1] for lane in targets.values() for check in lane.first)
        agents = self.agents() + in_hand
        busy = [check for _, _, check in self.running]
        late = [
            (name, check)
            for name, service in self.twin.items()
            for check in service.checks.values()
            if check not in busy and (check.asked or self.now > check.latest_start() + GRAIN_S)
        ]
        for name, check in late:
            full = agents[name] == PER_AGENT or ports[check.port] == PER_TARGET
            assert len(self.running) == RUNS or full, "no place stands idle that somebody waits for"

    def agents(self) -> Counter[str]:
        return Counter(run.check.agent[1] for run, _, _ in self.running)

    @rule(name=names, mode=modes, specs=checks_given, secret=secrets)
    def register(self, name: str, mode: LivenessMode, specs: tuple[CheckSpec, ...], secret: str) -> None:
        """For the first time, or again: by the same life of the agent if it brings the same secret and mode."""
        self.entries[name] = self.bench.add(name, *specs, liveness=mode, secret=secret)
        service = self.twin.get(name)
        anew = service is None or service.mode is not mode or self.secrets[name] != secret
        self.twin[name] = service = TwinService(mode) if service is None or anew else service
        service.configure(specs, self.now, anew=anew)
        self.secrets[name] = secret

    @precondition(lambda self: self.entries)
    @rule(which=pick, specs=checks_given)
    def update(self, which: int, specs: tuple[CheckSpec, ...]) -> None:
        name = sorted(self.entries)[which % len(self.entries)]
        self.bench.world.update(ref_of(self.entries[name], self.secrets[name]), ("checks",), checks=specs)
        self.twin[name].configure(specs, self.now, anew=False)

    @precondition(lambda self: self.entries)
    @rule(which=pick)
    def remove(self, which: int) -> None:
        name = sorted(self.entries)[which % len(self.entries)]
        self.bench.world.remove(self.entries.pop(name).service_id)
        del self.twin[name]

    @rule(ticks=st.integers(1, 15))
    def tick(self, ticks: int) -> None:
        for _ in range(ticks):
            self.bench.world.pass_time(TICK_S)
            for service in self.twin.values():
                for check in service.checks.values():
                    check.stale = check.stale or self.now >= check.fresh + check.spec.interval_s * 3
            self.go()

    @precondition(lambda self: self.running)
    @rule(which=pick, verdict=verdicts)
    def end(self, which: int, verdict: Verdict) -> None:
        run, name, check = self.running.pop(which % len(self.running))
        self.bench.finish(run, verdict)
        service = self.twin.get(name)
        if service is not None and service.checks.get(check.spec.name) is check:
            decisive = verdict in {PASSED, FAILED}
            check.row += [verdict] * decisive
            check.ended_at = self.now
            if decisive or service.mode is STATIC:
                check.stale, check.fresh = False, self.now
        self.go()

    @precondition(lambda self: self.entries)
    @rule(which=pick)
    def ask(self, which: int) -> None:
        name = sorted(self.entries)[which % len(self.entries)]
        checks = self.twin[name].checks.values()
        try:
            self.bench.monitoring.check_now(self.entries[name].service_id, "", self.bench.world.now)
        except ResourceExhausted:
            assert any(check.ended_at is not None and check.ended_at > self.now - 1.0 - GRAIN_S for check in checks)
            return
        busy = [running for _, _, running in self.running]
        for check in checks:
            check.asked = check.asked or check not in busy
        self.go()

    @invariant()
    def caps_hold(self) -> None:
        assert len(self.running) <= RUNS
        ports = Counter(run.spec.probes[0].port for run, _, _ in self.running)  # type: ignore[union-attr]
        assert all(count <= PER_TARGET for count in ports.values())
        assert all(count <= PER_AGENT for count in self.agents().values())

    @invariant()
    def statuses_are_what_verdicts_say(self) -> None:
        for name, entry in self.entries.items():
            assert codes_of(entry) == self.twin[name].codes()
            states = [health.state.name for health in self.bench.monitoring.health(entry.service_id)]
            assert states == [check.state() for check in self.twin[name].checks.values()]

    @invariant()
    def figures_fit(self) -> None:
        checks = [check for service in self.twin.values() for check in service.checks.values()]
        states = Counter(check.state() for check in checks)
        stats: Any = self.bench.monitoring.stats()
        assert (stats.checks, stats.running) == (len(checks), len(self.running))
        counts = {"AWAITING": stats.awaiting, "PASSING": stats.passing, "FAILING": stats.failing}
        assert {state: count for state, count in counts.items() if count} == states
        assert stats.stale == sum(check.stale for check in checks)

    def teardown(self) -> None:
        """When all has ended and gone, nothing is left."""
        for run, _, _ in self.running:
            self.bench.finish(run)
        for entry in self.entries.values():
            self.bench.world.remove(entry.service_id)
        stats: Any = self.bench.monitoring.stats()
        assert (stats.checks, stats.running, stats.waiting, stats.stale) == (0, 0, 0, 0)
        assert self.bench.monitoring._schedule._lanes == ({}, {})


TestMonitoringMachine: Any = Machine.TestCase
TestMonitoringMachine.settings = settings(
    stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
