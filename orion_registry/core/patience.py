"""The patient clock: it doubts itself first. Time in which the daemon itself was away counts against nobody."""

import math

from orion_registry.core.model import Now
from orion_registry.core.self_health import LagMeter, SelfHealth

TICK_S = 0.1
"""Time between two ticks: the grain of every deadline."""

LATE_TICK_S = 0.25
"""A tick that comes later than this was held up by a stall, not by scheduling noise. A naive sweeper killed 200 of 200
live agents after a pause of 5 s; with credit for its own lag none (references/reliability-security.md 1.2, no. 6)."""

SHAKING_STALL_S = 1.5
"""A stall this long may have made agents give up their side of the connection: what ends then ended because of us."""

SHAKEN_S = 4.0
"""Seconds after such a stall in which ends are not believed: PING needs 2.7 s to find a connection that the agent gave
up meanwhile, and a lost segment one retransmission more. After a pause of 8 s 40 of 40 streams ended in the instant
of resume (references/reliability-security.md 1.2, no. 8)."""


class Patience:
    """Turns the monotonic clock into judged time: the same, minus every stall of the daemon.

    A stall is time in which nothing was seen: neither a tick nor anything from outside. The first who comes after it
    pays it back at once, so that what is read before the first tick is judged like all others; the tick then adds only
    what it was held up longer. Every instant that enters the core passes here once; deadlines, pulses and windows live
    in judged time.

    Args:
        late_tick_s: lag from which on it is a stall; inf = there are none.
    """

    __slots__ = ("_credit_s", "_late_s", "_meter", "_patient_until", "_repaid_s", "_seen", "_shaken_until", "_ticked")

    def __init__(self, late_tick_s: float = LATE_TICK_S) -> None:
        self._late_s = late_tick_s
        self._credit_s = 0.0
        self._patient_until = math.inf  # nothing was seen yet: nothing can have been missed
        self._seen = 0.0
        self._ticked: float | None = None
        self._repaid_s = 0.0
        self._shaken_until = -math.inf
        self._meter = LagMeter()

    def judged(self, mono: float) -> float:
        """Judged seconds of an instant, which is not before the last one. The hot path: one comparison."""
        if mono > self._patient_until:
            self._repay(mono, mono - self._seen - TICK_S)
        self._seen = mono
        self._patient_until = mono + (TICK_S + self._late_s)
        return mono - self._credit_s

    @property
    def latest(self) -> float:
        """The instant seen last, in judged seconds."""
        return self._seen - self._credit_s

    def read(self, now: Now) -> Now:
        """An instant in judged time; its wall clock stays."""
        mono = self.judged(now.mono)
        return now if mono == now.mono else Now(mono=mono, wall=now.wall)

    def tick(self, now: Now) -> Now:
        """The instant of a tick in judged time. A late tick pays back its lag, less what was paid since the last."""
        mono = now.mono
        if mono > self._patient_until:  # before the first tick there is no other measure than what was seen
            self._repay(mono, mono - self._seen - TICK_S)
        lag_s = 0.0 if self._ticked is None else max(0.0, mono - self._ticked - TICK_S)
        if lag_s > self._late_s and lag_s > self._repaid_s:
            self._repay(mono, lag_s - self._repaid_s)
        self._ticked, self._repaid_s = mono, 0.0
        self._seen = mono
        self._patient_until = mono + (TICK_S + self._late_s)
        self._meter.ticked(mono, lag_s)
        return now if not self._credit_s else Now(mono=mono - self._credit_s, wall=now.wall)

    @property
    def shaken(self) -> bool:
        """Whether, as of the instant seen last, an end may be the fault of a stall: by the true clock."""
        return self._seen <= self._shaken_until

    def health(self) -> SelfHealth:
        """How well the daemon itself keeps time."""
        return self._meter.health(self._seen)

    def _repay(self, mono: float, stall_s: float) -> None:
        self._credit_s += stall_s
        self._meter.stalled(stall_s, goes_on=self._repaid_s > 0.0)
        self._repaid_s += stall_s
        if self._meter.last_stall_s >= SHAKING_STALL_S:
            self._shaken_until = max(self._shaken_until, mono + SHAKEN_S)
