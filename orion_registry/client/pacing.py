"""When to beat, and what a late beat says about the agent's own event loop. Pure arithmetic, seconds throughout."""

from typing import Final

BLOCKED_S: Final = 0.25
"""A timer that fires later than this was held up by something in the event loop, not by scheduling noise."""


def first_gap(interval_s: float, draw: float) -> float:
    """Seconds from a stream's first beat to its second: spreads those who reconnected together over the interval."""
    return interval_s * (0.1 + 0.9 * draw)


def next_due(due: float, now: float, interval_s: float) -> float:
    """Instant of the next beat: keeps the phase, and never tries to catch up on beats that were missed."""
    following = due + interval_s
    return following if following > now else now + interval_s


def was_blocked(lag_s: float) -> bool:
    """Whether a timer this late means that the event loop was blocked."""
    return lag_s > BLOCKED_S


def out_of_selection(silence_s: float, timeout_s: float) -> float:
    """Seconds for which the registry must have taken a silent agent for dead."""
    return max(0.0, silence_s - timeout_s)


def block_advice(lag_s: float, silence_s: float, timeout_s: float) -> str:
    """What to tell the developer of an agent whose event loop was blocked."""
    gone = out_of_selection(silence_s, timeout_s)
    effect = (
        f"the agent was out of selection for about {gone:.1f} s"
        if gone > 0.0
        else f"after {timeout_s:.1f} s of silence the agent would be out of selection"
    )
    return (
        f"the event loop was blocked for {lag_s:.2f} s and could not beat; {effect}; "
        "move the blocking work to asyncio.to_thread or to a process of its own"
    )
