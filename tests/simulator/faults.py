"""What goes wrong: drawn by seed, done to agents, network and daemon, with the truth written down as it happens."""

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from orion_registry.core.frames import GoodbyeReason
from orion_registry.core.mass_hold import AGENTS, SHARE
from tests.simulator import network
from tests.simulator.agent import Agent, Conn, Fault

if TYPE_CHECKING:
    from tests.simulator.world import World

RATES = {
    # an hour, for each agent
    "kill": 0.15,
    "stop": 0.15,
    "block": 0.30,
    "cut": 0.30,
    "half-open": 0.10,
    "power loss": 0.05,
    "reset": 0.05,
    "goodbye": 0.10,
    "moving": 0.20,
    # an hour, for the fleet
    "mass cut": 3.0,
    "mass block": 1.0,
    "mass kill": 1.0,
    "daemon stall": 20.0,
    "daemon kill": 1.0,
    "daemon stop": 1.0,
    "clock jump": 10.0,
}

MASS = 0.4
"""Share of the fleet that a mass fault takes."""

HUNG_S = 3.0 + 0.1 + 0.05
"""Promise: a hung process or a cut link within 3 s, and the tick that sees it."""

BLOCKED_S = 0.2
"""Promise: a blocked event loop within 3 intervals and this."""


class Faults:
    """Strikes at random.

    Attributes:
        done: faults so far, by kind.
        crashed: when a process, or a connection, last died in plain sight.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda
        self.rng = world.rng
        self.done: Counter[str] = Counter()
        self.crashed = -math.inf
        one: dict[str, Callable[[Agent], None]] = {
            "kill": self.kill,
            "stop": partial(self.stop, seconds=None),
            "block": partial(self.block, seconds=None),
            "cut": partial(self.cut, seconds=None),
            "half-open": self.half_open,
            "power loss": self.power_loss,
            "reset": self.reset,
            "goodbye": self.goodbye,
            "moving": self.moving,
        }
        self._one = one
        self._all: dict[str, Callable[[], None]] = {
            "mass cut": self.mass_cut,
            "mass block": self.mass_block,
            "mass kill": self.mass_kill,
            "daemon stall": self.daemon_stall,
            "daemon kill": self.daemon_kill,
            "daemon stop": self.daemon_stop,
            "clock jump": self.clock_jump,
        }

    def start(self, factor: float, kinds: tuple[str, ...] = ()) -> None:
        """From now on things go wrong: those named, or all."""
        for kind, rate in RATES.items():
            if kinds and kind not in kinds:
                continue
            per_s = rate * factor / 3600.0 * (len(self.world.agents) if kind in self._one else 1)
            if per_s > 0:
                self.agenda.at(self.agenda.now + self.rng.expovariate(per_s), self._strike, (kind, per_s))

    def _strike(self, item: tuple[str, float]) -> None:
        kind, per_s = item
        self.agenda.at(self.agenda.now + self.rng.expovariate(per_s), self._strike, item)
        if kind in self._all:
            self._all[kind]()
            return
        agent = self.rng.choice(self.world.agents)
        if is_settled(agent):
            self._one[kind](agent)

    def _span(self, least: float, most: float) -> float:
        """A time between the two, every magnitude alike."""
        return float(least * (most / least) ** self.rng.random())

    def _begin(self, agent: Agent, kind: str) -> Fault:
        self.done[kind] += 1
        self.world.oracle.note(agent.name, f"suffers: {kind}")
        return agent.suffers(kind, self.agenda.now)

    def _some(self) -> list[Agent]:
        return [agent for agent in self.world.agents if is_settled(agent) and self.rng.random() < MASS]

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
        self.agenda.at(seen, self.world.daemon.hangs_up, conn)
        self._reboot_later(agent, fault)

    def power_loss(self, agent: Agent) -> None:
        """The machine is gone without a word."""
        conn = agent.conn
        assert conn is not None
        fault = self._begin(agent, "power loss")
        self._cut_off(conn, math.inf)
        self.world.sdk.dies(agent)
        self.world.oracle.expect_down(agent, fault, partial(float, max(self.agenda.now, conn.due) + HUNG_S))
        self._reboot_later(agent, fault)

    def _reboot_later(self, agent: Agent, fault: Fault) -> None:
        back_s = self._span(0.3, 30.0) if self.rng.random() < 0.7 else self._span(60.0, 300.0)
        self.agenda.at(self.agenda.now + back_s, self._reboot, (agent, fault))

    def _reboot(self, item: tuple[Agent, Fault]) -> None:
        agent, fault = item
        if agent.fault is fault:
            self.world.sdk.boot(agent)

    def stop(self, agent: Agent, seconds: float | None) -> None:
        """SIGSTOP: its kernel takes what comes, nothing answers."""
        conn, now = agent.conn, self.agenda.now
        assert conn is not None
        seconds = seconds or self._span(0.3, 60.0)
        fault = self._begin(agent, "stop")
        agent.awake, agent.stopped = False, True
        self.world.sdk.hush(conn)
        self._ping_finds(conn, now + seconds)
        self.world.oracle.expect_down(agent, fault, partial(float, max(now, conn.due) + HUNG_S))
        self.agenda.at(now + seconds, self._wake, (agent, fault))

    def _ping_finds(self, conn: Conn, end: float) -> None:
        """A PING that nobody answers before `end` runs out."""
        heard = max(conn.heard, conn.due)
        ping = network.ping_under_way(heard, self.agenda.now)
        out = ping + network.PING_TIMEOUT_S
        if end + network.HALF_S > out:
            conn.ping_out, conn.lossy = out, False
            self.agenda.at(out, self.world.daemon.ping_out, conn)

    def block(self, agent: Agent, seconds: float | None) -> None:
        """Its event loop is blocked; C threads go on answering PINGs."""
        conn, now = agent.conn, self.agenda.now
        assert conn is not None
        fault = self._begin(agent, "block")
        agent.awake = False
        self.world.sdk.hush(conn)

        def due(intervals: float) -> float:
            last = max(now, conn.due, conn.heard)
            return last + intervals * max(conn.ordered_s, conn.step_s, 1.0) + BLOCKED_S

        self.world.oracle.expect_late(agent, fault, partial(due, 1.5))
        self.world.oracle.expect_down(agent, fault, partial(due, 3.0))
        self.agenda.at(now + (seconds or self._span(0.3, 60.0)), self._wake, (agent, fault))

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
        self.agenda.at(self.agenda.now + self._span(2.0, 60.0), self._left, (agent, fault))

    def _left(self, item: tuple[Agent, Fault]) -> None:
        agent, fault = item
        if agent.fault is fault:
            conn = agent.conn
            if conn is not None:
                conn.cause = conn.cause or "kill"
                self.agenda.at(self.agenda.now + 0.004, self.world.daemon.hangs_up, conn)
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
        end = now + (seconds or self._span(0.2, 60.0))
        fault = self._begin(agent, kind)
        agent.cut = True
        through = self._cut_off(conn, end)
        world.oracle.expect_down(agent, fault, partial(float, max(now, conn.heard) + HUNG_S))
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
            self.agenda.at(through.ends, self.world.daemon.ping_out, conn)
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
                world.daemon.arrive(world.daemon.beat, conn, conn)
            conn.due = now
        self.agenda.at(conn.due, world.sdk.beat, conn)

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
        self.world.oracle.expect_down(agent, fault, partial(float, max(now, conn.heard) + HUNG_S))
        self.agenda.at(now + self._span(0.2, network.AGENT_GIVES_UP_S), self._notices, (agent, fault, conn))

    def _notices(self, item: tuple[Agent, Fault, Conn]) -> None:
        agent, fault, conn = item
        if agent.fault is fault:
            agent.recovers(self.agenda.now)
            self._agent_finds_cut(conn)

    def reset(self, agent: Agent) -> None:
        """A middlebox resets the connection, several times in a minute."""
        self._reset((agent, agent.life, int(self._span(1.0, 9.0))))

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
            flushed = conn.due if conn.sent <= self.agenda.now else 0.0
            self.agenda.at(max(self.agenda.now + 0.01, flushed), self._is_reset, conn)
        if times > 1:
            self.agenda.at(self.agenda.now + self._span(4.0, 12.0), self._reset, (agent, life, times - 1))

    def _is_reset(self, conn: Conn) -> None:
        self.world.daemon.hangs_up(conn)

    # Many at once.

    def mass_cut(self) -> None:
        """A switch takes 40 % of the fleet off the network."""
        seconds = self._span(0.5, 90.0)
        self.done["mass cut"] += 1
        self.world.mass_end = max(self.world.mass_end, self.agenda.now + seconds)
        taken = self._some()
        for agent in taken:
            self.cut(agent, seconds=seconds, kind="cut in a mass")
        running = sum(agent.runs for agent in self.world.agents)
        if seconds > HUNG_S and len(taken) > max(AGENTS, running * (SHARE + 0.04)):
            self.world.oracle.expect_hold(len(taken), self.agenda.now + HUNG_S)

    def mass_block(self) -> None:
        """A shared machine starves 40 % of the fleet of CPU."""
        seconds = self._span(0.5, 90.0)
        self.done["mass block"] += 1
        self.world.mass_end = max(self.world.mass_end, self.agenda.now + seconds)
        for agent in self._some():
            self.block(agent, seconds=seconds)

    def mass_kill(self) -> None:
        """40 % of the fleet crash within a second."""
        self.done["mass kill"] += 1
        self.world.mass_end = max(self.world.mass_end, self.agenda.now + 30.0)
        for agent in self._some():
            self.agenda.at(self.agenda.now + self.rng.random(), self._kill_if_settled, agent)

    def _kill_if_settled(self, agent: Agent) -> None:
        if is_settled(agent):
            self.kill(agent)

    # The daemon.

    def daemon_stall(self) -> None:
        """It is paused, or its event loop is blocked."""
        daemon = self.world.daemon
        if self._busy():
            return
        seconds = self._span(0.3, 30.0) if self.rng.random() < 0.95 else self._span(30.0, 300.0)
        frozen = self.rng.random() < 0.5
        self.done["daemon stall"] += 1
        self.world.oracle.note("", f"{'stopped' if frozen else 'blocked'} for {seconds:.3f} s")
        daemon.stall(seconds, frozen=frozen)

    def daemon_kill(self) -> None:
        """kill -9."""
        if self._busy():
            return
        self.done["daemon kill"] += 1
        self.world.oracle.note("", "killed")
        self.world.daemon.crash(self._span(0.3, 60.0))

    def daemon_stop(self) -> None:
        """SIGTERM, and another daemon."""
        if self._busy():
            return
        self.done["daemon stop"] += 1
        self.world.oracle.note("", "shut down")
        self.world.daemon.shut_down(self._span(0.3, 10.0))

    def _busy(self) -> bool:
        daemon = self.world.daemon
        return daemon.stalled or not daemon.up or daemon.busy_until > self.agenda.now

    def clock_jump(self) -> None:
        """The wall clock is set, by a second or by ten years."""
        self.done["clock jump"] += 1
        jump_s = self._span(1.0, 3e8) * self.rng.choice((-1.0, 1.0))
        self.world.daemon.wall_offset += jump_s
        self.world.oracle.note("", f"wall clock jumps by {jump_s:.1f} s")


def is_settled(agent: Agent) -> bool:
    """Whether it runs, suffers nothing, and has beaten on its stream."""
    conn: Any = agent.conn
    if agent.fault is not None or not agent.runs or agent.leaving or conn is None:
        return False
    return bool(conn.open_here and conn.open_there and conn.seq and not conn.quiet)
