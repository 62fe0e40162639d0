"""Builders for active checks: short ways to checks and outcomes, and a bench that plays the shell."""

from collections.abc import Callable
from typing import Any

from orion_registry.core.checks.active import ActiveCheck, CheckHealth, Result
from orion_registry.core.checks.schedule import Run
from orion_registry.core.checks.spec import CheckSpec, Probe, ProbeKind, TcpProbe
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.core.entry import Entry
from orion_registry.core.model import LivenessMode
from orion_registry.core.patience import TICK_S
from tests.building import World

CHECK = LivenessMode.CHECK
PASSED, FAILED, UNAVAILABLE, DENIED = Verdict


def make_check(name: str = "tcp", *probes: Probe, port: int = 9000, **fields: Any) -> CheckSpec:
    return CheckSpec(name=name, probes=probes or (TcpProbe(port=port),), **fields)


def make_outcome(verdict: Verdict = PASSED, kind: ProbeKind = ProbeKind.TCP, **fields: Any) -> Outcome:
    return Outcome(verdict=verdict, kind=kind, **fields)


class Bench:
    """A world whose runs end as `answer` says: with a verdict at once, or with None, until the test ends them itself.

    Attributes:
        started: every run with its instant.
        under_way: runs that have not ended.
        ends: what the hook `ended` was told.
    """

    def __init__(self, answer: Callable[[Run], Verdict | None] = lambda _: PASSED, **config: Any) -> None:
        self.world = World(**config)
        self.answer = answer
        self.started: list[tuple[float, Run]] = []
        self.under_way: list[Run] = []
        self.ends: list[tuple[ActiveCheck, Result | None]] = []
        self.monitoring.ended = lambda check, result: self.ends.append((check, result))

    @property
    def monitoring(self) -> Any:
        return self.world.registry.monitoring

    def add(self, agent_id: str = "agent", *checks: CheckSpec, **fields: Any) -> Entry:
        fields = {"liveness": CHECK, "host": "10.0.0.1", "port": 80, **fields}
        return self.world.add(agent_id, checks=checks, **fields)

    def start(self) -> list[Run]:
        """What the shell does with each tick, and after each end."""
        started: list[Run] = []
        while runs := self.monitoring.due(self.world.now):
            started += runs
            for run in runs:
                self.started.append((self.world.now.mono, run))
                self.under_way.append(run)
            for run in runs:
                verdict = self.answer(run)
                if verdict is not None:
                    self.finish(run, verdict)
        return started

    def finish(self, run: Run, verdict: Verdict = PASSED, **fields: Any) -> None:
        self.under_way.remove(run)
        self.monitoring.finish(run, make_outcome(verdict, run.spec.probes[0].kind, **fields), self.world.now)

    def pass_time(self, seconds: float) -> list[Run]:
        """Ticks go by; returns what was started."""
        runs = []
        for _ in range(round(seconds / TICK_S)):
            self.world.pass_time(TICK_S)
            runs += self.start()
        return runs

    def until_run(self, seconds: float = 40.0) -> Run:
        """Time goes by until a run begins."""
        for _ in range(round(seconds / TICK_S)):
            if runs := self.pass_time(TICK_S):
                (run,) = runs
                return run
        raise AssertionError("no run")

    def say(self, *verdicts: Verdict | None) -> None:
        """The next runs of the only check end so."""
        for verdict in verdicts:
            self.answer = answering(verdict)
            self.until_run()

    def of(self, entry: Entry) -> CheckHealth:
        """The only check of a service."""
        (check,) = self.monitoring.health(entry.service_id)
        assert isinstance(check, CheckHealth)
        return check

    def starts_of(self, service_id: str) -> list[float]:
        return [at for at, run in self.started if run.service_id == service_id]


def answering(verdict: Verdict | None) -> Callable[[Run], Verdict | None]:
    return lambda _: verdict


def codes_of(entry: Entry) -> set[str]:
    return {reason.code.name for reason in entry.snapshot.reasons}
