"""The world of a scenario: a real core with a store that takes everything at once, agents, and virtual time."""

from collections.abc import Callable
from dataclasses import replace

from orion_registry.core import limits
from orion_registry.core.checks.schedule import Run
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.core.commands import Command, Register, Registered, Remove, Result, SetOverlay, Unregister, Update
from orion_registry.core.config import RegistryConfig
from orion_registry.core.facts import Delete, DeleteOverlay, Fact, Put, PutOverlay, ReserveEpochs, Stored
from orion_registry.core.frames import (
    AgentFrame,
    Beat,
    Detach,
    GoAway,
    GoAwayReason,
    Goodbye,
    GoodbyeReason,
    Hello,
    ServiceBeat,
)
from orion_registry.core.history import Edge
from orion_registry.core.model import (
    Actor,
    LivenessMode,
    Load,
    Now,
    Record,
    RemovalReason,
    ServiceSpec,
    ServiceStatus,
    SessionRef,
    Snapshot,
)
from orion_registry.core.overlay import Overlay
from orion_registry.core.registry import Registry
from orion_registry.core.selector import Selector
from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.server.registry_config import PING_SLACK_S
from orion_registry.testing.entropy import SeededEntropy
from tests.scenarios.agents import Agent, Held, Stream
from tests.scenarios.timing import Timing

LOCAL = Actor(address="127.0.0.1")


class World:
    """A registry, its store and its agents.

    Attributes:
        edges: every edge that no `events` command has shown yet, with its time in milliseconds.
    """

    def __init__(self, config: RegistryConfig) -> None:
        self.config = config
        self.timing = Timing(self.tick)
        self.agents: dict[str, Agent] = {}
        self.edges: list[tuple[int, Edge]] = []
        self._records: dict[str, Record] = {}
        self._overlays: dict[str, Overlay] = {}
        self._epochs_below = 1
        self._woken: list[tuple[Agent, Stream]] = []
        self._found: dict[tuple[str, str], Verdict | None] = {}
        self._hanging: list[Run] = []
        self._lives = 0
        self.registry = self._begin()

    @property
    def now(self) -> Now:
        return self.timing.now

    def _begin(self) -> Registry:
        self._lives += 1
        entropy = SeededEntropy(self._lives)
        # Draws are all one half: checks run in the middle of what the jitter allows.
        registry = Registry(self.config, entropy, f"life {self._lives}", self._publish, draw=lambda: 0.5)
        self._hanging = []
        stored = Stored(
            records=tuple(self._records.values()),
            epochs_below=self._epochs_below,
            overlays=tuple(self._overlays.values()),
        )
        registry.restore_epochs(stored)
        self._reserve(registry)
        registry.restore(stored, self.now)
        return registry

    def _reserve(self, registry: Registry) -> None:
        if (fact := registry.epochs_wanted) is not None:
            self._store(fact)
            registry.epochs_reserved(fact)

    def _publish(self, edge: Edge) -> None:
        self.edges.append((self.timing.ms, edge))

    # Durable commands.

    def execute(self, command: Command) -> Result:
        """Plans, stores and applies a command."""
        plan = self.registry.plan(command, LOCAL, self.now)
        for fact in getattr(plan, "facts", ()):
            self._store(fact)
        return self.registry.apply(plan, self.now)

    def _store(self, fact: Fact) -> None:
        match fact:
            case Put():
                self._records[fact.record.service_id] = fact.record
            case Delete():
                del self._records[fact.service_id]
            case PutOverlay():
                self._overlays[fact.overlay.key] = fact.overlay
            case DeleteOverlay():
                del self._overlays[fact.key]
            case ReserveEpochs():
                self._epochs_below = fact.below

    def register(self, agent: Agent, spec: ServiceSpec, secret: str, *, takeover: bool) -> None:
        """Registers a service, or claims it again."""
        done = self.execute(Register(spec=spec, secret=secret, takeover=takeover))
        assert isinstance(done, Registered)
        held = Held(service_id=spec.service_id, mode=spec.liveness, secret=secret, epoch=done.entry.epoch)
        agent.services[held.service_id] = held
        self._read_woken()

    def update(self, ref: SessionRef, changed: dict[str, object]) -> None:
        """Changes fields of a service."""
        present = self.registry.get(ref.service_id).spec
        paths = tuple(name.removesuffix("_s") for name in changed)
        self.execute(Update(ref=ref, spec=replace(present, **changed), paths=paths))  # type: ignore[arg-type]

    def unregister(self, agent: Agent, held: Held) -> None:
        """Takes a service away for its agent."""
        self.execute(Unregister(ref=held.ref))
        del agent.services[held.service_id]
        self._read_woken()

    def set_overlay(self, command: SetOverlay) -> None:
        """What an operator does; agents read what they are told of it."""
        self.execute(command)
        self._read_woken()

    def remove(self, service_id: str) -> None:
        """An operator removes a service."""
        self.execute(Remove(service_id=service_id, reason=RemovalReason.REMOVED))
        self._read_woken()

    # Streams.

    def hello(self, agent: Agent, *, epoch: int = 0, lost: bool = False) -> list[RegistryError]:
        """Opens a stream; lost: the answer never arrives."""
        news: list[Stream] = []
        session = self.registry.open_stream(LOCAL, lambda: self._woken.extend((agent, stream) for stream in news))
        stream = Stream(number=len(agent.streams) + 1, session=session, reads=not lost, heard_ms=self.timing.ms)
        news.append(stream)
        agent.streams.append(stream)
        return self.send(agent, stream, Hello(agent_id=agent.name, sessions=agent.requests(epoch)))

    def send(self, agent: Agent, stream: Stream, frame: AgentFrame) -> list[RegistryError]:
        """Has the registry read a frame, and the agent the answers; returns the errors among them."""
        stream.heard_ms = agent.heard_ms = self.timing.ms
        stream.session.receive(frame, self.now)
        errors = agent.read(stream)
        if stream.session.end is not None:
            errors.append(stream.session.end)
        self._end_if_over(stream)
        self._read_woken()
        return errors

    def end(self, stream: Stream, how: str) -> None:
        """The registry learns that a stream is over; calling it again does nothing."""
        if stream.open:
            stream.open = False
            stream.unseen.append(f"end {how}")
            self.registry.close_stream(stream.session, self.now)
            self._read_woken()

    def _read_woken(self) -> None:
        """Agents read what the registry sent them unasked."""
        while self._woken:
            agent, stream = self._woken.pop(0)
            agent.read(stream)
            self._end_if_over(stream)

    def _end_if_over(self, stream: Stream) -> None:
        session = stream.session
        if session.ended:
            self.end(stream, "OK" if session.end is None else f"{session.end.reason}: {session.end.message}")

    def goodbye(self, agent: Agent, stream: Stream, reason: GoodbyeReason) -> None:
        """The agent says that it leaves; what it registered goes if it is STOPPING."""
        agent.beats(None)
        self.send(agent, stream, Goodbye(reason=reason))
        if reason is GoodbyeReason.STOPPING:
            for service_id, entry in list(stream.session.services.items()):
                epoch = entry.streams[stream.session]
                self.execute(Remove(service_id=service_id, reason=RemovalReason.UNREGISTERED, at_epoch=epoch))
        stream.session.finish(None)
        self._read_woken()

    def detach(self, agent: Agent, stream: Stream, service_ids: list[str]) -> None:
        """Takes services off a stream that goes on."""
        self.send(agent, stream, Detach(service_ids=tuple(service_ids)))

    # Beats.

    def beat(
        self, agent: Agent, stream: Stream | None, news: Callable[[str], ServiceBeat] | None = None
    ) -> list[RegistryError]:
        """One beat of an agent: on its stream if it has one open, and unary for its services of mode TTL."""
        errors: list[RegistryError] = []
        if stream is not None:
            stream.sent += 1
            told = () if news is None else tuple(news(held.service_id) for held in agent.held(LivenessMode.STREAM))
            errors += self.send(agent, stream, Beat(seq=stream.sent, services=told))
        for held in agent.held(LivenessMode.TTL):
            agent.heard_ms = self.timing.ms
            load: Load | None = None
            status = ServiceStatus.UNSPECIFIED
            if news is not None:
                told_now = news(held.service_id)
                load, status = told_now.load, told_now.self_status
            try:
                self.registry.beat(held.ref, load, status, self.now)
            except RegistryError as error:
                errors.append(error)
        return errors

    def keep_beating(self, agent: Agent, every_ms: int) -> None:
        """From now on an agent beats by itself; every_ms 0: as often as it is told."""
        agent.beats(every_ms)
        self._plan_beat(agent, max(self.timing.ms, agent.heard_ms + agent.interval_ms()))

    def _plan_beat(self, agent: Agent, ms: int) -> None:
        course = agent.course

        def beat() -> None:
            if agent.course == course and (agent.stream() is not None or agent.held(LivenessMode.TTL)):
                self.beat(agent, agent.stream())
                self._plan_beat(agent, ms + agent.interval_ms())

        self.timing.at(ms, beat)

    def cut(self, agent: Agent, stream: Stream) -> None:
        """Nothing of an agent arrives any more. PING ends its stream, so much time after the last that did."""
        agent.beats(None)
        ping_s = self.config.cut_silence_s + PING_SLACK_S
        heard_ms = stream.heard_ms

        def ping() -> None:
            if stream.heard_ms == heard_ms:
                self.end(stream, "(no answer to PING)")

        self.timing.at(heard_ms + round(ping_s * 1_000), ping)

    # Active checks.

    def finds(self, service_id: str, check: str, verdict: Verdict | None) -> None:
        """What runs of a check find from now on, or those of all checks of a service; None: they do not end."""
        self._found = {key: found for key, found in self._found.items() if key[0] != service_id or check}
        self._found[service_id, check] = verdict
        hanging, self._hanging = self._hanging, []
        for run in hanging:
            self._end_run(run)

    def check_now(self, service_id: str, check: str) -> None:
        """Somebody asks for checks to be run now."""
        self.registry.monitoring.check_now(service_id, check, self.now)
        self._run_checks()

    def _run_checks(self) -> None:
        while runs := self.registry.monitoring.due(self.now):
            for run in runs:
                self._end_run(run)

    def _end_run(self, run: Run) -> None:
        found = self._found.get((run.service_id, run.spec.name), self._found.get((run.service_id, ""), Verdict.PASSED))
        if found is None:
            self._hanging.append(run)
        else:
            outcome = Outcome(verdict=found, kind=run.spec.probes[0].kind)
            self.registry.monitoring.finish(run, outcome, self.now)

    # The daemon itself.

    def tick(self) -> None:
        """What the ticker does."""
        for removal in self.registry.advance(self.now):
            self.execute(removal)
        self._reserve(self.registry)
        self._run_checks()
        self._read_woken()

    def restart(self, away_ms: int, *, announced: bool) -> None:
        """The daemon goes away, killed or in order, and another one starts on what was stored."""
        if announced:
            self.registry.stop_judging()
            away = GoAway(reason=GoAwayReason.SHUTDOWN, reconnect_after_s=self.config.go_away_s)
        for agent in self.agents.values():
            agent.beats(None)
            for stream in agent.streams:
                if stream.open and announced:
                    stream.session.go_away(away)
                    stream.session.finish(Unavailable(Reason.NOT_SERVING, "the registry is starting or stopping"))
            self._read_woken()
            for stream in agent.streams:
                if stream.open:
                    stream.open = False
                    stream.unseen.append("end (the registry is gone)")
        self.timing.stand_until(self.timing.ms + away_ms)
        self.timing.catch_up()
        self.registry = self._begin()

    # Who is meant.

    def agent(self, name: str) -> Agent:
        """An agent by name; it is made if it was not there."""
        return self.agents.setdefault(name, Agent(name=name))

    def snapshots(self) -> list[Snapshot]:
        """All services, in the order of their registration."""
        found: list[Snapshot] = []
        token = ""
        while True:
            page = self.registry.discover(Selector(include_not_ready=True), limits.PAGE_MAX, token)
            found += [entry.snapshot for entry in page.entries]
            if not (token := page.token_after(len(page.entries) - 1)):
                return found
