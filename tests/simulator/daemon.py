"""The daemon: a real `Registry`, driven as the coordinator and the heartbeat streams drive it."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from orion_registry.core.config import RegistryConfig
from orion_registry.core.frames import GoAway, GoAwayReason
from orion_registry.core.model import Actor, Now
from orion_registry.core.registry import Registry
from orion_registry.errors import Reason, Unavailable
from orion_registry.testing.entropy import SeededEntropy
from tests.simulator.agenda import Act
from tests.simulator.lane import nobody_waits

if TYPE_CHECKING:
    from tests.simulator.world import World

TICK_S = 0.1
WALL = 1.8e9
ITEM_S = 100e-6
"""What a frame or an end costs the event loop (grpc.aio, docs/performance.md): a backlog takes time to work off."""

SHORT_STALL_S = 0.36
"""Of a stall so much need not be credited: a tick, and 250 ms."""

REGISTRY = Actor(identity="registry")

Queued = tuple[Act, Any, object]
"""What to do with what, and the connection or call that it came over."""


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
        self._queue: list[Queued] = []
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
            self.world.lane.execute(command, REGISTRY, nobody_waits)
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
        self.world.lane.clear()
        self.busy_until = 0.0
        streams = self.world.streams
        for conn in streams.conns:
            streams.dropped(conn, "crash")
        streams.conns.clear()
        self.trouble_end = self.agenda.now + away_s
        self.agenda.at(self.trouble_end, self._restart, stored)

    def shut_down(self, away_s: float) -> None:
        """A clean stop: everybody is sent away first."""
        self.judges = False
        self.registry.stop_judging()
        away = GoAway(reason=GoAwayReason.SHUTDOWN, reconnect_after_s=self.config.go_away_s)
        error = Unavailable(Reason.NOT_SERVING, "the registry is stopping", retry_after_s=1.0)
        for conn in list(self.world.streams.conns):
            if conn.session is not None:
                conn.session.go_away(away)
                conn.session.finish(error)
                self.world.streams.flush(conn)
        self.crash(away_s)

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
        """Nothing is processed for so long. frozen: SIGSTOP, nobody answers PINGs either; else a blocked event loop."""
        now = self.agenda.now
        self.stalled, self.frozen, self.stalled_from, self.resume_at = True, frozen, now, now + seconds
        self.trouble_end = self.resume_at
        if frozen:
            for conn in self.world.streams.conns:
                self.world.streams.freeze(conn)
        self.agenda.at(self.resume_at, self._resume, self.life)

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
