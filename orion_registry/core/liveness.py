"""Liveness of one service: states, events, and the one table of transitions (drawn in docs/design.md)."""

from collections.abc import Mapping
from enum import Enum, auto

from orion_registry.core.config import RegistryConfig
from orion_registry.core.model import LivenessMode, ServiceSpec
from orion_registry.core.model import StatusReasonCode as State


class Event(Enum):
    """What can happen to a service's liveness."""

    CLAIMED = auto()
    """Registered, or claimed anew without its secret."""
    SESSION = auto()
    """A hello or attach was accepted for it."""
    BEAT = auto()
    """A unary beat came."""
    HEARD = auto()
    """A stream that carries it beat again, after its beats were missed."""
    DETACHED = auto()
    """Its agent took it off the stream, or said goodbye for good."""
    ENDED = auto()
    """The last stream that carried it ended without a goodbye."""
    MOVING = auto()
    """The last stream that carried it ended with an announced return."""
    SHAKEN = auto()
    """The last stream that carried it ended so soon after a stall of the daemon that this may be why."""
    HELD = auto()
    """It fell silent together with many others: see `mass_hold`."""
    OWNER_LOST = auto()
    """The member that owned it is gone: see `membership`."""
    DEADLINE = auto()
    """Its deadline passed."""
    CHECKS_AWAITED = auto()
    """In CHECK mode: none of its checks fails, and one has yet to pass."""
    CHECKS_PASSED = auto()
    """In CHECK mode: all its checks pass."""
    CHECKS_STALE = auto()
    """In CHECK mode: all its checks passed, and of one nothing has been known for too long."""
    CHECKS_FAILED = auto()
    """In CHECK mode: one of its checks fails."""


START: Mapping[LivenessMode, State] = {
    LivenessMode.STREAM: State.AWAITING_BEAT,
    LivenessMode.TTL: State.AWAITING_BEAT,
    LivenessMode.CHECK: State.AWAITING_CHECK,
    LivenessMode.STATIC: State.STATIC,
}
"""State after CLAIMED, by mode."""

RESTORED: Mapping[LivenessMode, State] = {
    LivenessMode.STREAM: State.RESTORED,
    LivenessMode.TTL: State.RESTORED,
    LivenessMode.CHECK: State.AWAITING_CHECK,
    LivenessMode.STATIC: State.STATIC,
}
"""State of a service that was read back from the store, by mode."""

ALWAYS: Mapping[Event, State] = {
    Event.SESSION: State.STREAM_OPEN,
    Event.BEAT: State.BEATING,
    Event.HEARD: State.STREAM_OPEN,
    Event.DETACHED: State.AWAITING_BEAT,
    Event.ENDED: State.DISCONNECTED,
    Event.MOVING: State.RECONNECT_GRACE,
    Event.SHAKEN: State.RECONNECT_GRACE,
    Event.HELD: State.HELD,
    Event.OWNER_LOST: State.OWNER_LOST,
    Event.CHECKS_AWAITED: State.AWAITING_CHECK,
    Event.CHECKS_PASSED: State.CHECK_OK,
    Event.CHECKS_STALE: State.CHECK_STALE,
    Event.CHECKS_FAILED: State.CHECK_FAILED,
}
"""State after these events, from any state."""

OVERDUE: Mapping[State, State] = {
    State.AWAITING_BEAT: State.NOT_SEEN,
    State.RESTORED: State.NOT_SEEN,
    State.RECONNECT_GRACE: State.NOT_SEEN,
    State.OWNER_LOST: State.NOT_SEEN,
    State.BEATING: State.SILENT,
    State.STREAM_OPEN: State.LATE,
    State.LATE: State.SILENT,
    State.HELD: State.SILENT,
}
"""State after DEADLINE. The dead have deadlines too: theirs end in removal, see `DEAD`."""

DEAD = frozenset({State.DISCONNECTED, State.SILENT, State.NOT_SEEN, State.CHECK_FAILED})
"""States whose deadline is the retention."""

WORDLESS = frozenset({State.STATIC, State.AWAITING_CHECK, State.CHECK_OK, State.CHECK_STALE, State.CHECK_FAILED})
"""States of those whose agents tell nothing of themselves."""

LIVE = frozenset({State.STREAM_OPEN, State.LATE, State.BEATING})
"""States in which a service is heard of. Whoever leaves them without a farewell falls."""

FALLEN = frozenset({State.DISCONNECTED, State.SILENT})
"""States that a fall leads to."""

AWAITED = frozenset({State.AWAITING_BEAT, State.RESTORED, State.RECONNECT_GRACE, State.OWNER_LOST})
"""States of those who are about to come, or to come back."""

CUT_OFF = frozenset({State.RESTORED, State.RECONNECT_GRACE, State.OWNER_LOST})
"""States of those who lost their stream, and not by their own fault; see `homecoming`."""

ON_BEATS = frozenset({State.STREAM_OPEN, State.LATE})
"""States whose deadline is counted from the last beat of a stream; see `silence_allowed`."""

LATE_SHARE = 0.5
"""Share of the silence until SILENT after which a service is LATE."""


def next_state(state: State, event: Event, mode: LivenessMode) -> State:
    """The state after an event."""
    if event is Event.CLAIMED:
        return START[mode]
    if event is Event.DEADLINE:
        return OVERDUE[state]
    return ALWAYS[event]


def silence_allowed(state: State, interval_s: float, spec: ServiceSpec, config: RegistryConfig) -> float:
    """Seconds from the last beat to the DEADLINE of a state in `ON_BEATS`."""
    silence_s = max(interval_s * config.beats_missed, config.silence_floor_s, spec.silence_timeout_s or 0.0)
    return silence_s if state is State.LATE else silence_s * LATE_SHARE


def time_allowed(state: State, spec: ServiceSpec, config: RegistryConfig) -> float | None:
    """Seconds that a service may stay in a state before its DEADLINE; None = for ever.

    Not for those in `ON_BEATS`, nor for HELD: all who are held are held until the same instant.
    """
    if state is State.CHECK_FAILED:  # nobody would register it again, so only its agent's word removes it
        return spec.retention_s or None
    if state in DEAD:
        retention_s = config.retention_s if spec.retention_s is None else spec.retention_s
        return retention_s or None
    match state:
        case State.BEATING:
            return spec.liveness_ttl_s
        case State.AWAITING_BEAT | State.RESTORED | State.OWNER_LOST:
            beats_by = spec.liveness_ttl_s if spec.liveness is LivenessMode.TTL else 0.0
            return max(config.not_seen_s, beats_by)
        case State.RECONNECT_GRACE:
            return config.reconnect_grace_s
    return None
