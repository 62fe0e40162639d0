"""Beats: when agents send them, and when they arrive. The hot path of the simulator."""

import math
from typing import TYPE_CHECKING

from orion_registry.client.pacing import first_gap
from tests.simulator import network
from tests.simulator.agent import Conn

if TYPE_CHECKING:
    from tests.simulator.world import World

JITTER = 0.2
"""Width of the jitter of beats: +-10 %."""


class Beats:
    """The beats of all agents: one step each, with the PINGs between two of them."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda
        self.net = world.net

    def hush(self, conn: Conn) -> None:
        """No beat is sent from now on. What is on its way arrives."""
        conn.quiet = True
        if conn.sent > self.agenda.now:
            conn.due = -1.0

    def now(self, conn: Conn) -> None:
        """Beats at once, and goes on from there."""
        now = self.agenda.now
        conn.quiet = False
        under_way = conn.due > now and conn.sent <= now
        conn.sent = now
        if not under_way:
            conn.due = now + self.net.delay()
            self.agenda.at(conn.due, self.arrives, conn)

    def arrives(self, conn: Conn) -> None:
        """A beat reaches the daemon's transport. The next one is drawn, with whatever happens to it on the way."""
        agenda, net = self.agenda, self.net
        now = agenda.now
        if conn.due != now:
            return
        if not conn.open_there:
            conn.due = -1.0
            return
        conn.heard = now
        if conn.told_at <= conn.sent:
            conn.interval_s, conn.told_at = conn.told_s, math.inf
        conn.step_s = interval_s = conn.interval_s
        if conn.quiet:
            conn.due = -1.0
        else:
            draw = net.draw
            step = interval_s * (1.0 - JITTER / 2 + JITTER * draw()) if conn.seq else first_gap(interval_s, draw())
            sent = conn.sent + step
            due = sent + network.HALF_S + network.JITTER_S * draw()
            if due < now:
                due = now
            pings = int((due - now + network.RTT_S) / network.PING_CYCLE_S)
            if draw() < net.lossy[pings]:
                due = self._rough(conn, now, sent, pings)
            conn.sent, conn.due = sent, due
            agenda.at(due, self.arrives, conn)
        daemon = self.world.daemon
        if daemon.stalled or now < daemon.busy_until or not daemon.up:
            daemon.arrive(self.world.streams.beat, conn, conn)
        else:
            self.world.streams.beat(conn)

    def _rough(self, conn: Conn, now: float, sent: float, pings: int) -> float:
        passage = self.net.passage(now, sent, pings)
        if passage.ping_out < math.inf:
            conn.ping_out, conn.lossy = passage.ping_out, True
            self.agenda.at(conn.ping_out, self.world.streams.ping_out, conn)
            self.world.oracle.note(conn.agent.name, f"losses hold a PING up: out at {conn.ping_out:.3f}")
        return max(passage.due, now)
