"""What befalls single agents: their processes, their network."""

import math
from collections import Counter
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from orion_registry.core.frames import GoodbyeReason
from tests.simulator import network
from tests.simulator.agent import Agent, Conn, Fault

if TYPE_CHECKING:
    from tests.simulator.world import World

HUNG_S = 3.0 + 0.1 + 0.05
"""Promise: a hung process or a cut link within 3 s, and the tick that sees it."""

BLOCKED_S = 0.2
"""Promise: a blocked event loop within 3 intervals and this."""


class Mishaps:
    """Does them, and notes the truth.

    Attributes:
        done: so far, by kind.
        crashed: when a process, or a connection, last died in plain sight.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda
        self.rng = world.rng
        self.done: Counter[str] = Counter()
        self.crashed = -math.inf

    def _begin(self, agent: Agent, kind: str) -> Fault:
        self.done[kind] += 1
        self.world.oracle.note(agent.name, f"suffers: {kind}")
        return agent.suffers(kind, self.agenda.now)

    # Processes.

    def kill(self, agent: Agent) -> None:
        """SIGKILL: the kernel closes the connection. Another process starts later."""
        conn = agent.conn
        assert conn is not None
        fault = self._begin(agent, "kill")
        self.crashed = self.agenda.now
        conn.cause = "kill"
        self.world.sdk.dies(agent)
        seen = max(self.agenda.now + 0.002 + 0.004 * self.rng.random(), conn.due) + self.world.net.lost_s()
        self.agenda.at(seen, self.world.streams.hangs_up, conn)
        self._reboot_later(agent, fault)

    def power_loss(self, agent: Agent) -> None:
        """The machine is gone without a word."""
        conn = agent.conn
        assert conn is not None
        fault = self._begin(agent, "power loss")
        self._cut_off(conn, math.inf)
        self.world.sdk.dies(agent)
        self.world.expectations.down(agent, fault, partial(float, max(self.agenda.now, conn.due) + HUNG_S))
        self._reboot_later(agent, fault)

    def _reboot_later(self, agent: Agent, fault: Fault) -> None:
        back_s = span(self.rng, 0.3, 30.0) if self.rng.random() < 0.7 else span(self.rng, 60.0, 300.0)
        self.agenda.at(self.agenda.now + back_s, self._reboot, (agent, fault))

    def _reboot(self, item: tuple[Agent, Fault]) -> None:
        agent, fault = item
        if agent.fault is fault:
            self.world.sdk.boot(agent)

    def stop(self, agent: Agent, seconds: float | None) -> None:
        """SIGSTOP: its kernel takes what comes, nothing answers."""
        conn, now = agent.conn, self.agenda.now
        assert conn is not None
        seconds = seconds or span(self.rng, 0.3, 60.0)
        fault = self._begin(agent, "stop")
        agent.awake, agent.stopped = False, True
        self.world.beats.hush(conn)
        self._ping_finds(conn, now + seconds)
        self.world.expectations.down(agent, fault, partial(float, max(now, conn.due) + HUNG_S))
        self.agenda.at(now + seconds, self._wake, (agent, fault))

    def _ping_finds(self, conn: Conn, end: float) -> None:
        """A PING that nobody answers before `end` runs out."""
        heard = max(conn.heard, conn.due)
        ping = network.ping_under_way(heard, self.agenda.now)
        out = ping + network.PING_TIMEOUT_S
        if end + network.HALF_S > out:
            conn.ping_out, conn.lossy = out, False
            self.agenda.at(out, self.world.streams.ping_out, conn)

    def block(self, agent: Agent, seconds: float | None) -> None:
        """Its event loop is blocked; C threads go on answering PINGs."""
        conn, now = agent.conn, self.agenda.now
        assert conn is not None
        fault = self._begin(agent, "block")
        agent.awake = False
        self.world.beats.hush(conn)

        def due(intervals: float) -> float:
            last = max(now, conn.due, conn.heard)
            return last + intervals * max(conn.ordered_s, conn.step_s, 1.0) + BLOCKED_S

        self.world.expectations.late(agent, fault, partial(due, 1.5))
        self.world.expectations.down(agent, fault, partial(due, 3.0))
        self.agenda.at(now + (seconds or span(self.rng, 0.3, 60.0)), self._wake, (agent, fault))

    def _wake(self, item: tuple[Agent, Fault]) -> None:
        agent, fault = item
        if agent.fault is not fault:
            return
        conn = agent.conn
        if conn is not None and conn.open_there:
            conn.ping_out = -1.0
        agent.recovers(self.agenda.now)
        self.world.oracle.note(agent.name, "runs again")
        self.world.sdk.woke(agent)

    def goodbye(self, agent: Agent) -> None:
        """It leaves for good, and starts anew later."""
        fault = self._begin(agent, "goodbye")
        agent.leaving = True
        self.world.sdk.goodbye(agent, GoodbyeReason.STOPPING)
        self.agenda.at(self.agenda.now + span(self.rng, 2.0, 60.0), self._left, (agent, fault))

    def _left(self, item: tuple[Agent, Fault]) -> None:
        agent, fault = item
        if agent.fault is fault:
            conn = agent.conn
            if conn is not None:
                conn.cause = conn.cause or "kill"
                self.agenda.at(self.agenda.now + 0.004, self.world.streams.hangs_up, conn)
            self.world.sdk.dies(agent)
            self.agenda.at(self.agenda.now + 0.01, self._reboot, item)

    def moving(self, agent: Agent) -> None:
        """It announces that it will be back."""
        self.done["moving"] += 1
        self.world.oracle.note(agent.name, "says that it moves")
        assert agent.conn is not None
        agent.conn.cause = "goodbye"
        self.world.sdk.goodbye(agent, GoodbyeReason.MOVING)

    # Network.

    def cut(self, agent: Agent, seconds: float | None, kind: str = "cut") -> None:
        """Nothing passes for a while."""
        conn, now, world = agent.conn, self.agenda.now, self.world
        assert conn is not None
        end = now + (seconds or span(self.rng, 0.2, 60.0))
        fault = self._begin(agent, kind)
        agent.cut = True
        through = self._cut_off(conn, end)
        world.expectations.down(agent, fault, partial(float, max(now, conn.heard) + HUNG_S))
        if through.ends < math.inf:
            gives_up = now + network.AGENT_GIVES_UP_S - self.rng.random() * network.PING_CYCLE_S
            self.agenda.at(min(gives_up, end + 0.5 * self.rng.random()), self._agent_finds_cut, conn)
        else:
            self.agenda.at(through.opens, self._reopens, conn)
        self.agenda.at(end, self._joined, (agent, fault, through.opens))

    def _cut_off(self, conn: Conn, end: float) -> network.Cut:
        """Cuts a connection; what is on its way passes, unless it has been lost already."""
        now = self.agenda.now
        on_its_way = conn.sent <= now < conn.due
        passes = on_its_way and conn.due - conn.sent < network.RTO_S
        heard = conn.due if passes else conn.heard
        sent = conn.sent + conn.interval_s if passes else conn.sent
        if not passes:
            conn.due = -1.0
        conn.sent, conn.quiet, conn.cut_until = sent, True, end
        through = network.through_cut(heard, sent, now, end)
        if through.ends < math.inf:
            conn.ping_out, conn.lossy = through.ends, False
            self.agenda.at(through.ends, self.world.streams.ping_out, conn)
        return through

    def _agent_finds_cut(self, conn: Conn) -> None:
        if conn.open_here:
            self.world.sdk.hang_up(conn, "ping")

    def _reopens(self, conn: Conn) -> None:
        """The cut was short: all that was written into it comes at once."""
        now, world = self.agenda.now, self.world
        if not (conn.open_here and conn.open_there):
            return
        held, conn.held = conn.held, []
        for frames in held:
            world.sdk.frames((conn, frames))
        conn.quiet = False
        if conn.sent > now:
            conn.due = conn.sent + world.net.delay()
        else:
            while conn.sent + conn.interval_s <= now:
                conn.sent += conn.interval_s
                world.daemon.arrive(world.streams.beat, conn, conn)
            conn.due = now
        self.agenda.at(conn.due, world.beats.arrives, conn)

    def _joined(self, item: tuple[Agent, Fault, float]) -> None:
        agent, fault, opens = item
        if agent.fault is not fault:
            return
        agent.cut = False
        if self.agenda.now < opens < math.inf:
            self.agenda.at(opens, self._joined, item)
            return
        agent.recovers(self.agenda.now)
        self.world.oracle.note(agent.name, "is connected again")

    def half_open(self, agent: Agent) -> None:
        """A router forgets the connection. The agent notices first, or the daemon does."""
        conn, now = agent.conn, self.agenda.now
        assert conn is not None
        fault = self._begin(agent, "half-open")
        self._cut_off(conn, math.inf)
        self.world.expectations.down(agent, fault, partial(float, max(now, conn.heard) + HUNG_S))
        self.agenda.at(now + span(self.rng, 0.2, network.AGENT_GIVES_UP_S), self._notices, (agent, fault, conn))

    def _notices(self, item: tuple[Agent, Fault, Conn]) -> None:
        agent, fault, conn = item
        if agent.fault is fault:
            agent.recovers(self.agenda.now)
            self._agent_finds_cut(conn)

    def reset(self, agent: Agent) -> None:
        """A middlebox resets the connection, several times in a minute."""
        self._reset((agent, agent.life, int(span(self.rng, 1.0, 9.0))))

    def _reset(self, item: tuple[Agent, int, int]) -> None:
        agent, life, times = item
        if agent.life != life:
            return
        if is_settled(agent):
            conn = agent.conn
            assert conn is not None
            self.done["reset"] += 1
            self.crashed = self.agenda.now
            conn.cause = "reset"
            self.world.oracle.note(agent.name, "its connection is reset")
            self.agenda.at(
                max(self.agenda.now + 0.01, conn.due if conn.sent <= self.agenda.now else 0.0), self._is_reset, conn
            )
        if times > 1:
            self.agenda.at(self.agenda.now + span(self.rng, 4.0, 12.0), self._reset, (agent, life, times - 1))

    def _is_reset(self, conn: Conn) -> None:
        self.world.streams.hangs_up(conn)


def span(rng: Random, least: float, most: float) -> float:
    """A time between the two, every magnitude alike."""
    return float(least * (most / least) ** rng.random())


def is_settled(agent: Agent) -> bool:
    """Whether it runs, suffers nothing, and has beaten on its stream."""
    conn = agent.conn
    if agent.fault is not None or not agent.runs or agent.leaving or conn is None:
        return False
    return bool(conn.open_here and conn.open_there and conn.seq and not conn.quiet)
