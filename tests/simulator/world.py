"""One run: everything put together, and its outcome."""

import math
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from orion_registry.client.backoff import Backoff
from orion_registry.core.config import RegistryConfig
from orion_registry.core.model import ServiceSpec
from tests.simulator.agenda import Agenda
from tests.simulator.agent import Agent
from tests.simulator.beats import Beats
from tests.simulator.daemon import Daemon
from tests.simulator.expectations import Expectations
from tests.simulator.faults import Faults
from tests.simulator.lane import Lane
from tests.simulator.network import KEEPALIVE_S, PING_TIMEOUT_S, Network
from tests.simulator.oracle import Oracle
from tests.simulator.sdk import Sdk
from tests.simulator.settings import Settings
from tests.simulator.streams import Streams
from tests.simulator.trace import Trace
from tests.simulator.truth import Broken
from tests.simulator.twin import check_all

START_S = 1_000.0
"""Where the monotonic clock stands at the begin."""

SETTLE_S = 60.0
"""After all agents have been started, before anything goes wrong."""

TIMERS_S = 0.2
"""How much earlier than its two timers say PING may find a cut, as the server sets it."""

SLICE_S = 20.0
"""Simulated time between two looks at progress."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run gave. broken: the rule that broke and what was seen, if one did."""

    settings: Settings
    seed: int
    broken: Broken | None = None
    told: list[str] = field(default_factory=list)
    steps: int = 0
    edges: int = 0
    simulated_s: float = 0.0
    wall_s: float = 0.0
    interval_s: float = 0.0
    agent_hours: float = 0.0
    sound_hours: float = 0.0
    checks: int = 0
    event_sum: int = 0
    false_deaths: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    detections: dict[str, list[float]] = field(default_factory=dict)


class World:
    """One run in the making.

    Attributes:
        mass_end: when the last fault that took many is over.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self.rng = random.Random(seed)
        self.agenda = Agenda(START_S)
        self.trace = Trace()
        self.net = Network(self.rng, settings.loss)
        self.config = RegistryConfig(
            history=1,
            beat_budget=settings.beat_budget,
            admission_rate=settings.admission_rate,
            cut_silence_s=KEEPALIVE_S + PING_TIMEOUT_S - TIMERS_S,
        )
        self.mass_end = 0.0
        self.oracle = Oracle(self)
        self.expectations = Expectations(self)
        self.beats = Beats(self)
        self.sdk = Sdk(self)
        self.lane = Lane(self)
        self.streams = Streams(self)
        self.daemon = Daemon(self)
        self.faults = Faults(self)
        self.agents = [self._make_agent(number) for number in range(settings.agents)]
        self.checks = 0
        self.interval_s = 0.0

    def _make_agent(self, number: int) -> Agent:
        names = ("calc", "draw") if number % 10 == 0 else ("calc",)
        specs = tuple(
            ServiceSpec(agent_id=f"agent-{number}", service_name=name, host="127.0.0.1", port=9_000) for name in names
        )
        agent = Agent(number, specs, Backoff(self.net.draw))
        self.oracle.adopt(agent)
        return agent

    def run(self, progress: Callable[[float, int], None] | None = None) -> Outcome:
        """Runs to the end, or until a rule breaks. progress: told the share done, and the false deaths so far."""
        begin = time.perf_counter()
        outcome = Outcome(settings=self.settings, seed=self.seed)
        try:
            self._come()
            start = self.agenda.now
            end, next_check = start + self.settings.hours * 3600.0, self.agenda.steps
            while self.agenda.now < end:
                self.agenda.run(min(self.agenda.now + SLICE_S, end))
                if self.agenda.steps >= next_check:
                    next_check = self.agenda.steps + self.settings.full_check_every
                    check_all(self)
                    self.checks += 1
                if progress is not None:
                    progress((self.agenda.now - start) / (end - start), self.oracle.false_deaths.total())
        except Broken as broken:
            outcome.broken = broken
            outcome.told = self.trace.told(broken.who)
        except Exception as error:
            outcome.broken = Broken("f", "", f"{type(error).__name__}: {error}")
            outcome.told = [*self.trace.told(""), *traceback.format_exc().splitlines()]
        self._count(outcome)
        outcome.wall_s = time.perf_counter() - begin
        return outcome

    def _come(self) -> None:
        """All agents start, and settle."""
        self.daemon.start()
        for agent in self.agents:
            self.agenda.at(self.agenda.now + self.rng.random() * self.settings.ramp_s, self.sdk.boot, agent)
        self.agenda.run(self.agenda.now + self.settings.ramp_s + SETTLE_S)
        check_all(self)
        self.oracle.counting = True
        for agent in self.agents:
            agent.sound_total = agent.run_total = 0.0
            agent.run_since = self.agenda.now
            if agent.sound_since < math.inf:
                agent.sound_total -= self.agenda.now - agent.sound_since
        self.interval_s = max((agent.conn.ordered_s for agent in self.agents if agent.conn is not None), default=0.0)
        if self.settings.faults:
            self.faults.start(self.settings.faults, self.settings.kinds)

    def _count(self, outcome: Outcome) -> None:
        now, oracle = self.agenda.now, self.oracle
        outcome.steps, outcome.edges, outcome.checks = self.agenda.steps, oracle.edges, self.checks
        outcome.interval_s, outcome.simulated_s = self.interval_s, now - START_S
        for agent in self.agents:
            outcome.agent_hours += (agent.run_total + (now - agent.run_since if agent.runs else 0.0)) / 3600.0
            sound_s = now - agent.sound_since if agent.sound_since < math.inf else 0.0
            outcome.sound_hours += (agent.sound_total + sound_s) / 3600.0
        outcome.false_deaths, outcome.faults, outcome.seen = oracle.false_deaths, self.faults.done, oracle.seen
        outcome.detections = dict(oracle.detections)
        self.trace.note(now, "", f"{self.agenda.steps} steps, {self.rng.random()}")
        outcome.event_sum = self.trace.sum
