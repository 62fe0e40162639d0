"""How many heartbeat streams a member sends elsewhere, so that one that has just come gets its part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SLACK = 0.1
"""How far from the mean a member may be before any are moved: moves cost agents a reconnect each."""
AT_ONCE = 0.05
"""Share of its streams that it moves with each look (once a second)."""
FEWEST = 5
"""Streams off the mean below which it is not worth it."""
PAUSE_S, PAUSE_MOST_S = 2.0, 64.0
"""How long nothing is sent to a member again where what was sent did not come, at first and at most: its agents may not
reach it, though it is heard of, and each attempt costs them a reconnect."""


def streams_to_move(own: int, others: Sequence[int]) -> int:
    """Streams to send to the member that has fewest, now.

    Whoever has more than the mean sends while a member is off it by more than the slack: this one above it, or the one
    with fewest below it. With the first alone, several that are each a little above would leave one far below.
    """
    if not others:
        return 0
    mean = (own + sum(others)) / (1 + len(others))
    excess = own - mean
    slack = max(FEWEST, mean * SLACK)
    if excess < 1 or max(excess, mean - min(others)) <= slack:
        return 0
    return max(1, min(int(excess), int(own * AT_ONCE)))


@dataclass(slots=True)
class _Sent:
    """What was sent to a member last. streams: that it had then; until: judged seconds."""

    streams: int
    until: float
    pause_s: float


class Targets:
    """Members that streams are sent to, and whether they came there."""

    def __init__(self) -> None:
        self._sent: dict[str, _Sent] = {}

    def choose(self, streams: Mapping[str, int], now: float) -> str | None:
        """The member with fewest streams, by life, of those that may be sent some now; None = none may."""
        self._sent = {life: sent for life, sent in self._sent.items() if life in streams}
        open_to = [life for life, count in streams.items() if self._may(life, count, now)]
        return min(open_to, key=lambda life: streams[life], default=None)

    def sent(self, life: str, streams: int, now: float) -> None:
        """Streams are sent to a member that has so many."""
        last = self._sent.get(life)
        in_vain = last is not None and streams <= last.streams
        pause_s = min(2 * last.pause_s, PAUSE_MOST_S) if last is not None and in_vain else PAUSE_S
        self._sent[life] = _Sent(streams=streams, until=now + pause_s, pause_s=pause_s)

    def _may(self, life: str, streams: int, now: float) -> bool:
        last = self._sent.get(life)
        return last is None or streams > last.streams or now >= last.until
