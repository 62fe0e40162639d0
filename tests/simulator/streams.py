"""Connections as the daemon sees them: its transport, which a blocked event loop does not stop, and the pump."""

from functools import partial
from typing import TYPE_CHECKING

from orion_registry.core.commands import Remove, Result
from orion_registry.core.frames import Ack, AgentFrame, Goodbye, GoodbyeReason, Sessions, Welcome
from orion_registry.core.model import Actor, RemovalReason
from orion_registry.errors import RegistryError
from tests.simulator import network
from tests.simulator.agent import Conn

if TYPE_CHECKING:
    from tests.simulator.world import World

GHOSTS_UNHEARD = 0.9
"""Share of hellos that nobody waits for any more of which the daemon reads nothing."""

AGENTS = Actor(address="127.0.0.1")


class Streams:
    """All heartbeat streams.

    Attributes:
        conns: whose streams are open.
        ending: the connection whose end is being handled.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda
        self.conns: dict[Conn, None] = {}
        self.ending: Conn | None = None

    # The transport.

    def freeze(self, conn: Conn) -> None:
        """What a stopped daemon means for one connection."""
        now, draw = self.agenda.now, self.world.net.draw
        gives_up = now + network.AGENT_GIVES_UP_S - draw() * min(2.0, network.PING_CYCLE_S)
        if gives_up < self.world.daemon.resume_at:
            self.agenda.at(gives_up, self.world.sdk.gives_up, conn)
        ping = network.ping_under_way(conn.heard, now)
        unanswered = ping <= now and ping + network.PING_TIMEOUT_S < self.world.daemon.resume_at
        if unanswered and conn.open_there and draw() < 0.5:
            # Its answer waits in the socket, but the timer, that has run out too, is looked at first.
            conn.cause = conn.cause or "stall"
            self.agenda.at(self.world.daemon.resume_at, self.hangs_up, conn)

    def hello_arrives(self, conn: Conn) -> None:
        """A new connection says hello."""
        if not conn.open_there:
            return
        if not self.world.daemon.up:
            self.dropped(conn, "crash")
            return
        self.world.daemon.arrive(self.hello, conn, conn)

    def hangs_up(self, conn: Conn) -> None:
        """The transport finds a connection closed."""
        if conn.open_there:
            conn.open_there = False
            conn.agent.disturbed_at = self.agenda.now
            self.agenda.at(self.agenda.now + self.world.net.delay(), self.world.sdk.peer_closed, conn)
            self.world.daemon.arrive(self.end, conn, conn)

    def ping_out(self, conn: Conn) -> None:
        """A PING may have run out."""
        now = self.agenda.now
        if conn.ping_out != now or not conn.open_there:
            return
        if self.world.daemon.frozen:
            begun = now - network.PING_TIMEOUT_S < self.world.daemon.stalled_from
            wait_s = 0.0 if begun else network.PING_TIMEOUT_S + network.KEEPALIVE_S * self.world.net.draw()
            if conn.lossy:  # its answer comes during the stall
                if not begun or self.world.net.draw() < 0.5:
                    return
                conn.cause = conn.cause or "stall"
            conn.ping_out = self.world.daemon.resume_at + wait_s
            self.agenda.at(conn.ping_out, self.ping_out, conn)
            return
        conn.cause = conn.cause or ("loss" if conn.lossy else "ping")
        self.hangs_up(conn)

    # The pump.

    def hello(self, conn: Conn) -> None:
        """The first frame of a stream. Of one that is cancelled by now the read mostly fails, and nothing is heard."""
        if not conn.open_there and self.world.net.draw() < GHOSTS_UNHEARD:
            return
        conn.session = self.world.daemon.registry.open_stream(AGENTS, partial(self._woken, conn))
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
            if self.world.lane.waits(request.ref.service_id, partial(self.frame, item)):
                return
        if not isinstance(frame, Goodbye):  # which is no sign of life any more
            self._handled(conn)
        session.receive(frame, self.world.daemon.now())
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
        session.receive(self.world.sdk.beat_frame(conn), self.world.daemon.now())
        outbox = session.outbox
        if outbox:
            ack = outbox[0]
            if len(outbox) > 1 or not isinstance(ack, Ack):
                self.flush(conn)
                return
            outbox.clear()
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
        self.world.daemon.registry.close_stream(session, self.world.daemon.now())
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
        conn.handled, conn.handled_judged = self.agenda.now, self.agenda.now - self.world.daemon.credited_s

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
            self.world.lane.execute(
                Remove(service_id=service_id, reason=RemovalReason.UNREGISTERED, at_epoch=epoch), AGENTS, parted
            )
        if not left:
            session.finish(None)

    def dropped(self, conn: Conn, cause: str) -> None:
        conn.session, conn.open_there, conn.cause = None, False, cause
        conn.agent.streams.clear()
        self.agenda.at(self.agenda.now + self.world.net.delay(), self.world.sdk.peer_closed, conn)
