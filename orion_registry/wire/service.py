"""A service as the SDK hands it out: plain Python values, none of protobuf."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.model import LivenessMode, Load, ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.wire.checks import decode_known_checks
from orion_registry.wire.enums import known
from orion_registry.wire.spans import decode_known_span, wall_of
from orion_registry.wire.structs import plain_of
from orion_registry_pb.v1 import service_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One registered instance as the registry saw it when it answered.

    Attributes:
        service_id: identifies the service; stays across restarts of its agent.
        agent_id: the agent that offers it.
        service_name: the name that replicas share.
        ready: whether it may be selected.
        reasons: why it has its status, the worst first.
        host: where callers reach it; see `address`.
        metadata: opaque to the registry; JSON values.
        max_concurrency: calls it takes at once; 0 = no limit.
        checks: active checks, as its agent configured them.
        retention_s: how long it stays listed once UNHEALTHY; None = the registry's default, 0 = for ever.
        silence_timeout_s: silence until it is UNHEALTHY; None = as its interval has it.
        stuck_after_s: time without progress until it is STUCK; None = the registry's default, 0 = never.
        load: what it reported last; None = nothing, and in watches.
        last_heartbeat: when it was last heard of, seconds since 1970 (a label); None = never, and in watches.
        registration_time: when it was first registered, seconds since 1970 (a label).
        epoch: of its current session.
        generation: rises with every stored change; the etag of updates.
        overlay_weight: the weight that an operator has set, which counts instead of `weight`; None = none.
    """

    service_id: str
    agent_id: str
    service_name: str
    service_type: str = "agent"
    namespace: str = "default"
    host: str = ""
    port: int = 0
    protocol: str = "http"
    version: str = "1.0.0"
    zone: str = ""
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    max_concurrency: int = 0
    health_check_url: str = ""
    checks: tuple[CheckSpec, ...] = ()
    liveness: LivenessMode = LivenessMode.STREAM
    liveness_ttl_s: float = 30.0
    retention_s: float | None = None
    silence_timeout_s: float | None = None
    stuck_after_s: float | None = None
    status: ServiceStatus = ServiceStatus.UNSPECIFIED
    reasons: tuple[StatusReason, ...] = ()
    ready: bool = False
    load: Load | None = None
    last_heartbeat: float | None = None
    registration_time: float = 0.0
    epoch: int = 0
    generation: int = 0
    overlay_weight: float | None = None

    @property
    def address(self) -> str:
        """host:port, with an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def decode_service(info: service_pb2.ServiceInfo) -> Service:
    """A service that the registry sent. What this version does not know in it is left out."""
    has = info.HasField
    return Service(
        service_id=info.service_id,
        agent_id=info.agent_id,
        service_name=info.service_name,
        service_type=info.service_type,
        namespace=info.namespace,
        host=info.host,
        port=info.port,
        protocol=info.protocol,
        version=info.version,
        zone=info.zone,
        capabilities=tuple(info.capabilities),
        tags=tuple(info.tags),
        metadata=plain_of(info.metadata) if has("metadata") else {},
        weight=info.weight if has("weight") else 1.0,
        max_concurrency=info.max_concurrency,
        health_check_url=info.health_check_url,
        checks=decode_known_checks(info.checks),
        liveness=known(LivenessMode, info.liveness, LivenessMode.STREAM),
        liveness_ttl_s=decode_known_span(info.liveness_ttl) if has("liveness_ttl") else 30.0,
        retention_s=decode_known_span(info.retention) if has("retention") else None,
        silence_timeout_s=decode_known_span(info.silence_timeout) if has("silence_timeout") else None,
        stuck_after_s=decode_known_span(info.stuck_after) if has("stuck_after") else None,
        status=known(ServiceStatus, info.status, ServiceStatus.UNKNOWN),
        reasons=decode_reasons(info.status_reasons),
        ready=info.ready,
        load=decode_load(info.load) if has("load") else None,
        last_heartbeat=wall_of(info.last_heartbeat) if has("last_heartbeat") else None,
        registration_time=wall_of(info.registration_time),
        epoch=info.epoch,
        generation=info.generation,
        overlay_weight=info.overlay_weight if has("overlay_weight") else None,
    )


def decode_reasons(reasons: Iterable[service_pb2.StatusReason]) -> tuple[StatusReason, ...]:
    """Reasons that the registry sent; those that this version does not know are left out."""
    return tuple(
        StatusReason(code=StatusReasonCode(reason.code), since_wall=wall_of(reason.since))
        for reason in reasons
        if reason.code in _CODES
    )


def decode_load(load: service_pb2.Load) -> Load:
    """Load figures that the registry sent."""
    return Load(
        in_flight=load.in_flight, queue_depth=load.queue_depth, utilization=load.utilization, named=dict(load.named)
    )


_CODES = frozenset(int(code) for code in StatusReasonCode)
