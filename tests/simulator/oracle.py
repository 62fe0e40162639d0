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
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from orion_registry.core.frames import Sessions
from orion_registry.core.history import Edge
from orion_registry.core.keys import service_id_of
from orion_registry.core.model import RemovalReason, ServiceStatus, Snapshot
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.errors import RegistryError
from tests.simulator.agent import Agent, Conn
from tests.simulator.deaths import Deaths
from tests.simulator.tables import CONDITIONS, DEAD, EDGES, LIVE, LOOKS, SEVERITY
from tests.simulator.truth import ROUND_S, Broken, Service, name_of

if TYPE_CHECKING:
    from tests.simulator.world import World


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
        self._deaths = Deaths(self)

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
                raise Broken("c", agent.name, f"{name_of(before)} -> {name_of(code)} is not in the table")
            self._moved(service, before, code)
            if code in LIVE and before not in LIVE:
                self._returned(service, after)
        self._conditions(service, after)
        if was_ready and not after.ready:
            self._detected(agent)
        if agent.fault is not None or code is not Code.STREAM_OPEN or before is not Code.LATE:
            reasons = ", ".join(reason.code.name for reason in after.reasons)
            self.note(agent.name, f"{name_of(before)} -> {reasons} (revision {edge.revision}, epoch {after.epoch})")

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
            self._deaths.unheld(service, code)
        judge = self._deaths.by_state.get(code)
        if judge is not None:
            judge(service, before)
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

    def ended(self, conn: Conn) -> None:
        """A stream's end was handled: whoever is proven dead is not ready from this instant."""
        agent = conn.agent
        self.note(agent.name, f"stream ended ({conn.cause})")
        if agent.streams or not self.world.daemon.judges:
            return
        for spec in agent.specs:
            service = self.services[service_id_of(spec)]
            if service.conn is conn and service.ready and service.code is not Code.HELD:
                raise Broken("b", agent.name, f"ready after its stream ended ({conn.cause}): {name_of(service.code)}")

    def gave_up(self, agent: Agent, error: RegistryError | None) -> None:
        """An agent's SDK stops for good."""
        raise Broken("e", agent.name, f"an honest agent is turned away for good: {error}")

    def _removed(self, service: Service, edge: Edge) -> None:
        agent, code, daemon = service.agent, service.code, self.world.daemon
        dead_s = daemon.judged() - service.since_judged
        if edge.removal is RemovalReason.EXPIRED:
            if code not in DEAD or dead_s < self.world.config.retention_s - ROUND_S:
                raise Broken("e", agent.name, f"removed after {dead_s:.3f} s of {name_of(code)}")
        elif not (edge.removal is RemovalReason.UNREGISTERED and service.parting):
            raise Broken("e", agent.name, f"removed ({edge.removal!r}) though nobody asked for it")
        if code is Code.HELD:
            self.held -= 1
        if service.ready:
            self._detected(agent)
        self.note(agent.name, f"{name_of(code)} -> removed ({edge.removal.name if edge.removal else '?'})")
        service.code, service.ready, service.probation, service.snapshot = None, False, False, None
        service.falls.clear()
        service.own_falls.clear()
