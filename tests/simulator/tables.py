"""The two tables as docs/design.md has them, written down once more: the registry's own must say the same."""

from collections.abc import Mapping

from orion_registry.core.model import ServiceStatus as Status
from orion_registry.core.model import StatusReasonCode as Code

LOOKS: Mapping[Code, tuple[Status, int]] = {
    Code.STREAM_OPEN: (Status.HEALTHY, 0),
    Code.LATE: (Status.HEALTHY, 1),
    Code.HELD: (Status.HEALTHY, 1),
    Code.STUCK: (Status.HEALTHY, 1),
    Code.PROBATION: (Status.HEALTHY, -1),
    Code.RESTORED: (Status.UNKNOWN, -1),
    Code.RECONNECT_GRACE: (Status.UNKNOWN, -1),
    Code.AWAITING_BEAT: (Status.STARTING, -1),
    Code.DISCONNECTED: (Status.UNHEALTHY, -1),
    Code.SILENT: (Status.UNHEALTHY, -1),
    Code.NOT_SEEN: (Status.UNHEALTHY, -1),
}
"""Status and tier (-1 = not ready) that a reason alone gives."""

SEVERITY: Mapping[Status, int] = {
    Status.HEALTHY: 0,
    Status.STARTING: 1,
    Status.UNKNOWN: 2,
    Status.STOPPING: 3,
    Status.UNHEALTHY: 4,
}
"""Severity: the worst counts."""

CONDITIONS = frozenset({Code.STUCK, Code.PROBATION})
"""Reasons that stand beside the state of liveness."""

DEAD = frozenset({Code.DISCONNECTED, Code.SILENT, Code.NOT_SEEN})

LIVE = frozenset({Code.STREAM_OPEN, Code.LATE})

_ENDS = {Code.DISCONNECTED, Code.RECONNECT_GRACE, Code.HELD, Code.AWAITING_BEAT}

EDGES: Mapping[Code | None, frozenset[Code]] = {
    None: frozenset({Code.AWAITING_BEAT, Code.RESTORED}),
    Code.AWAITING_BEAT: frozenset({Code.STREAM_OPEN, Code.NOT_SEEN}),
    Code.RESTORED: frozenset({Code.STREAM_OPEN, Code.NOT_SEEN, Code.AWAITING_BEAT}),
    Code.STREAM_OPEN: frozenset({Code.LATE, *_ENDS}),
    Code.LATE: frozenset({Code.STREAM_OPEN, Code.SILENT, *_ENDS}),
    Code.SILENT: frozenset({Code.STREAM_OPEN, *_ENDS}),
    Code.HELD: frozenset({Code.STREAM_OPEN, Code.SILENT, Code.DISCONNECTED, Code.RECONNECT_GRACE, Code.AWAITING_BEAT}),
    Code.DISCONNECTED: frozenset({Code.STREAM_OPEN, Code.HELD, Code.AWAITING_BEAT}),
    Code.RECONNECT_GRACE: frozenset({Code.STREAM_OPEN, Code.NOT_SEEN, Code.AWAITING_BEAT}),
    Code.NOT_SEEN: frozenset({Code.STREAM_OPEN, Code.AWAITING_BEAT}),
}
"""States that may follow a state, of a service in mode STREAM."""
