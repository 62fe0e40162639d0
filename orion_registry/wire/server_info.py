"""How a registry is, as the SDK hands it out: plain Python values, none of protobuf; and as bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orion_registry.core.masking import mask_text
from orion_registry.core.model import ServiceStatus, StatusReasonCode
from orion_registry.wire.enums import known
from orion_registry.wire.spans import decode_known_span, span_of, timestamp_of, wall_of
from orion_registry.wire.status import safe_message
from orion_registry_pb.v1 import admin_pb2 as pb
from orion_registry_pb.v1 import service_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAlarm:
    """Something that is wrong with the registry: which alarm, what was seen, since when (wall clock, a label)."""

    name: str
    text: str
    since_wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo:
    """One daemon of a cluster, as the one that answers sees it.

    Attributes:
        name: what its operator calls it. history_id: this life of it.
        addresses: where agents and callers reach it.
        version: of the registry that it runs.
        started_wall: when this life of it began, a label.
        answers: whether it is the one that answers.
        reachable: whether it can be spoken to.
        services: that it owns. streams: that it holds; None = it has not said.
    """

    name: str
    history_id: str
    addresses: tuple[str, ...]
    version: str
    started_wall: float
    answers: bool
    reachable: bool
    services: int
    streams: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """How a registry was when it answered. Spans in seconds; `_wall` are seconds since 1970, labels.

    Attributes:
        version: of the registry.
        started_wall: when this life of it began.
        uptime_s: how long ago that was, by a clock that never jumps.
        history_id: names this life; revision and event_seq are of its latest change and event.
        serving: False while it starts and stops.
        listen_addresses: where it listens.
        profile: of spans, such as lan; empty if it has none.
        lag_s: how late its last tick came; worst_lag_s: the worst of the last minute.
        stalls: how often it stood still, for credited_s together, last_stall_s the last time.
        alarms: what is wrong now, the oldest first.
        by_status: services by status; by_reason: those that a reason holds for, so that one with two reasons counts
            twice. Only what occurs.
        agents: connected; on `streams` heartbeat streams.
        watchers: WatchServices calls open; event_watchers: WatchEvents calls.
        refused_hellos: told to come back later, in this life.
        audit_head_seq, audit_head_hash: the latest audit record; audit_lost: those that could not be stored.
        refusals: how often each limit turned somebody away, in this life; only those that did.
        member_name: of a cluster, this member's; empty if it is alone. members: all of them, by name.
        stale_for_s: how old what it knows of other members may be.
        store_kind: memory, sqlite or etcd; store_trouble: why it takes no ordinary writes now, empty if it does.
    """

    version: str
    started_wall: float
    uptime_s: float
    history_id: str
    revision: int
    event_seq: int
    serving: bool
    listen_addresses: tuple[str, ...]
    profile: str
    lag_s: float
    worst_lag_s: float
    stalls: int
    credited_s: float
    last_stall_s: float
    alarms: tuple[HeldAlarm, ...]
    services: int
    by_status: Mapping[ServiceStatus, int] = field(default_factory=dict)
    by_reason: Mapping[StatusReasonCode, int] = field(default_factory=dict)
    agents: int
    streams: int
    watchers: int
    event_watchers: int
    refused_hellos: int
    audit_head_seq: int = 0
    audit_head_hash: str = ""
    audit_lost: int = 0
    store_kind: str
    store_trouble: str
    python_version: str
    grpcio_version: str
    refusals: Mapping[str, int] = field(default_factory=dict)
    member_name: str = ""
    stale_for_s: float = 0.0
    members: tuple[MemberInfo, ...] = ()


def encode_server_info(info: ServerInfo) -> bytes:
    """A GetServerInfoResponse."""
    health = pb.SelfHealth(
        lag=span_of(info.lag_s),
        worst_lag=span_of(info.worst_lag_s),
        stalls=info.stalls,
        credited=span_of(info.credited_s),
        last_stall=span_of(info.last_stall_s),
    )
    message = pb.GetServerInfoResponse(
        version=info.version,
        started_at=timestamp_of(info.started_wall),
        uptime=span_of(info.uptime_s),
        history_id=info.history_id,
        revision=info.revision,
        event_seq=info.event_seq,
        serving=info.serving,
        listen_addresses=info.listen_addresses,
        profile=info.profile,
        self_health=health,
        services=info.services,
        agents=info.agents,
        streams=info.streams,
        watchers=info.watchers,
        event_watchers=info.event_watchers,
        refused_hellos=info.refused_hellos,
        store=pb.StoreInfo(kind=info.store_kind, trouble=safe_message(info.store_trouble)),
        python_version=info.python_version,
        grpcio_version=info.grpcio_version,
        audit_head_seq=info.audit_head_seq,
        audit_head_hash=info.audit_head_hash,
        audit_lost=info.audit_lost,
    )
    if info.members:
        message.member_name = info.member_name
        message.stale_for.CopyFrom(span_of(info.stale_for_s))
    for member in info.members:
        message.members.add(
            name=member.name,
            history_id=member.history_id,
            addresses=member.addresses,
            version=member.version,
            started_at=timestamp_of(member.started_wall),
            answers=member.answers,
            reachable=member.reachable,
            services=member.services,
            streams=member.streams,
        )
    for alarm in info.alarms:
        message.alarms.add(
            name=alarm.name, text=safe_message(mask_text(alarm.text)), since=timestamp_of(alarm.since_wall)
        )
    for status, count in sorted(info.by_status.items()):
        message.by_status.add(status=service_pb2.ServiceStatus.ValueType(status), count=count)
    for reason, count in sorted(info.by_reason.items()):
        message.by_reason.add(reason=service_pb2.StatusReasonCode.ValueType(reason), count=count)
    for limit, count in sorted(info.refusals.items()):
        message.refusals.add(limit=limit, count=count)
    return message.SerializeToString()


def decode_server_info(message: pb.GetServerInfoResponse) -> ServerInfo:
    """What a registry sent. Reasons that this version does not know are left out."""
    health = message.self_health
    alarms = [HeldAlarm(name=alarm.name, text=alarm.text, since_wall=wall_of(alarm.since)) for alarm in message.alarms]
    return ServerInfo(
        version=message.version,
        started_wall=wall_of(message.started_at),
        uptime_s=decode_known_span(message.uptime),
        history_id=message.history_id,
        revision=message.revision,
        event_seq=message.event_seq,
        serving=message.serving,
        listen_addresses=tuple(message.listen_addresses),
        profile=message.profile,
        lag_s=decode_known_span(health.lag),
        worst_lag_s=decode_known_span(health.worst_lag),
        stalls=health.stalls,
        credited_s=decode_known_span(health.credited),
        last_stall_s=decode_known_span(health.last_stall),
        alarms=tuple(alarms),
        services=message.services,
        by_status={known(ServiceStatus, row.status, ServiceStatus.UNKNOWN): row.count for row in message.by_status},
        by_reason={StatusReasonCode(row.reason): row.count for row in message.by_reason if row.reason in _CODES},
        agents=message.agents,
        streams=message.streams,
        watchers=message.watchers,
        event_watchers=message.event_watchers,
        refused_hellos=message.refused_hellos,
        store_kind=message.store.kind,
        store_trouble=message.store.trouble,
        python_version=message.python_version,
        grpcio_version=message.grpcio_version,
        audit_head_seq=message.audit_head_seq,
        audit_head_hash=message.audit_head_hash,
        audit_lost=message.audit_lost,
        refusals={row.limit: row.count for row in message.refusals},
        member_name=message.member_name,
        stale_for_s=decode_known_span(message.stale_for),
        members=tuple(map(_member, message.members)),
    )


def _member(member: pb.Member) -> MemberInfo:
    return MemberInfo(
        name=member.name,
        history_id=member.history_id,
        addresses=tuple(member.addresses),
        version=member.version,
        started_wall=wall_of(member.started_at),
        answers=member.answers,
        reachable=member.reachable,
        services=member.services,
        streams=member.streams if member.HasField("streams") else None,
    )


_CODES = frozenset(int(code) for code in StatusReasonCode)
