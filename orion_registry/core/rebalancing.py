"""How many heartbeat streams a member sends elsewhere, so that one that has just come gets its part."""

from collections.abc import Sequence

SLACK = 0.2
"""How much more than the mean a member may have before it moves any: moves cost agents a reconnect each."""
AT_ONCE = 0.05
"""Share of its streams that it moves with each look (once a second)."""
FEWEST = 10
"""Streams beyond the mean below which it is not worth it."""


def streams_to_move(own: int, others: Sequence[int]) -> int:
    """Streams to send to the member that has fewest, now."""
    if not others:
        return 0
    mean = (own + sum(others)) / (1 + len(others))
    excess = own - mean
    if excess < FEWEST or own <= mean * (1 + SLACK):
        return 0
    return max(1, min(int(excess), int(own * AT_ONCE)))
