"""What a daemon says of itself."""

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

import grpc

from orion_registry import __version__
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.wire.server_info import HeldAlarm, MemberInfo, ServerInfo

if TYPE_CHECKING:
    from orion_registry.core.membership import Sight


def server_info(coordinator: Coordinator, addresses: Sequence[str], profile: str) -> ServerInfo:
    """How it is now, serving or not."""
    registry, events = coordinator.registry, coordinator.events
    health, census = registry.self_health(), registry.census
    events.settle()
    sights = coordinator.sights()
    alarms = [
        HeldAlarm(name=alarm.name, text=alarm.message, since_wall=alarm.since_wall) for alarm in coordinator.alarms.held
    ]
    return ServerInfo(
        version=__version__,
        started_wall=coordinator.started_at.wall,
        uptime_s=coordinator.uptime_s,
        history_id=registry.history_id,
        revision=registry.revision,
        event_seq=events.last_seq,
        serving=coordinator.serving,
        listen_addresses=tuple(addresses),
        profile=profile,
        lag_s=health.lag_s,
        worst_lag_s=health.worst_lag_s,
        stalls=health.stalls,
        credited_s=health.credited_s,
        last_stall_s=health.last_stall_s,
        alarms=tuple(alarms),
        services=len(registry),
        by_status=census.by_status,
        by_reason=census.by_reason,
        agents=census.agents_live,
        streams=census.streams_open,
        watchers=coordinator.watchers,
        event_watchers=events.subscribers,
        refused_hellos=registry.refused_hellos,
        audit_head_seq=coordinator.store.audit_head.seq,
        audit_head_hash=coordinator.store.audit_head.hash,
        audit_lost=coordinator.audit.lost,
        store_kind=coordinator.store_kind,
        store_trouble=coordinator.store_trouble,
        python_version=platform.python_version(),
        grpcio_version=grpc.__version__,
        member_name=next((sight.member.name for sight in sights if sight.own), ""),
        stale_for_s=coordinator.stale_s,
        members=tuple(map(_member, sights)),
        refusals={limit.value: count for limit, count in registry.refused.counts.items()},
    )


def _member(sight: "Sight") -> MemberInfo:
    member = sight.member
    return MemberInfo(
        name=member.name,
        history_id=member.life,
        addresses=member.addresses,
        version=member.version,
        started_wall=member.started_wall,
        answers=sight.own,
        reachable=sight.reachable,
        services=sight.services,
        streams=sight.streams,
    )
