"""Judges every edge that the registry publishes, knowing the truth. Each check costs the same whatever the fleet.

The rules, as the report names them:

a   no live agent within reach is UNHEALTHY for another reason than the network's: SILENT only after its beats did not
    arrive for the silence span, without the daemon's own stalls; DISCONNECTED only if its stream ended, and not because
    the daemon was stalled; NOT_SEEN only if it did not come back
b   whoever is dead, hung, blocked or cut off is not ready by its deadline, but for an announced mass hold
c   states follow the one table of transitions, status follows the table of reasons, revisions rise by one
    hellos are let in at the admission rate; a mass cut is announced; more than three falls a minute bring PROBATION
d   epochs rise with each session, and the end of an old session says nothing of a newer one
e   no service is lost, and no honest agent is turned away for good
f   nothing raises what it must not
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from orion_registry.core.frames import Sessions
from orion_registry.core.history import Edge
from orion_registry.core.keys import service_id_of
from orion_registry.core.mass_hold import HOLD_S
from orion_registry.core.model import RemovalReason, ServiceStatus, Snapshot, StatusReasonCode
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.patience import SHAKING_STALL_S, TICK_S
from orion_registry.errors import RegistryError
from tests.simulator.agent import Agent, Conn, Fault
from tests.simulator.tables import CONDITIONS, DEAD, EDGES, LIVE, LOOKS, SEVERITY

if TYPE_CHECKING:
    from tests.simulator.world import World

AFTER_STALL_S = 8.0
"""How much later the dead may be found after the daemon was away."""

ROUND_S = 1e-6
"""Sums of floats differ by less."""


class Broken(Exception):
    """An invariant does not hold."""

    def __init__(self, rule: str, who: str, what: str) -> None:
        super().__init__(f"({rule}) {who or 'the registry'}: {what}")
        self.rule = rule
        self.who = who


class Service:
    """One service: what the registry last published of it, and what is true.

    Attributes:
        code: its state of liveness; None = the registry does not have it.
        since: of that state, since_judged, since_least: by the daemon's clocks without stalls.
        conn: the connection whose session was accepted last; epoch: of that session.
        parting: its agent's goodbye was handled.
        falls: when it fell lately, whoever did it; own_falls: when it surely did so itself.
        silence_s: how long it had been silent when it fell.
    """

    __slots__ = (
        "agent",
        "code",
        "conn",
        "epoch",
        "falls",
        "held_at",
        "own_falls",
        "parting",
        "probation",
        "ready",
        "service_id",
        "silence_s",
        "since",
        "since_judged",
        "since_least",
        "snapshot",
    )

    def __init__(self, agent: Agent, service_id: str) -> None:
        self.agent = agent
        self.service_id = service_id
        self.code: Code | None = None
        self.snapshot: Snapshot | None = None
        self.ready = self.probation = self.parting = False
        self.since = self.since_judged = self.since_least = 0.0
        self.conn: Conn | None = None
        self.epoch = 0
        self.silence_s = 0.0
        self.falls: deque[float] = deque(maxlen=16)
        self.held_at = -math.inf
        self.own_falls: deque[float] = deque(maxlen=16)


class Oracle:
    """Knows which agents are alive, and holds the registry to it.

    Attributes:
        false_deaths: of agents that ran, awake and connected, by what took them for dead.
        detections: seconds from the begin of a fault to the agent being not ready, by kind of fault.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda
        self.services: dict[str, Service] = {}
        self.revision = 1
        self.edges = 0
        self.held = 0
        self.counting = False
        self._tokens, self._refilled = math.inf, 0.0
        self.false_deaths: Counter[str] = Counter()
        self.detections: defaultdict[str, list[float]] = defaultdict(list)
        self.seen: Counter[str] = Counter()

    def note(self, who: str, what: str) -> None:
        """Notes an event."""
        self.world.trace.note(self.agenda.now, who, what)

    def adopt(self, agent: Agent) -> None:
        """Takes in an agent's services before they are registered."""
        for spec in agent.specs:
            service_id = service_id_of(spec)
            self.services[service_id] = Service(agent, service_id)

    def restarted(self) -> None:
        """Another life of the daemon: revisions begin anew, and nothing is in memory."""
        self.revision = 1
        self.held = 0
        self._tokens = math.inf
        for service in self.services.values():
            service.code, service.ready, service.probation = None, False, False
            service.snapshot = None  # epochs that were given and not used are not stored: they may fall once
            service.falls.clear()
            service.own_falls.clear()

    # Edges.

    def publish(self, edge: Edge) -> None:
        """Takes one edge of the registry."""
        service = self.services[edge.service_id]
        agent = service.agent
        self.edges += 1
        self.revision += 1
        if edge.revision != self.revision:
            raise Broken("c", agent.name, f"revision {edge.revision} follows {self.revision - 1}")
        before, after = service.code, edge.after
        if (before is None) != (edge.before is None):
            raise Broken("c", agent.name, f"an edge from {edge.before} where the last said {before}")
        if after is None:
            self._removed(service, edge)
            return
        code = self._look(agent, after)
        if after.epoch < (0 if service.snapshot is None else service.snapshot.epoch):
            raise Broken("d", agent.name, f"its epoch fell to {after.epoch}")
        was_ready = service.ready
        service.snapshot, service.ready = after, after.ready
        if code is not before:
            if code not in EDGES[before]:
                raise Broken("c", agent.name, f"{_name(before)} -> {_name(code)} is not in the table")
            self._moved(service, before, code)
            if code in LIVE and before not in LIVE:
                self._returned(service, after)
        self._conditions(service, after)
        if was_ready and not after.ready:
            self._detected(agent)
        if agent.fault is not None or code is not Code.STREAM_OPEN or before is not Code.LATE:
            reasons = ", ".join(reason.code.name for reason in after.reasons)
            self.note(agent.name, f"{_name(before)} -> {reasons} (revision {edge.revision}, epoch {after.epoch})")

    def _look(self, agent: Agent, after: Snapshot) -> Code:
        """Checks status, readiness and tier against the table; returns the state of liveness."""
        code, status, tier = None, ServiceStatus.HEALTHY, 0
        for reason in after.reasons:
            if reason.code is Code.SELF_REPORTED:
                row = (ServiceStatus.STOPPING, -1)  # the only one that agents here report: while they leave
            else:
                row = LOOKS[reason.code]
                if reason.code not in CONDITIONS:
                    if code is not None:
                        raise Broken("c", agent.name, f"two states at once: {after.reasons}")
                    code = reason.code
            if SEVERITY[row[0]] > SEVERITY[status]:
                status = row[0]
            tier = -1 if row[1] < 0 or tier < 0 else max(tier, row[1])
        if code is None or (after.status, after.tier, after.ready) != (status, tier, tier >= 0):
            raise Broken("c", agent.name, f"{after.reasons} look like {after.status.name}, tier {after.tier}")
        return code

    def _moved(self, service: Service, before: Code | None, code: Code) -> None:
        if before is Code.HELD:
            self.held -= 1
            self._unheld(service, code)
        judge = self._judges.get(code)
        if judge is not None:
            judge(self, service, before)
        if code in DEAD and before not in DEAD:
            service.falls.append(self.world.daemon.judged_least())
            if before in LIVE and code is not Code.NOT_SEEN:
                service.own_falls.append(self.world.daemon.judged())
        if code is Code.HELD:
            service.held_at = self.agenda.now
            if before in DEAD and service.own_falls:
                service.own_falls.pop()
        daemon = self.world.daemon
        service.code, service.since = code, self.agenda.now
        service.since_judged, service.since_least = daemon.judged(), daemon.judged_least()

    def _conditions(self, service: Service, after: Snapshot) -> None:
        probation = len(after.reasons) > 1 and any(reason.code is Code.PROBATION for reason in after.reasons)
        if probation and not service.probation:
            self.seen["PROBATION"] += 1
            since = self.world.daemon.judged_least() - self.world.config.flap_window_s - ROUND_S
            falls = sum(fall >= since for fall in service.falls)
            if falls <= self.world.config.flaps:
                raise Broken("c", service.agent.name, f"PROBATION after {falls} falls in a minute")
        service.probation = probation

    def _returned(self, service: Service, after: Snapshot) -> None:
        config = self.world.config
        since = self.world.daemon.judged() - config.flap_window_s
        falls = sum(fall > since for fall in service.own_falls)
        held = self.agenda.now - service.held_at < config.flap_window_s  # a fall forgiven may take an older one along
        if falls > config.flaps and not held and all(reason.code is not Code.PROBATION for reason in after.reasons):
            raise Broken("c", service.agent.name, f"back without PROBATION after {falls} falls in a minute")

    def _detected(self, agent: Agent) -> None:
        fault = agent.fault
        if fault is not None and fault.detected is None:
            fault.detected = self.agenda.now - fault.begin
            daemon = self.world.daemon
            if self.counting and daemon.trouble_end < fault.begin:
                self.detections[fault.kind].append(fault.detected)

    # Deaths.

    def _late(self, service: Service, before: Code | None) -> None:
        conn = _latest(service)
        if conn is None:
            raise Broken("a", service.agent.name, "LATE without a stream")
        silence_s, interval_s = self._silence(conn), self._interval(conn)
        if silence_s < 1.5 * interval_s - ROUND_S:
            raise Broken("a", service.agent.name, f"LATE after {silence_s:.3f} s, with beats every {interval_s} s")
        self.seen["LATE"] += 1

    def _silent(self, service: Service, before: Code | None) -> None:
        agent, conn, now = service.agent, _latest(service), self.agenda.now
        if before is Code.HELD:
            return
        if conn is None:
            raise Broken("a", agent.name, "SILENT without a stream")
        silence_s, interval_s = self._silence(conn), self._interval(conn)
        service.silence_s = silence_s
        if silence_s < 3 * interval_s - ROUND_S:
            raise Broken("a", agent.name, f"SILENT after {silence_s:.3f} s, with beats every {interval_s} s")
        if agent.sound_since <= conn.handled:
            if conn.due <= now and conn.open_here and conn.open_there:
                raise Broken("a", agent.name, "SILENT while its beats wait in the daemon")
            self._false_death(agent, "deadline")

    def _disconnected(self, service: Service, before: Code | None) -> None:
        agent, conn, daemon = service.agent, self.world.daemon.ending, self.world.daemon
        if conn is None or conn.agent is not agent:
            raise Broken("a", agent.name, "DISCONNECTED though no stream of it ended")
        if conn is not service.conn and service.conn is not None and service.conn.session is not None:
            raise Broken("d", agent.name, "the end of an old stream took a newer session's service down")
        service.silence_s = self._silence(conn)
        if before in DEAD:
            return
        sound = agent.sound_since < math.inf
        if sound and conn.cause == "stall" and daemon.stall_s < SHAKING_STALL_S + TICK_S:
            self._false_death(agent, f"PING over a stall below {SHAKING_STALL_S} s")
        elif sound and conn.cause == "stall":
            since_s = self.agenda.now - daemon.stall_end
            what = f"{since_s:.3f} s after a stall of {daemon.stall_s:.3f} s that ended its stream"
            raise Broken("a", agent.name, f"DISCONNECTED {what}")
        if sound and conn.cause == "loss":
            self._false_death(agent, "PING")
        elif sound and conn.cause == "":
            raise Broken("a", agent.name, "DISCONNECTED for no reason that is known")

    def _not_seen(self, service: Service, before: Code | None) -> None:
        agent, now = service.agent, self.agenda.now
        if agent.sound_since > service.since:
            return
        if agent.unlucky:
            self._false_death(agent, "losses on the way back")
            return
        if now < agent.waits_until and agent.told_by != self.world.daemon.life:
            self._false_death(agent, "a wait that an earlier life asked for")
            return
        waited = f"{now - service.since:.3f} s of {_name(before)}"
        raise Broken("a", agent.name, f"NOT_SEEN after {waited}, while it came back")

    def _false_death(self, agent: Agent, how: str) -> None:
        self.note(agent.name, f"FALSE DEATH by {how}")
        if self.counting:
            self.false_deaths[how] += 1

    def _silence(self, conn: Conn) -> float:
        return self.world.daemon.judged() - conn.handled_judged

    def _interval(self, conn: Conn) -> float:
        """The longest time that may pass until its next beat: what it was told, or what it still keeps to.

        Out of a backlog the registry cannot tell whether a beat was sent before or after a new interval was heard.
        """
        return conn.ordered_s if conn.handled <= self.world.daemon.trouble_end else max(conn.ordered_s, conn.step_s)

    # Holds.

    def _hold(self, service: Service, before: Code | None) -> None:
        agent, conn = service.agent, self.world.daemon.ending or _latest(service) or service.conn
        self.held += 1
        self.seen["HELD"] += 1
        if conn is None:
            raise Broken("b", agent.name, "HELD, but it never had a stream")
        if before not in DEAD:
            service.silence_s = self._silence(conn)
        least_s = min(self.world.config.cut_silence_s, 3 * conn.ordered_s)
        if service.silence_s < least_s - ROUND_S:
            raise Broken("b", agent.name, f"HELD, though it died after a silence of {service.silence_s:.3f} s")

    def _unheld(self, service: Service, code: Code) -> None:
        daemon = self.world.daemon
        held_s = daemon.judged_least() - service.since_least
        if held_s > HOLD_S + 0.2:
            raise Broken("b", service.agent.name, f"HELD for {held_s:.3f} s, then {code.name}")

    def ticked(self) -> None:
        """After each tick: a hold is announced for as long as it lasts."""
        if self.held and not self.world.daemon.registry.mass_hold:
            raise Broken("b", "", f"{self.held} services are HELD and no mass hold is announced")

    # Sessions.

    def given(self, conn: Conn, frame: Sessions) -> None:
        """The registry accepted or refused sessions."""
        for result in frame.results:
            if result.error is not None:
                continue
            service = self.services[result.service_id]
            if result.epoch <= service.epoch:
                raise Broken("d", conn.agent.name, f"epoch {result.epoch} given after {service.epoch}")
            service.epoch, service.conn, service.parting = result.epoch, conn, False

    def let_in(self, agent: Agent) -> None:
        """A hello was answered."""
        config, now = self.world.config, self.agenda.now
        self._tokens = min(2 * config.admission_rate, self._tokens + (now - self._refilled) * config.admission_rate)
        self._tokens, self._refilled = self._tokens - 1.0, now
        if self._tokens < -1.0:
            raise Broken("c", agent.name, f"let in above the rate of {config.admission_rate:g} a second")

    def expect_hold(self, agents: int, due: float) -> None:
        """So many were cut off at once: by `due` that must have been announced."""
        self.agenda.at(due, self._check_hold, (agents, self.agenda.now))

    def _check_hold(self, item: tuple[int, float]) -> None:
        agents, begin = item
        calm_from = max(self.world.daemon.trouble_end, self.world.faults.crashed)
        if calm_from < begin - AFTER_STALL_S and not self.world.daemon.registry.mass_hold:
            raise Broken("c", "", f"{agents} agents were cut off at once, and no mass hold is announced")

    def ended(self, conn: Conn) -> None:
        """A stream's end was handled: whoever is proven dead is not ready from this instant."""
        agent = conn.agent
        self.note(agent.name, f"stream ended ({conn.cause})")
        if agent.streams or not self.world.daemon.judges:
            return
        for spec in agent.specs:
            service = self.services[service_id_of(spec)]
            if service.conn is conn and service.ready and service.code is not Code.HELD:
                raise Broken("b", agent.name, f"ready after its stream ended ({conn.cause}): {_name(service.code)}")

    def gave_up(self, agent: Agent, error: RegistryError | None) -> None:
        """An agent's SDK stops for good."""
        raise Broken("e", agent.name, f"an honest agent is turned away for good: {error}")

    def _removed(self, service: Service, edge: Edge) -> None:
        agent, code, daemon = service.agent, service.code, self.world.daemon
        dead_s = daemon.judged() - service.since_judged
        if edge.removal is RemovalReason.EXPIRED:
            if code not in DEAD or dead_s < self.world.config.retention_s - ROUND_S:
                raise Broken("e", agent.name, f"removed after {dead_s:.3f} s of {_name(code)}")
        elif not (edge.removal is RemovalReason.UNREGISTERED and service.parting):
            raise Broken("e", agent.name, f"removed ({edge.removal!r}) though nobody asked for it")
        if code is Code.HELD:
            self.held -= 1
        if service.ready:
            self._detected(agent)
        self.note(agent.name, f"{_name(code)} -> removed ({edge.removal.name if edge.removal else '?'})")
        service.code, service.ready, service.probation, service.snapshot = None, False, False, None
        service.falls.clear()
        service.own_falls.clear()

    # Deadlines of the faults.

    def expect_down(self, agent: Agent, fault: Fault, due: Callable[[], float]) -> None:
        """By `due` the agent must not be ready, unless the fault is over before.

        It is asked again in the end: a beat that was on its way may have been answered with a longer interval.
        """
        self.agenda.at(due(), self._check_down, (agent, fault, due, fault.begin - AFTER_STALL_S))

    def _check_down(self, item: tuple[Agent, Fault, Callable[[], float], float]) -> None:
        agent, fault, limit, calm_from = item
        if agent.fault is not fault:
            return
        daemon, now, due = self.world.daemon, self.agenda.now, limit()
        if now < due:
            self.agenda.at(due, self._check_down, item)
            return
        if daemon.trouble_end > calm_from:  # the daemon was away meanwhile: all of it again, and 8 s
            again = max(now, daemon.trouble_end) + due - fault.begin + AFTER_STALL_S
            self.agenda.at(again, self._check_down, (agent, fault, limit, daemon.trouble_end))
            return
        for spec in agent.specs:
            service = self.services[service_id_of(spec)]
            if not service.ready:
                continue
            if service.code is Code.HELD and daemon.registry.mass_hold:
                self.agenda.at(now + 1.0, self._check_down, item)
                return
            ago = now - fault.begin
            late = f"{ago:.3f} s after {fault.kind}, due in {due - fault.begin:.3f} s"
            raise Broken("b", agent.name, f"still {_name(service.code)} {late}")

    def expect_late(self, agent: Agent, fault: Fault, due: Callable[[], float]) -> None:
        """By `due` the agent must not be first choice any more, unless the fault is over before."""
        self.agenda.at(due(), self._check_late, (agent, fault, due))

    def _check_late(self, item: tuple[Agent, Fault, Callable[[], float]]) -> None:
        agent, fault, limit = item
        if self.agenda.now < limit():
            self.agenda.at(limit(), self._check_late, item)
            return
        if agent.fault is not fault or self.world.daemon.trouble_end > fault.begin - AFTER_STALL_S:
            return
        for spec in agent.specs:
            service = self.services[service_id_of(spec)]
            if service.snapshot is not None and service.snapshot.tier == 0:
                ago = self.agenda.now - fault.begin
                raise Broken("b", agent.name, f"still first choice {ago:.3f} s after {fault.kind}")

    _judges: ClassVar = {
        Code.LATE: _late,
        Code.SILENT: _silent,
        Code.DISCONNECTED: _disconnected,
        Code.NOT_SEEN: _not_seen,
        Code.HELD: _hold,
    }


def _latest(service: Service) -> Conn | None:
    """Of the streams of its agent the one heard of last; an older one may be the live one."""
    return max(service.agent.streams, key=lambda conn: conn.handled_judged, default=None)


def _name(code: StatusReasonCode | None) -> str:
    return "nothing" if code is None else code.name
