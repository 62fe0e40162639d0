"""Whether a service may be taken for dead, silent or late: judged by the truth, whenever the registry says so."""

import math
from typing import TYPE_CHECKING

from orion_registry.core.mass_hold import HOLD_S
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.patience import SHAKING_STALL_S, TICK_S
from tests.simulator.agent import Agent, Conn
from tests.simulator.tables import DEAD
from tests.simulator.truth import ROUND_S, Broken, Service, latest, name_of

if TYPE_CHECKING:
    from tests.simulator.oracle import Oracle


class Deaths:
    """The judge of edges to one state of liveness each: rules a, b and d."""

    def __init__(self, oracle: "Oracle") -> None:
        self.oracle = oracle
        self.world = oracle.world
        self.agenda = oracle.agenda
        self.by_state = {
            Code.LATE: self.late,
            Code.SILENT: self.silent,
            Code.DISCONNECTED: self.disconnected,
            Code.NOT_SEEN: self.not_seen,
            Code.HELD: self.hold,
        }

    def late(self, service: Service, before: Code | None) -> None:
        """LATE: by half of the silence."""
        conn = latest(service)
        if conn is None:
            raise Broken("a", service.agent.name, "LATE without a stream")
        silence_s, interval_s = self._silence(conn), self._interval(conn)
        if silence_s < 1.5 * interval_s - ROUND_S:
            raise Broken("a", service.agent.name, f"LATE after {silence_s:.3f} s, with beats every {interval_s} s")
        self.oracle.seen["LATE"] += 1

    def silent(self, service: Service, before: Code | None) -> None:
        """SILENT: its beats did not arrive for the silence span."""
        agent, conn, now = service.agent, latest(service), self.agenda.now
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

    def disconnected(self, service: Service, before: Code | None) -> None:
        """DISCONNECTED: its stream ended."""
        agent, conn, daemon = service.agent, self.world.streams.ending, self.world.daemon
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

    def not_seen(self, service: Service, before: Code | None) -> None:
        """NOT_SEEN: it did not come back in time."""
        agent, now = service.agent, self.agenda.now
        if agent.sound_since > service.since:
            return
        if agent.unlucky:
            self._false_death(agent, "losses on the way back")
            return
        if now < agent.waits_until and agent.told_by != self.world.daemon.life:
            self._false_death(agent, "a wait that an earlier life asked for")
            return
        raise Broken(
            "a", agent.name, f"NOT_SEEN after {now - service.since:.3f} s of {name_of(before)}, while it came back"
        )

    def _false_death(self, agent: Agent, how: str) -> None:
        self.oracle.note(agent.name, f"FALSE DEATH by {how}")
        if self.oracle.counting:
            self.oracle.false_deaths[how] += 1

    def _silence(self, conn: Conn) -> float:
        return self.world.daemon.judged() - conn.handled_judged

    def _interval(self, conn: Conn) -> float:
        """The longest time that may pass until its next beat: what it was told, or what it still keeps to.

        Out of a backlog the registry cannot tell whether a beat was sent before or after a new interval was heard.
        """
        return conn.ordered_s if conn.handled <= self.world.daemon.trouble_end else max(conn.ordered_s, conn.step_s)

    def hold(self, service: Service, before: Code | None) -> None:
        """HELD: it fell with many others, and nothing proves it dead."""
        agent, conn = service.agent, self.world.streams.ending or latest(service) or service.conn
        self.oracle.held += 1
        self.oracle.seen["HELD"] += 1
        if conn is None:
            raise Broken("b", agent.name, "HELD, but it never had a stream")
        if before not in DEAD:
            service.silence_s = self._silence(conn)
        least_s = min(self.world.config.cut_silence_s, 3 * conn.ordered_s)
        if service.silence_s < least_s - ROUND_S:
            raise Broken("b", agent.name, f"HELD, though it died after a silence of {service.silence_s:.3f} s")

    def unheld(self, service: Service, code: Code) -> None:
        """It is held no more."""
        daemon = self.world.daemon
        held_s = daemon.judged_least() - service.since_least
        if held_s > HOLD_S + 0.2:
            raise Broken("b", service.agent.name, f"HELD for {held_s:.3f} s, then {code.name}")
