"""The agents' side: the SDK's own state machine and back-off, pumped by a model of its tasks and timers."""

import math
from typing import TYPE_CHECKING, Any

from orion_registry.client.backoff import Backoff
from orion_registry.client.holding import FINAL, Holding, HoldState, is_lasting
from orion_registry.core.commands import Register, Registered, Result
from orion_registry.core.frames import (
    Attach,
    Beat,
    GoAway,
    Goodbye,
    GoodbyeReason,
    Hello,
    Lost,
    RegistryFrame,
    Sessions,
    Welcome,
)
from orion_registry.errors import Reason, RegistryError
from tests.simulator import network
from tests.simulator.agenda import Act
from tests.simulator.agent import Agent, Conn
from tests.simulator.streams import AGENTS

if TYPE_CHECKING:
    from tests.simulator.world import World

HANDSHAKE_S = 5.0
"""How long a stream may take until hello is answered, and a registration until it is (client/options.py, claims.py)."""


class Call:
    """One RegisterService."""

    __slots__ = ("agent", "holding", "open")

    def __init__(self, agent: Agent, holding: Holding) -> None:
        self.agent = agent
        self.holding = holding
        self.open = True


class Sdk:
    """What every agent does."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda
        self.net = world.net
        self._rng = world.rng

    # The event loop of an agent.

    def later(self, agent: Agent, when: float, act: Act, what: Any) -> None:
        """Something for the agent's event loop; done when it runs, if the process still is the same."""
        self.agenda.at(when, self._turn, (agent, agent.life, act, what))

    def _turn(self, item: tuple[Agent, int, Act, Any]) -> None:
        agent, life, act, what = item
        if life == agent.life:
            if agent.awake:
                act(what)
            else:
                agent.deferred.append((act, what))

    def woke(self, agent: Agent) -> None:
        """The event loop runs again."""
        agent.awake, agent.stopped = True, False
        while agent.deferred and agent.awake:
            act, what = agent.deferred.popleft()
            act(what)
        conn = agent.conn
        if conn is not None and conn.open_here and conn.seq:
            self.world.beats.now(conn)

    def boot(self, agent: Agent) -> None:
        """A process starts, with new secrets."""
        agent.life += 1
        agent.runs = agent.awake = True
        agent.stopped = agent.leaving = False
        agent.backoff = Backoff(self.net.draw)
        agent.conn = None
        agent.deferred.clear()
        agent.holdings = [
            Holding(spec, secret=f"{self._rng.getrandbits(256):064x}", request_id=f"{self._rng.getrandbits(64):x}")
            for spec in agent.specs
        ]
        agent.run_since = self.agenda.now
        agent.recovers(self.agenda.now)
        self.world.oracle.note(agent.name, "process starts")
        self.claim(agent)

    def dies(self, agent: Agent) -> None:
        """Its process is gone; the connection is the kernel's business now."""
        agent.life += 1
        agent.runs = agent.awake = agent.stopped = False
        agent.deferred.clear()
        agent.run_total += self.agenda.now - agent.run_since
        if agent.conn is not None:
            self.world.beats.hush(agent.conn)
            agent.conn.open_here = False
            agent.conn = None

    # Registering.

    def claim(self, agent: Agent) -> None:
        """Registers what needs it, then puts all on a stream."""
        holding = next((one for one in agent.holdings if one.state is HoldState.CLAIM), None)
        if holding is None:
            self._proceed(agent)
            return
        now, daemon = self.agenda.now, self.world.daemon
        call = Call(agent, holding)
        if agent.cut or not daemon.up:
            self.later(agent, now + network.CONNECT_TIMEOUT_S, self._no_answer, call)
            return
        self.agenda.at(now + network.RTT_S + self.net.delay(), self._asked, call)
        self.later(agent, now + HANDSHAKE_S, self._no_answer, call)

    def _asked(self, call: Call) -> None:
        self.world.daemon.arrive(self._register, call, call)

    def _register(self, call: Call) -> None:
        holding = call.holding
        command = Register(spec=holding.spec, secret=holding.secret, request_id=holding.request_id)

        def answer(result: Result | RegistryError) -> None:
            if not call.agent.cut:
                self.later(call.agent, self.agenda.now + self.net.delay(), self._answered, (call, result))

        self.world.lane.execute(command, AGENTS, answer)

    def _no_answer(self, call: Call) -> None:
        if call.open:
            call.open = False
            agent = call.agent
            self.later(agent, self.agenda.now + agent.backoff.next(), self.claim, agent)

    def _answered(self, item: tuple[Call, Result | RegistryError]) -> None:
        call, result = item
        if not call.open:
            return
        call.open = False
        agent, holding, now = call.agent, call.holding, self.agenda.now
        if isinstance(result, Registered):
            holding.registered(result.entry.service_id, result.entry.epoch)
            self.world.oracle.note(agent.name, f"registered, epoch {holding.epoch}")
            self.claim(agent)
            return
        assert isinstance(result, RegistryError)
        self.world.oracle.note(agent.name, f"registration refused: {result}")
        wait_s = (result.retry_after_s or 0.0) * (1.0 + 0.2 * self.net.draw())
        if result.reason is not Reason.AGENT_IN_USE or holding.was_held:
            holding.claim_failed(result)
            wait_s = agent.backoff.next(result.retry_after_s or 0.0)
        self._check_final(agent)
        self.later(agent, now + wait_s, self.claim, agent)

    def _proceed(self, agent: Agent) -> None:
        conn = agent.conn
        if conn is None:
            self.connect(agent)
        elif conn.open_here and conn.answered_at < math.inf:
            requests = tuple(one.request() for one in agent.holdings if one.state is HoldState.RESUME)
            if requests:
                self._send(conn, Attach(sessions=requests))

    # Connecting.

    def connect(self, agent: Agent) -> None:
        """Opens a stream, or fails to."""
        now, daemon = self.agenda.now, self.world.daemon
        requests = tuple(one.request() for one in agent.holdings if one.state is HoldState.RESUME)
        conn = agent.conn = Conn(agent, Hello(agent_id=agent.name, sessions=requests))
        ready = now
        if daemon.frozen:
            ready = daemon.resume_at
        if agent.cut or not daemon.up or ready > now + 0.8 * network.CONNECT_TIMEOUT_S:
            conn.open_there = False
            self.later(agent, now + (network.CONNECT_TIMEOUT_S if daemon.up else network.RTT_S), self._failed, conn)
            return
        if self.net.draw() < 2 * self.net.loss:  # a lost SYN is sent again after 1 s: too late
            conn.open_there, agent.unlucky = False, True
            self.later(agent, now + network.CONNECT_TIMEOUT_S, self._failed, conn)
            return
        conn.hello_at = ready + network.RTT_S + self.net.delay()
        self.agenda.at(conn.hello_at, self.world.streams.hello_arrives, conn)
        self.later(agent, now + HANDSHAKE_S, self._unanswered, conn)

    def _failed(self, conn: Conn) -> None:
        self.ended((conn, None))

    def _unanswered(self, conn: Conn) -> None:
        if conn.open_here and conn.answered_at == math.inf:
            self.world.oracle.note(conn.agent.name, "gives up a hello that is not answered")
            self.hang_up(conn, "handshake")

    def hang_up(self, conn: Conn, cause: str) -> None:
        """The agent closes its end."""
        conn.cause = conn.cause or cause
        if conn.cut_until < math.inf:
            arrives = max(self.agenda.now, conn.hello_at, conn.due if conn.sent <= self.agenda.now else 0.0)
            if arrives < conn.cut_until:
                arrives = conn.cut_until + 0.5 * self.net.draw()  # the kernel goes on sending it
            self.agenda.at(arrives + self.net.delay(), self.world.streams.hangs_up, conn)
        self.later(conn.agent, self.agenda.now, self.ended, (conn, None))

    def gives_up(self, conn: Conn) -> None:
        """Its PING is not answered."""
        daemon = self.world.daemon
        if conn.open_here and not conn.agent.stopped and (daemon.frozen or self.agenda.now < conn.cut_until):
            self.world.oracle.note(conn.agent.name, "gives up a silent connection")
            self.hang_up(conn, "stall" if daemon.frozen else "ping")

    def peer_closed(self, conn: Conn) -> None:
        """The daemon's end is closed, and the agent may hear of it."""
        if not conn.open_here:
            return
        now = self.agenda.now
        if conn.cut_until == math.inf:
            return
        if now < conn.cut_until:
            self.agenda.at(conn.cut_until + 0.5 * self.net.draw(), self.peer_closed, conn)
            return
        self.later(conn.agent, now, self.ended, (conn, None))

    def ended(self, item: tuple[Conn, RegistryError | None]) -> None:
        """The stream is over for the agent: it comes back, as the supervisor does."""
        conn, error = item
        agent, now = conn.agent, self.agenda.now
        if agent.conn is not conn:
            return
        conn.open_here = False
        self.world.beats.hush(conn)
        agent.conn = None
        if conn.seq:
            agent.disturbed_at = now
        for holding in agent.holdings:
            holding.stream_ended()
        agent.backoff.lived(max(0.0, now - conn.answered_at) if conn.answered_at < math.inf else 0.0)
        asked_s = conn.asked_s
        if error is not None:
            self.world.oracle.note(agent.name, f"stream ended by the registry: {error}")
            asked_s = asked_s or error.retry_after_s or 0.0
            if error.reason is Reason.SUPERSEDED or is_lasting(error):
                self.world.oracle.gave_up(agent, error)
        if asked_s:
            agent.waits_until, agent.told_by = now + asked_s, self.world.daemon.life
        if not agent.leaving:
            self.later(agent, now + agent.backoff.next(asked_s), self.claim, agent)

    # What comes from the daemon.

    def frames(self, item: tuple[Conn, list[RegistryFrame]]) -> None:
        """Frames arrive."""
        conn, frames = item
        agent, now = conn.agent, self.agenda.now
        if not conn.open_here:
            return
        if now < conn.cut_until:
            conn.held.append(frames)
            return
        answered = False
        for frame in frames:
            match frame:
                case Welcome():
                    conn.interval_s, conn.told_at = frame.interval_s, math.inf
                case Sessions():
                    answered = True
                    self._results(conn, frame)
                case Lost():
                    self._holding(agent, frame.service_id).lost(frame.reason, request_id=self._new_id())
                    self.world.oracle.note(agent.name, f"lost: {frame.reason.name}")
                case GoAway():
                    conn.asked_s = frame.reconnect_after_s
                case _:
                    conn.interval_s = frame.interval_s  # type: ignore[union-attr]  # an ack; nobody drains here
        if answered:
            if conn.answered_at == math.inf:
                conn.answered_at = now
            if any(one.state is HoldState.HELD for one in agent.holdings):
                self.world.beats.now(conn)
        self._check_final(agent)
        if any(one.state is HoldState.CLAIM for one in agent.holdings):
            self.later(agent, now + agent.backoff.next(), self.claim, agent)

    def _results(self, conn: Conn, frame: Sessions) -> None:
        for result in frame.results:
            holding = self._holding(conn.agent, result.service_id)
            if result.error is None:
                holding.accepted(result.epoch)
            else:
                self.world.oracle.note(conn.agent.name, f"session refused: {result.error}")
                holding.refused(result.error, secret=f"{self._rng.getrandbits(256):064x}", request_id=self._new_id())

    def _holding(self, agent: Agent, service_id: str) -> Holding:
        return next(one for one in agent.holdings if one.service_id == service_id)

    def _new_id(self) -> str:
        return f"{self._rng.getrandbits(64):x}"

    def _check_final(self, agent: Agent) -> None:
        for holding in agent.holdings:
            if holding.state in FINAL and not agent.leaving:
                self.world.oracle.gave_up(agent, holding.error)

    # Beating.

    def _send(self, conn: Conn, frame: Any) -> None:
        """Sends a frame that is no beat. Into a cut none is written, for all who write suffer nothing else."""
        if self.agenda.now >= conn.cut_until:
            arrives = max(self.agenda.now + self.net.delay(), conn.due if conn.sent <= self.agenda.now else 0.0)
            self.agenda.at(arrives, self._frame_arrives, (conn, frame))

    def _frame_arrives(self, item: tuple[Conn, Any]) -> None:
        conn, _ = item
        if conn.open_there:
            self.world.daemon.arrive(self.world.streams.frame, item, conn)

    def goodbye(self, agent: Agent, reason: GoodbyeReason) -> None:
        """Announces the end of the stream."""
        assert agent.conn is not None
        agent.disturbed_at = self.agenda.now
        self.world.beats.hush(agent.conn)
        self._send(agent.conn, Goodbye(reason=reason))

    def beat_frame(self, conn: Conn) -> Beat:
        """The beat that arrives."""
        return Beat(seq=conn.seq)
