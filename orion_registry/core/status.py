"""Effective status: the one table of reasons (docs/design.md, "Effective status")."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from orion_registry.core.model import ServiceStatus, StatusReason
from orion_registry.core.model import StatusReasonCode as Code


class Use(IntEnum):
    """How far a reason lets a service be selected; the least of all reasons counts."""

    NEVER = 0
    DEGRADED_LAST = 1
    DEGRADED = 2
    TIER_1 = 3
    TIER_0 = 4


@dataclass(frozen=True, slots=True)
class Row:
    """What one reason means for the service."""

    status: ServiceStatus
    use: Use


_HEALTHY, _UNHEALTHY = ServiceStatus.HEALTHY, ServiceStatus.UNHEALTHY
_UNKNOWN, _STARTING, _STOPPING = ServiceStatus.UNKNOWN, ServiceStatus.STARTING, ServiceStatus.STOPPING

TABLE: Mapping[Code, Row] = {
    Code.STREAM_OPEN: Row(_HEALTHY, Use.TIER_0),
    Code.BEATING: Row(_HEALTHY, Use.TIER_0),
    Code.STATIC: Row(_HEALTHY, Use.TIER_0),
    Code.CHECK_OK: Row(_HEALTHY, Use.TIER_0),
    Code.LATE: Row(_HEALTHY, Use.TIER_1),
    Code.HELD: Row(_HEALTHY, Use.TIER_1),
    Code.STUCK: Row(_HEALTHY, Use.TIER_1),
    Code.CHECK_STALE: Row(_HEALTHY, Use.TIER_1),
    Code.EJECTED: Row(_HEALTHY, Use.DEGRADED),
    Code.PROBATION: Row(_HEALTHY, Use.DEGRADED),
    Code.RESTORED: Row(_UNKNOWN, Use.DEGRADED_LAST),
    Code.RECONNECT_GRACE: Row(_UNKNOWN, Use.DEGRADED_LAST),
    Code.OWNER_LOST: Row(_UNKNOWN, Use.DEGRADED_LAST),
    Code.AWAITING_BEAT: Row(_STARTING, Use.NEVER),
    Code.AWAITING_CHECK: Row(_STARTING, Use.NEVER),
    Code.DRAINING: Row(_STOPPING, Use.NEVER),
    Code.DRAINED: Row(_STOPPING, Use.NEVER),
    Code.MAINTENANCE: Row(_STOPPING, Use.NEVER),
    Code.DISCONNECTED: Row(_UNHEALTHY, Use.NEVER),
    Code.SILENT: Row(_UNHEALTHY, Use.NEVER),
    Code.NOT_SEEN: Row(_UNHEALTHY, Use.NEVER),
    Code.CHECK_FAILED: Row(_UNHEALTHY, Use.NEVER),
    Code.QUARANTINED: Row(_UNHEALTHY, Use.NEVER),
}
"""Every reason but SELF_REPORTED, whose row is `self_report_row` of what was reported."""

SEVERITY: tuple[ServiceStatus, ...] = (_HEALTHY, _STARTING, _UNKNOWN, _STOPPING, _UNHEALTHY)
"""From the least to the worst: the worst status among the reasons is the effective one."""


def self_report_row(reported: ServiceStatus) -> Row:
    """The row of SELF_REPORTED: the status that the agent claims, which may make things worse, never better."""
    return Row(reported, Use.DEGRADED_LAST if reported is _UNKNOWN else Use.NEVER)


@dataclass(frozen=True, slots=True)
class Effective:
    """The outcome: status, all reasons with the worst first, and how far it may be selected."""

    status: ServiceStatus
    reasons: tuple[StatusReason, ...]
    use: Use

    @property
    def ready(self) -> bool:
        """Whether it may be selected without allow_degraded."""
        return self.use >= Use.TIER_1

    @property
    def tier(self) -> int:
        """0 = first choice, 1 = only when tier 0 has no free slot; -1 = not ready."""
        return self.selection_tier if self.ready else -1

    @property
    def selection_tier(self) -> int:
        """How early it is selected, ready or not: 0 first, 4 never (`core.selection.candidate.Tier`)."""
        return Use.TIER_0 - self.use


def effective(reasons: tuple[StatusReason, ...], reported: ServiceStatus = ServiceStatus.UNSPECIFIED) -> Effective:
    """Joins the reasons that hold into one status.

    Args:
        reasons: at least one; each code at most once.
        reported: what SELF_REPORTED stands for, if it is among the reasons.
    """
    if len(reasons) == 1 and reasons[0].code is not Code.SELF_REPORTED:  # nearly always
        row = TABLE[reasons[0].code]
        return Effective(row.status, reasons, row.use)
    rows = {
        reason: self_report_row(reported) if reason.code is Code.SELF_REPORTED else TABLE[reason.code]
        for reason in reasons
    }
    ranked = sorted(rows, key=lambda reason: (-SEVERITY.index(rows[reason].status), rows[reason].use))
    return Effective(rows[ranked[0]].status, tuple(ranked), min(row.use for row in rows.values()))
