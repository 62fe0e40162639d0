"""The daemon: a real `Registry`, driven as the coordinator and the heartbeat streams drive it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from orion_registry.core.commands import Command, Remove, Result
from orion_registry.core.config import RegistryConfig
from orion_registry.core.frames import (
    Ack,
    AgentFrame,
    GoAway,
    GoAwayReason,
    Goodbye,
    GoodbyeReason,
    Sessions,
    Welcome,
)
from orion_registry.core.model import Actor, Now, RemovalReason
from orion_registry.core.planning import Plan, Settled, key_of
from orion_registry.core.registry import Registry
from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.testing.entropy import SeededEntropy
from tests.simulator import network
from tests.simulator.agenda import Act
from tests.simulator.agent import Conn

if TYPE_CHECKING:
    from tests.simulator.world import World

TICK_S = 0.1
WALL = 1.8e9
ITEM_S = 100e-6
"""What a frame or an end costs the event loop (grpc.aio, docs/performance.md): a backlog takes time to work off."""

GHOSTS_UNHEARD = 0.9
"""Share of hellos that nobody waits for any more of which the daemon reads nothing."""

SHORT_STALL_S = 0.36
"""Of a stall so much need not be credited: a tick, and 250 ms."""

AGENTS = Actor(address="127.0.0.1")
REGISTRY = Actor(identity="registry")

Queued = tuple[Act, Any, object]
"""What to do with what, and the connection or call that it came over."""

Answer = Callable[[Result | RegistryError], None]


@dataclass(slots=True, eq=False)
class Commit:
    """A durable command on its way to the store."""

    life: int
    key: str
    plan: Plan
    answer: Answer


class Daemon:
    """One daemon over all its lives.

    Attributes:
        registry: of this life.
        up: the process exists. stalled: it processes nothing. frozen: its C threads do not run either.
        resume_at: when the stall ends.
        stalled_from: begin of the stall that is on.
        stalled_s, credited_s: seconds of all stalls that are over, and of them those that must be credited.
        trouble_end: when it was last disturbed: end of the last stall, its backlog, or restart.
        judges: False while it is shut down.
        stall_end, stall_s: end and length of the last stall.
        ending: the connection whose end is being handled.
        conns: whose streams are open.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda
        self.config: RegistryConfig = world.config
        self.life = 0
        self.up = self.stalled = self.frozen = False
        self.busy_until = self.resume_at = self.stalled_from = 0.0
        self.stalled_s = self.credited_s = 0.0
        self.trouble_end, self.stall_end, self.stall_s = 0.0, -1e9, 0.0
        self.judges = True
        self.wall_offset = 0.0
        self.conns: dict[Conn, None] = {}
        self.ending: Conn | None = None
        self._queue: list[Queued] = []
        self._commits: dict[str, list[Callable[[], None]]] = {}
        self._tick_number = 0
        self._boot_registry()

    # Time.

    def now(self) -> Now:
        """The instant, as the daemon's clocks show it."""
        mono = self.agenda.now
        return Now(mono=mono, wall=WALL + mono + self.wall_offset)

    def judged(self) -> float:
        """Now without the least that is credited of the stalls: silences in the registry are no longer than in this."""
        return self.agenda.now - self.credited_s

    def judged_least(self) -> float:
        """Now without all stalls: spans in the registry are no shorter than in this."""
        return self.agenda.now - self.stalled_s

    def tick(self, number: int) -> None:
        """Lets time pass."""
        if number != self._tick_number or self.stalled or not self.up:
            return
        for command in self.registry.advance(self.now()):
            self.execute(command, REGISTRY, _ignore)
        self._reserve()
        self.world.oracle.ticked()
        self.agenda.at(self.agenda.now + TICK_S + 0.001 * self.world.net.draw(), self.tick, number)

    def _tick_from(self, when: float) -> None:
        self._tick_number += 1
        self.agenda.at(when, self.tick, self._tick_number)

    # Life.

    def _boot_registry(self) -> None:
        self.life += 1
        entropy = SeededEntropy(self.life)
        self.registry = Registry(self.config, entropy, f"life {self.life}", self.world.oracle.publish)

    def start(self) -> None:
        """The first start."""
        self._reserve()
        self.up = True
        self._tick_from(self.agenda.now + TICK_S)

    def crash(self, away_s: float) -> None:
        """kill -9, and another life later."""
        stored = self.registry.stored()
        self.up = self.stalled = self.frozen = False
        self.life += 1
        self._queue.clear()
        self._commits.clear()
        self.busy_until = 0.0
        for conn in self.conns:
            self._dropped(conn, "crash")
        self.conns.clear()
        self.trouble_end = self.agenda.now + away_s
        self.agenda.at(self.trouble_end, self._restart, stored)

    def shut_down(self, away_s: float) -> None:
        """A clean stop: everybody is sent away first."""
        self.judges = False
        self.registry.stop_judging()
        away = GoAway(reason=GoAwayReason.SHUTDOWN, reconnect_after_s=self.config.go_away_s)
        error = Unavailable(Reason.NOT_SERVING, "the registry is stopping", retry_after_s=1.0)
        for conn in list(self.conns):
            if conn.session is not None:
                conn.session.go_away(away)
                conn.session.finish(error)
                self.flush(conn)
        self.crash(away_s)

    def _dropped(self, conn: Conn, cause: str) -> None:
        conn.session, conn.open_there, conn.cause = None, False, cause
        conn.agent.streams.clear()
        self.agenda.at(self.agenda.now + self.world.net.delay(), self.world.sdk.peer_closed, conn)

    def _restart(self, stored: Any) -> None:
        self._boot_registry()
        self.judges = True
        self.world.oracle.restarted()
        self.registry.restore_epochs(stored)
        self._reserve()
        self.up = True
        self.registry.restore(stored, self.now())
        self.trouble_end = self.agenda.now
        self._tick_from(self.agenda.now + TICK_S)

    def _reserve(self) -> None:
        if (fact := self.registry.epochs_wanted) is not None:
            self.registry.epochs_reserved(fact)

    # Stalls.

    def stall(self, seconds: float, *, frozen: bool) -> None:
        """Nothing is processed for so long. frozen: SIGSTOP, so PINGs stay unanswered; else a blocked event loop."""
        now = self.agenda.now
        self.stalled, self.frozen, self.stalled_from, self.resume_at = True, frozen, now, now + seconds
        self.trouble_end = self.resume_at
        if frozen:
            for conn in self.conns:
                self._freeze(conn)
        self.agenda.at(self.resume_at, self._resume, self.life)

    def _freeze(self, conn: Conn) -> None:
        """What a stopped daemon means for one connection."""
        now, draw = self.agenda.now, self.world.net.draw
        gives_up = now + network.AGENT_GIVES_UP_S - draw() * min(2.0, network.PING_CYCLE_S)
        if gives_up < self.resume_at:
            self.agenda.at(gives_up, self.world.sdk.gives_up, conn)
        ping = network.ping_under_way(conn.heard, now)
        unanswered = ping <= now and ping + network.PING_TIMEOUT_S < self.resume_at
        if unanswered and conn.open_there and draw() < 0.5:
            # Its answer waits in the socket, but the timer, that has run out too, is looked at first.
            conn.cause = conn.cause or "stall"
            self.agenda.at(self.resume_at, self.hangs_up, conn)

    def _resume(self, life: int) -> None:
        if life != self.life:
            return
        now, net = self.agenda.now, self.world.net
        self.stalled = self.frozen = False
        self.stall_s, self.stall_end = now - self.stalled_from, now
        self.stalled_s += self.stall_s
        self.credited_s += max(0.0, self.stall_s - SHORT_STALL_S)
        items, self._queue = self._queue, []
        if net.draw() < 0.5:
            items = self._in_turns(items)
        place = (0, len(items), int(net.draw() * (len(items) + 1)))[int(net.draw() * 3)]
        for number, (act, what, _) in enumerate(items):
            if number == place:
                self._tick_from(now + number * ITEM_S)
            self.agenda.at(now + number * ITEM_S, self._late, (life, act, what))
        self.busy_until = now + len(items) * ITEM_S
        if place == len(items):
            self._tick_from(self.busy_until)
        self.trouble_end = self.busy_until
        self.world.oracle.note("", f"resumed after {self.stall_s:.3f} s with {len(items)} in line, tick at {place}")

    def _in_turns(self, items: list[Queued]) -> list[Queued]:
        """One of each connection, then the next of each: each in its own order, and they among them in any."""
        ranks: dict[object, float] = {}
        turns: Counter[object] = Counter()
        order = []
        for item in items:
            order.append((turns[item[2]], ranks.setdefault(item[2], self.world.net.draw()), item))
            turns[item[2]] += 1
        return [item for _, _, item in sorted(order, key=lambda one: one[:2])]

    # What comes from the network.

    def arrive(self, act: Act, what: Any, conn: object) -> None:
        """Something for the event loop: handled at once, or in its turn."""
        if not self.up:
            return
        if self.stalled:
            self._queue.append((act, what, conn))
        elif self.agenda.now < self.busy_until:
            self.agenda.at(self.busy_until, self._late, (self.life, act, what))
            self.busy_until += ITEM_S
        else:
            act(what)

    def _late(self, item: tuple[int, Act, Any]) -> None:
        life, act, what = item
        if life == self.life:
            act(what)

    def hello_arrives(self, conn: Conn) -> None:
        """A new connection says hello."""
        if not conn.open_there:
            return
        if not self.up:
            self._dropped(conn, "crash")
            return
        self.arrive(self.hello, conn, conn)

    def hangs_up(self, conn: Conn) -> None:
        """The transport finds a connection closed."""
        if conn.open_there:
            conn.open_there = False
            conn.agent.disturbed_at = self.agenda.now
            self.agenda.at(self.agenda.now + self.world.net.delay(), self.world.sdk.peer_closed, conn)
            self.arrive(self.end, conn, conn)

    def ping_out(self, conn: Conn) -> None:
        """A PING may have run out."""
        now = self.agenda.now
        if conn.ping_out != now or not conn.open_there:
            return
        if self.frozen:
            begun = now - network.PING_TIMEOUT_S < self.stalled_from
            wait_s = 0.0 if begun else network.PING_TIMEOUT_S + network.KEEPALIVE_S * self.world.net.draw()
            if conn.lossy:  # its answer comes during the stall
                if not begun or self.world.net.draw() < 0.5:
                    return
                conn.cause = conn.cause or "stall"
            conn.ping_out = self.resume_at + wait_s
            self.agenda.at(conn.ping_out, self.ping_out, conn)
            return
        conn.cause = conn.cause or ("loss" if conn.lossy else "ping")
        self.hangs_up(conn)

    # Streams.

    def hello(self, conn: Conn) -> None:
        """The first frame of a stream. Of one that is cancelled by now the read mostly fails, and nothing is heard."""
        if not conn.open_there and self.world.net.draw() < GHOSTS_UNHEARD:
            return
        conn.session = self.registry.open_stream(AGENTS, partial(self._woken, conn))
        self.conns[conn] = None
        conn.agent.streams.append(conn)
        conn.heard = max(conn.heard, conn.hello_at)
        self.world.oracle.note(conn.agent.name, "hello")
        self.frame((conn, conn.hello))

    def frame(self, item: tuple[Conn, AgentFrame]) -> None:
        """A frame that is no beat. A hello or attach for a service that is being written waits."""
        conn, frame = item
        session = conn.session
        if session is None:
            return
        for request in getattr(frame, "sessions", ()):
            waiting = self._commits.get(request.ref.service_id)
            if waiting is not None:
                waiting.append(partial(self.frame, item))
                return
        if not isinstance(frame, Goodbye):  # which is no sign of life any more
            self._handled(conn)
        session.receive(frame, self.now())
        if isinstance(frame, Goodbye) and not session.ended:
            self._part(conn)
        self.flush(conn)

    def beat(self, conn: Conn) -> None:
        """A beat."""
        session = conn.session
        if session is None:
            return
        conn.seq += 1
        self._handled(conn)
        session.receive(self.world.sdk.beat_frame(conn), self.now())
        outbox = session.outbox
        if outbox:
            if len(outbox) > 1 or type(outbox[0]) is not Ack:
                self.flush(conn)
                return
            ack = outbox.popleft()
            assert isinstance(ack, Ack)
            if ack.interval_s != conn.ordered_s:
                conn.ordered_s = conn.told_s = ack.interval_s
                conn.told_at = self.agenda.now + self.world.net.delay()
        if session.ended:
            self.flush(conn)

    def end(self, conn: Conn) -> None:
        """The stream is over."""
        session, conn.session = conn.session, None
        if session is None:
            return
        self.conns.pop(conn, None)
        conn.agent.streams.remove(conn)
        self.ending = conn
        self.registry.close_stream(session, self.now())
        self.ending = None
        self.world.oracle.ended(conn)

    def flush(self, conn: Conn) -> None:
        """Sends what is in the outbox, and ends the stream if the registry wants it."""
        session = conn.session
        if session is None:
            return
        frames = list(session.outbox)
        session.outbox.clear()
        now, sdk = self.agenda.now, self.world.sdk
        for frame in frames:
            if isinstance(frame, Welcome | Ack):
                conn.ordered_s = frame.interval_s
                if isinstance(frame, Welcome):
                    self.world.oracle.let_in(conn.agent)
            elif isinstance(frame, Sessions):
                self.world.oracle.given(conn, frame)
        conn.down = max(conn.down, now + self.world.net.delay())
        if frames:
            sdk.later(conn.agent, conn.down, sdk.frames, (conn, frames))
        if session.ended:
            conn.cause = conn.cause or "registry"
            conn.open_there = False
            self.end(conn)
            sdk.later(conn.agent, conn.down, sdk.ended, (conn, session.end))

    def _woken(self, conn: Conn) -> None:
        self.agenda.at(self.agenda.now, self.flush, conn)

    def _handled(self, conn: Conn) -> None:
        conn.handled, conn.handled_judged = self.agenda.now, self.agenda.now - self.credited_s

    def _part(self, conn: Conn) -> None:
        """After a goodbye, as `Coordinator._part` does it."""
        session = conn.session
        assert session is not None
        conn.cause = "goodbye"
        left = list(session.services.items()) if session.goodbye is GoodbyeReason.STOPPING else []
        missing = len(left)

        def parted(result: Result | RegistryError) -> None:
            nonlocal missing
            missing -= 1
            if missing <= 0:
                session.finish(result if isinstance(result, RegistryError) else None)

        for service_id, entry in left:
            epoch = entry.streams[session]
            self.world.oracle.services[service_id].parting = True
            farewell = Remove(service_id=service_id, reason=RemovalReason.UNREGISTERED, at_epoch=epoch)
            self.execute(farewell, AGENTS, parted)
        if not left:
            session.finish(None)

    # The durable lane.

    def execute(self, command: Command, actor: Actor, answer: Answer) -> None:
        """Runs a durable command, one after the other for each service."""
        key = key_of(command)
        assert key is not None
        waiting = self._commits.get(key)
        if waiting is not None:
            waiting.append(partial(self.execute, command, actor, answer))
            return
        try:
            plan = self.registry.plan(command, actor, self.now())
        except RegistryError as error:
            answer(error)
            return
        if isinstance(plan, Settled):
            answer(plan.result)
            return
        self.registry.begin(plan)
        self._commits[key] = []
        draw = self.world.net.draw
        slow = 1.0 if draw() < 0.01 else 0.02
        self.agenda.at(self.agenda.now + 0.002 + slow * draw(), self._stored, Commit(self.life, key, plan, answer))

    def _stored(self, commit: Commit) -> None:
        if commit.life == self.life:
            self.arrive(self._apply, commit, commit)

    def _apply(self, commit: Commit) -> None:
        result = self.registry.apply(commit.plan, self.now())
        waiting = self._commits.pop(commit.key)
        commit.answer(result)
        for again in waiting:
            again()


def _ignore(_: Result | RegistryError) -> None:
    """Nobody waits for this answer."""
