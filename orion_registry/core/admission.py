"""Who may come in now, when all come at once: token buckets, and a turn for each who has to wait."""

from orion_registry.core.config import RegistryConfig
from orion_registry.errors import Limit, Reason, ResourceExhausted

WAIT_MOST_S = 30.0
"""Longest wait that anybody is told. When more wait than fit, turns begin again from the first: so they stay spread."""

ROUNDING = 1e-6
"""Share of a token that may be missing: whoever comes exactly at its turn is not sent away by a rounding error."""

HELLO_BURST_S = 2.0
REGISTRATION_BURST_S = 1.0
"""Seconds' worth of calls that a bucket holds when it is full."""

STRANGERS = 0.2
"""Share of the rate of resumes at which hellos come in that bring no service, or none that they may act for."""


class TokenBucket:
    """Lets in `rate` a second, and at most `burst` at once.

    Whoever is refused gets a turn of its own, each a little later than the one before, at the same rate: told to come
    again at once, all would come together again. Turns are advice: whoever comes and finds a token takes it.
    """

    __slots__ = ("_burst", "_mono", "_rate", "_tokens", "_turn")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = max(1.0, burst)
        self._tokens = self._burst
        self._mono = float("-inf")
        self._turn = float("-inf")

    def take(self, mono: float, units: int = 1) -> float:
        """Seconds to wait; 0 = come in. What is worth several comes in as others do, and who is next waits for it."""
        if mono > self._mono:  # judged time may step back a little, see `patience`
            self._tokens = min(self._burst, self._tokens + (mono - self._mono) * self._rate)
            self._mono = mono
        if self._tokens >= 1.0 - ROUNDING:
            self._tokens -= units
            return 0.0
        first = mono + (1.0 - self._tokens) / self._rate
        turn = max(first, self._turn + 1.0 / self._rate)
        self._turn = turn if turn <= mono + WAIT_MOST_S else first
        return min(self._turn - mono, WAIT_MOST_S)


def last_turn_s(services: int, config: RegistryConfig) -> float:
    """Seconds until the last is let in when the agents of all services come back at once."""
    return max(0.0, services / config.admission_rate - HELLO_BURST_S)


class Allowance:
    """What one stream may do beyond its due: `rate` a second in the long run, and `burst` at once."""

    __slots__ = ("_burst", "_left", "_mono", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._mono = float("-inf")

    def spend(self, amount: int, mono: float) -> bool:
        """Takes that much off; False = there was not enough left."""
        if mono > self._mono:
            self._left = min(self._burst, self._left + (mono - self._mono) * self._rate)
            self._mono = mono
        self._left -= amount
        return self._left >= 0.0


class Admission:
    """The registry's doors. A resume writes nothing, so its door is apart from that of registrations; and whoever says
    hello for no service that it may act for has a smaller door of its own, so that it cannot keep agents out.

    Attributes:
        refused_hellos: hellos that were told to wait.
    """

    __slots__ = ("_registrations", "_resumes", "_strangers", "refused_hellos")

    def __init__(self, config: RegistryConfig) -> None:
        self._resumes = TokenBucket(config.admission_rate, config.admission_rate * HELLO_BURST_S)
        strangers = config.admission_rate * STRANGERS
        self._strangers = TokenBucket(strangers, strangers * HELLO_BURST_S)
        self._registrations = TokenBucket(config.registration_rate, config.registration_rate * REGISTRATION_BURST_S)
        self.refused_hellos = 0

    def hello(self, mono: float, *, known: bool) -> float:
        """Seconds that a hello has to wait; 0 = come in. known: it comes for a service that it may act for."""
        wait_s = (self._resumes if known else self._strangers).take(mono)
        self.refused_hellos += wait_s > 0.0
        return wait_s

    def registration(self, mono: float) -> None:
        """Lets a registration in.

        Raises:
            ResourceExhausted: RATE_LIMITED.
        """
        wait_s = self._registrations.take(mono)
        if wait_s:
            raise come_again("registrations", wait_s, Limit.REGISTRATIONS)


def come_again(what: str, wait_s: float, limit: Limit) -> ResourceExhausted:
    """The refusal of one that comes while all come."""
    message = f"more {what} a second than this registry takes; your turn is in {wait_s:.1f} s"
    return ResourceExhausted(Reason.RATE_LIMITED, message, retry_after_s=wait_s, limit=limit)
