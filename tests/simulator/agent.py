"""One agent and its connections, as they truly are."""

import math
from collections import deque
from typing import Any

from orion_registry.client.backoff import Backoff
from orion_registry.client.holding import Holding
from orion_registry.core.frames import Hello, RegistryFrame
from orion_registry.core.model import ServiceSpec
from orion_registry.core.sessions import HeartbeatSession
from tests.simulator.agenda import Act


class Conn:
    """One connection with the heartbeat stream on it.

    Attributes:
        session: the registry's, from the moment that hello was handled to the end of the stream.
        hello: what the agent says first; hello_at: when it reaches the daemon.
        open_here, open_there: whether the agent's, the daemon's transport believes in it.
        quiet: the agent sends no beats now.
        sent, due: when the next beat is sent and when it arrives; due -1 = none is on its way or planned.
        heard: when the daemon's transport last read a beat. handled, handled_judged: when its core took the last frame.
        interval_s: between beats, as the agent knows it; told_s comes into force at told_at.
        step_s: the interval that the beat under way keeps to. ordered_s: what the daemon said last.
        ping_out: when the PING that is under way runs out; lossy: because of losses alone.
        cause: why the stream ended.
        answered_at: when the agent read the first answer; inf = not yet.
        held: frames that a cut holds up.
        cut_until: nothing passes until then.
    """

    __slots__ = (
        "agent",
        "answered_at",
        "asked_s",
        "cause",
        "cut_until",
        "down",
        "due",
        "handled",
        "handled_judged",
        "heard",
        "held",
        "hello",
        "hello_at",
        "interval_s",
        "life",
        "lossy",
        "open_here",
        "open_there",
        "ordered_s",
        "ping_out",
        "quiet",
        "sent",
        "seq",
        "session",
        "step_s",
        "told_at",
        "told_s",
    )

    def __init__(self, agent: "Agent", hello: Hello) -> None:
        self.agent = agent
        self.life = agent.life
        self.hello = hello
        self.hello_at = 0.0
        self.session: HeartbeatSession | None = None
        self.open_here = self.open_there = True
        self.quiet = True
        self.sent, self.due = math.inf, -1.0
        self.seq = 0
        self.heard = self.handled = self.handled_judged = 0.0
        self.down = 0.0
        self.interval_s = self.told_s = 1.0
        self.told_at = math.inf
        self.ordered_s = self.step_s = 0.0
        self.ping_out = -1.0
        self.lossy = False
        self.cause = ""
        self.answered_at = math.inf
        self.asked_s = 0.0
        self.held: list[list[RegistryFrame]] = []
        self.cut_until = 0.0


class Fault:
    """Something that an agent suffers. detected: when a service of it was first seen to be not ready."""

    __slots__ = ("begin", "detected", "kind")

    def __init__(self, kind: str, begin: float) -> None:
        self.kind = kind
        self.begin = begin
        self.detected: float | None = None


class Agent:
    """The truth about one agent.

    Attributes:
        life: number of its process; what belongs to an earlier one means nothing.
        runs: its process exists. awake: it runs its event loop. cut: its network is cut off.
        sound_since: since when it runs, awake and connected to the network; inf = it does not.
        disturbed_at: when it last lost a stream that had served.
        fault: what it suffers now.
        deferred: what its event loop will do when it wakes up.
        streams: those of its connections whose streams are open in the daemon.
        waits_until: when it may come, as the daemon of life `told_by` said.
        unlucky: a loss delayed its return.
        leaving: it said goodbye for good.
    """

    __slots__ = (
        "awake",
        "backoff",
        "calling",
        "conn",
        "cut",
        "deferred",
        "disturbed_at",
        "fault",
        "holdings",
        "leaving",
        "life",
        "name",
        "number",
        "run_since",
        "run_total",
        "runs",
        "sound_since",
        "sound_total",
        "specs",
        "stopped",
        "streams",
        "told_by",
        "unlucky",
        "waits_until",
    )

    def __init__(self, number: int, specs: tuple[ServiceSpec, ...], backoff: Backoff) -> None:
        self.number = number
        self.name = specs[0].agent_id
        self.specs = specs
        self.backoff = backoff
        self.holdings: list[Holding] = []
        self.conn: Conn | None = None
        self.life = 0
        self.runs = self.awake = self.cut = False
        self.calling = self.leaving = self.unlucky = self.stopped = False
        self.streams: list[Conn] = []
        self.sound_since = math.inf
        self.disturbed_at = self.waits_until = 0.0
        self.told_by = 0
        self.sound_total = self.run_since = self.run_total = 0.0
        self.fault: Fault | None = None
        self.deferred: deque[tuple[Act, Any]] = deque()

    def suffers(self, kind: str, now: float) -> Fault:
        """A fault begins."""
        if self.sound_since <= now:
            self.sound_total += now - self.sound_since
        self.sound_since = math.inf
        self.fault = Fault(kind, now)
        return self.fault

    def recovers(self, now: float) -> None:
        """No fault is left."""
        self.fault, self.sound_since, self.unlucky = None, now, False
