"""What the registry counts about itself, read in one place: for events, and for who asks how it is."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orion_registry.core.events import HellosRefused, RegistryEvent, StallCredited
from orion_registry.core.model import ServiceStatus, StatusReasonCode
from orion_registry.core.registry import Registry
from orion_registry.core.sessions import HeartbeatSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How well the registry keeps up with its own time, and whom it sent away; spans in seconds.

    lag_s is how late the last tick came, worst_lag_s the worst of the last minute; stalls have been credited,
    credited_s seconds in all and last_stall_s the last time; refused_hellos were told to come back later.
    """

    lag_s: float = 0.0
    worst_lag_s: float = 0.0
    stalls: int = 0
    credited_s: float = 0.0
    last_stall_s: float = 0.0
    refused_hellos: int = 0


def vitals_of(_registry: Registry) -> Vitals:
    """The registry's own counters. Cheap: read with every tick."""
    return Vitals()


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many services there are, by status and by worst reason; agents connected; heartbeat streams open."""

    by_status: Mapping[ServiceStatus, int] = field(default_factory=dict)
    by_reason: Mapping[StatusReasonCode, int] = field(default_factory=dict)
    agents: int = 0
    streams: int = 0


def census_of(registry: Registry, sessions: Iterable[HeartbeatSession]) -> Census:
    """Counts, now."""
    open_sessions = list(sessions)
    snapshots = [registry.get(record.service_id).snapshot for record in registry.stored().records]
    return Census(
        by_status=Counter(snapshot.status for snapshot in snapshots),
        by_reason=Counter(snapshot.reasons[0].code for snapshot in snapshots),
        agents=len({session.agent_id for session in open_sessions if session.agent_id}),
        streams=len(open_sessions),
    )


class VitalSigns:
    """Makes events of counters that rise."""

    def __init__(self) -> None:
        self._last = Vitals()

    def news(self, vitals: Vitals) -> tuple[RegistryEvent, ...]:
        """What has happened since it was asked last."""
        last, self._last = self._last, vitals
        told: tuple[RegistryEvent, ...] = ()
        if vitals.stalls > last.stalls:
            told += (StallCredited(lag_s=vitals.credited_s - last.credited_s),)
        if vitals.refused_hellos > last.refused_hellos:
            told += (HellosRefused(count=vitals.refused_hellos - last.refused_hellos),)
        return told
