"""How a service stands at the member that owns it: what all other members have to know of it."""

from dataclasses import dataclass

from orion_registry.core.entry import Entry
from orion_registry.core.model import ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.core.overlay import OVERLAID

_OWN_OF_OVERLAYS = OVERLAID - {StatusReasonCode.DRAINED}
"""Conditions that each member makes of overlays by itself. Whether a service is drained only its owner can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an owner says of a service.

    Attributes:
        owner: the life of the member that owns it.
        epoch: the highest epoch given for it, and used_epoch the highest that its holder has used.
        liveness: its liveness state, and since when.
        conditions: what else holds, but for what overlays make of it.
        self_report: what the agent says of itself and since when; UNSPECIFIED = nothing.
    """

    owner: str
    epoch: int = 0
    used_epoch: int = 0
    liveness: StatusReason
    conditions: tuple[StatusReason, ...] = ()
    self_report: ServiceStatus = ServiceStatus.UNSPECIFIED
    self_report_wall: float = 0.0


def standing_of(entry: Entry, owner: str) -> Standing:
    """How a service stands that this member owns."""
    return Standing(
        owner=owner,
        epoch=entry.epoch,
        used_epoch=entry.used_epoch,
        liveness=entry.liveness,
        conditions=tuple(reason for code, reason in entry.conditions.items() if code not in _OWN_OF_OVERLAYS),
        self_report=entry.self_report,
        self_report_wall=entry.self_report_wall,
    )
