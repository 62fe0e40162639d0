"""The network of one connection, as TCP and HTTP/2 PING see it.

A segment is never dropped, only late: each loss in a row doubles the time until it is sent again, and whatever comes
after it waits too. That reproduces what was measured on real TCP at 50 ms and beats of 0.5 s: shares of silences beyond
1.0, 1.5 and 3.0 s are p^2, p^3 and p^4 of the beats (812, 181 and 32 of 20,502 at 20 % loss).

The server's PING is timed as in C-core: sent when nothing has been read for 1.2 s, and the connection is over if it is
not answered within 1.5 s. PINGs that nothing happens to cost no step: whether one of them meets a loss is drawn
together with the loss of the next beat.
"""

import math
from dataclasses import dataclass
from random import Random

HALF_S = 0.025
"""One way; with the jitter a round trip takes 50 to 60 ms."""

JITTER_S = 0.005
RTT_S = 2 * HALF_S + JITTER_S
RTO_S = 0.2
"""Linux's least time until a segment is sent again (TCP_RTO_MIN)."""

DOUBLINGS = 8
"""Beyond 51 s nothing waits for a segment any more."""

KEEPALIVE_S, PING_TIMEOUT_S = 1.2, 1.5
"""The daemon's settings of profile `lan`."""

PING_CYCLE_S = KEEPALIVE_S + RTT_S
AGENT_GIVES_UP_S = 4.0
"""An agent that reads nothing sends a PING after 2 s and waits 2 s for its answer (client/channel.py)."""

CONNECT_TIMEOUT_S = 1.0
"""An attempt to connect that is not answered is given up (min_reconnect_backoff, client/channel.py)."""


@dataclass(frozen=True, slots=True)
class Passage:
    """When a beat arrives, and when a PING before it runs out; inf = none does."""

    due: float
    ping_out: float = math.inf


class Network:
    """Draws delays. `lossy[n]` is the probability that a beat, or one of n PINGs before it, meets a loss."""

    def __init__(self, rng: Random, loss: float) -> None:
        self.draw = rng.random
        self.loss = loss
        self.lossy = [1.0 - (1.0 - loss) ** (2 * pings + 1) for pings in range(64)]

    def lost_s(self) -> float:
        """How much later a segment comes because it was lost, again and again."""
        losses = 0
        while losses < DOUBLINGS and self.draw() < self.loss:
            losses += 1
        return resent(losses)

    def delay(self) -> float:
        """Time of one segment, one way."""
        return HALF_S + JITTER_S * self.draw() + self.lost_s()

    def passage(self, heard: float, sent: float, pings: int) -> Passage:
        """A beat and the PINGs between the last one and it, when at least one segment of them is lost.

        Args:
            heard: when the daemon last read from the connection.
            sent: when the beat is sent.
            pings: how many PINGs there would be without a loss.
        """
        beat, segment = 2 * pings, 0  # the PINGs and their answers are 0 to beat - 1; further ones come after the beat
        first = self._first_lost(beat + 1)
        due = sent + HALF_S + self._late(beat, first)
        while (ping := heard + KEEPALIVE_S) < due:
            if segment == beat:
                segment += 1
            out = ping + HALF_S + self._late(segment, first)
            back = out + HALF_S + self._late(segment + 1, first)
            if out > sent:
                back = max(back, due)  # the answer queues behind the beat
            elif back > due:
                due = back  # and the other way round
            if back > ping + PING_TIMEOUT_S:
                return Passage(due, ping + PING_TIMEOUT_S)
            heard, segment = back, segment + 2
        return Passage(due)

    def _first_lost(self, segments: int) -> int:
        """Which of so many segments is the first to be lost, given that one is."""
        share = self.draw() * (1.0 - (1.0 - self.loss) ** segments)
        return min(segments - 1, int(math.log1p(-share) / math.log1p(-self.loss)))

    def _late(self, segment: int, first: int) -> float:
        if segment < first:
            return JITTER_S * self.draw()
        if segment > first:
            return JITTER_S * self.draw() + self.lost_s()
        losses = 1
        while losses < DOUBLINGS and self.draw() < self.loss:
            losses += 1
        return resent(losses)


def resent(losses: int) -> float:
    """Seconds until a segment that is lost so many times in a row gets through."""
    return RTO_S * (2.0**losses - 1.0)


def first_resent_after(sent: float, opens: float) -> float:
    """When a segment that is sent into a cut gets through: the first time that it is sent after the cut opens."""
    losses = 0
    while sent + resent(losses) < opens:
        losses += 1
    return sent + resent(losses)


def ping_under_way(heard: float, at: float) -> float:
    """When the PING that an event at `at` meets is sent: it is on its way then, or the next to go.

    heard: when the last beat was read; the PINGs since were answered.
    """
    answered = max(0, int((at - heard) / PING_CYCLE_S))
    return heard + answered * PING_CYCLE_S + KEEPALIVE_S


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut does to a connection: the daemon gives it up at `ends` (inf = never), else data passes at `opens`."""

    ends: float
    opens: float


def through_cut(heard: float, sent: float, begin: float, end: float) -> Cut:
    """What becomes of a connection through which nothing passes from `begin` to `end`.

    Args:
        heard: when the daemon read the last beat.
        sent: when the first beat that the cut may hold up is sent.
    """
    ping = ping_under_way(heard, begin)
    if ping - KEEPALIVE_S > end:
        return Cut(math.inf, end)
    if end == math.inf:
        return Cut(ping + PING_TIMEOUT_S, math.inf)
    out = first_resent_after(ping, end) + HALF_S
    data = max(end, min(first_resent_after(sent, end) + HALF_S, out + 3 * HALF_S)) if sent < end else end
    back = max(out + HALF_S, data)
    if back > ping + PING_TIMEOUT_S:
        return Cut(ping + PING_TIMEOUT_S, math.inf)
    return Cut(math.inf, data)
