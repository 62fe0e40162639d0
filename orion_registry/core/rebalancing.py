"""How many heartbeat streams a member sends elsewhere, so that one that has just come gets its part."""

from collections.abc import Sequence

SLACK = 0.1
"""How far from the mean a member may be before any are moved: moves cost agents a reconnect each."""
AT_ONCE = 0.05
"""Share of its streams that it moves with each look (once a second)."""
FEWEST = 5
"""Streams off the mean below which it is not worth it."""


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
