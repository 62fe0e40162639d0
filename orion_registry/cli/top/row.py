"""A service as a row: what is shown of it, what it is sorted and filtered by. Pure."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from orion_registry.cli.service_showing import name_of
from orion_registry.cli.top.line import clean
from orion_registry.cli.top.query import Facts
from orion_registry.core.model import ServiceStatus
from orion_registry.core.status import SEVERITY, TABLE, Use
from orion_registry.wire.service import Service

UNHEARD = 1.0
"""Sorts behind every silence."""


TEXTS = ("name", "reasons", "zone", "version", "capabilities", "tags", "address")
"""Attributes of a row that columns show as they are."""


class Row:
    """One service. Made anew when the service changes; load, beats and leases are put in as they become known.

    Attributes:
        service: what was last heard in the watch.
        reported: calls in flight as its agent says; None = it says nothing.
        leases: slots that callers hold on it.
        silent_s: how long it had not been heard of when that was last asked for; None = never heard of, or not known.
        facts, text: what `Query` looks at.
    """

    __slots__ = (
        "address", "capabilities", "degraded", "facts", "leases", "name", "reasons", "reported", "service", "severity",
        "silent_s", "since", "tags", "text", "version", "zone",
    )  # fmt: skip

    def __init__(self, service: Service, before: "Row | None" = None) -> None:
        self.service = service
        self.name = clean(name_of(service))
        self.reasons = ", ".join(reason.code.name for reason in service.reasons)
        self.since = service.reasons[0].since_wall if service.reasons else service.registration_time
        self.degraded = is_degraded(service)
        known = service.status in SEVERITY
        self.severity = (SEVERITY.index(service.status) if known else len(SEVERITY)) * 2 + self.degraded
        self.capabilities = clean(", ".join(service.capabilities))
        self.tags = clean(", ".join(service.tags))
        self.address, self.zone, self.version = clean(service.address), clean(service.zone), clean(service.version)
        self.facts = _facts(service)
        self.text = "\n".join(
            (self.name, service.status.name, self.reasons, service.address, self.capabilities, self.tags, service.zone,
             service.version, service.service_type, service.service_id)
        ).lower()  # fmt: skip
        self.reported: int | None = None if before is None else before.reported
        self.leases: int = 0 if before is None else before.leases
        self.silent_s: float | None = None if before is None else before.silent_s

    def take(self, service: Service, wall: float) -> None:
        """What an answer, come at an instant of the wall clock, says beside what a watch tells: load and beats."""
        if service.load is not None:
            self.reported = service.load.in_flight
        if service.last_heartbeat is not None:
            self.silent_s = max(0.0, wall - service.last_heartbeat)

    @property
    def taken(self) -> int:
        """Slots that are taken, as selection counts: leases, and what the agent has beyond them."""
        return max(self.reported or 0, self.leases)

    @property
    def share(self) -> float:
        """Of its slots, those taken; without a limit, 16 count as all, as in selection."""
        return self.taken / (self.service.max_concurrency or 16)


def is_degraded(service: Service) -> bool:
    """Whether it is healthy, but only second choice, or not ready at all."""
    if service.status is not ServiceStatus.HEALTHY or not service.reasons:
        return False
    row = TABLE.get(service.reasons[0].code)
    return not service.ready or (row is not None and row.use < Use.TIER_0)


def _facts(service: Service) -> Facts:
    def of(*values: str) -> tuple[str, ...]:
        return tuple(value.lower() for value in values if value)

    codes = [reason.code.name for reason in service.reasons]
    metadata = service.metadata.items()
    return {
        "status": of(service.status.name),
        "reason": of(*codes, *(code.replace("_", " ") for code in codes)),
        "cap": of(*service.capabilities),
        "tag": of(*service.tags),
        "zone": of(service.zone),
        "name": of(service.service_name),
        "agent": of(service.agent_id),
        "id": of(service.service_id),
        "version": of(service.version),
        "type": of(service.service_type),
        "host": of(service.host),
        "ns": of(service.namespace),
        "meta": of(*(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in metadata)),
        "is": tuple(state for state, holds in _states(service, codes).items() if holds),
    }


def _states(service: Service, codes: Sequence[str]) -> dict[str, bool]:
    return {
        "ready": service.ready,
        "degraded": is_degraded(service),
        "static": "STATIC" in codes,
        "draining": "DRAINING" in codes or "DRAINED" in codes,
    }


class Sort(StrEnum):
    """What rows are sorted by; each begins with what one looks for, such as the worst status."""

    STATUS = "status"
    NAME = "name"
    LOAD = "load"
    BEAT = "beat"
    SINCE = "since"

    @property
    def key(self) -> Callable[[Row], Any]:
        """For `sorted`."""
        return _KEYS[self]


_KEYS: dict[Sort, Callable[[Row], Any]] = {
    Sort.STATUS: lambda row: (-row.severity, row.name, row.service.service_id),
    Sort.NAME: lambda row: (row.name, row.service.service_id),
    Sort.LOAD: lambda row: (-row.share, row.name, row.service.service_id),
    Sort.BEAT: lambda row: (UNHEARD if row.silent_s is None else -row.silent_s, row.name, row.service.service_id),
    Sort.SINCE: lambda row: (-row.since, row.name, row.service.service_id),
}

MARKS = {
    ServiceStatus.HEALTHY: "●",
    ServiceStatus.STARTING: "○",
    ServiceStatus.UNKNOWN: "?",
    ServiceStatus.STOPPING: "▼",
    ServiceStatus.UNHEALTHY: "✗",
}
"""A status told by its form as well: not all see colours, and some terminals have none."""


def mark_of(service: Service) -> str:
    """The sign before a status."""
    if is_degraded(service):
        return "◐"
    return MARKS.get(service.status, "?")


def style_of(service: Service) -> str:
    """The colour of its status."""
    match service.status:
        case ServiceStatus.HEALTHY:
            return "yellow" if is_degraded(service) else "green"
        case ServiceStatus.UNHEALTHY:
            return "red bold"
        case _:
            return "yellow"
