"""What a client sends, built from the model's values, and the frames that it gets back."""

import json

from google.protobuf.duration_pb2 import Duration

from orion_registry.core.frames import (
    AgentFrame,
    Attach,
    Beat,
    CommandAck,
    Detach,
    Goodbye,
    Hello,
    ServiceBeat,
    SessionRequest,
)
from orion_registry.core.model import LivenessMode, Load, Scalar, ServiceSpec, SessionRef
from orion_registry.core.selector import Selector
from orion_registry.wire.checks import encode_check
from orion_registry.wire.registry_frames import decode_registry_frame
from orion_registry.wire.spans import span_of
from orion_registry.wire.structs import fill_struct
from orion_registry_pb.v1 import heartbeat_pb2, service_pb2

__all__ = [
    "decode_registry_frame",
    "encode_agent_frame",
    "encode_load",
    "encode_ref",
    "encode_selector",
    "encode_spec",
]

DEFAULT_TTL_S = 30.0
_JSON = json.JSONDecoder()


def encode_spec(spec: ServiceSpec) -> service_pb2.ServiceInfo:
    """The fields of ServiceInfo that an agent owns."""
    info = service_pb2.ServiceInfo(
        namespace=spec.namespace,
        service_id=spec.service_id,
        agent_id=spec.agent_id,
        service_name=spec.service_name,
        service_type=spec.service_type,
        host=spec.host,
        port=spec.port,
        protocol=spec.protocol,
        version=spec.version,
        zone=spec.zone,
        capabilities=spec.capabilities,
        tags=spec.tags,
        weight=spec.weight,
        max_concurrency=spec.max_concurrency,
        health_check_url=spec.health_check_url,
        checks=map(encode_check, spec.checks),
        liveness=service_pb2.LivenessMode.ValueType(spec.liveness),
        retention=_span(spec.retention_s),
        silence_timeout=_span(spec.silence_timeout_s),
        stuck_after=_span(spec.stuck_after_s),
    )
    if spec.metadata_json != "{}":
        fill_struct(info.metadata, _JSON.raw_decode(spec.metadata_json)[0])  # half of what `loads` costs
    if spec.liveness is LivenessMode.TTL or spec.liveness_ttl_s != DEFAULT_TTL_S:
        info.liveness_ttl.CopyFrom(span_of(spec.liveness_ttl_s))
    return info


def _span(seconds: float | None) -> Duration | None:
    return None if seconds is None else span_of(seconds)


def encode_selector(selector: Selector) -> service_pb2.Selector:
    """A query."""
    message = service_pb2.Selector(
        namespace=selector.namespace,
        service_type=selector.service_type,
        service_name=selector.service_name,
        agent_id=selector.agent_id,
        capabilities=selector.capabilities,
        tags=selector.tags,
        tags_any=selector.tags_any,
        tags_none=selector.tags_none,
        zone=selector.zone,
        statuses=[service_pb2.ServiceStatus.ValueType(status) for status in sorted(selector.statuses)],
        include_not_ready=selector.include_not_ready,
    )
    if selector.metadata:
        terms: dict[str, Scalar] = dict(selector.metadata)
        fill_struct(message.metadata, terms)
    return message


def encode_ref(ref: SessionRef) -> service_pb2.SessionRef:
    """Who speaks for a service."""
    return service_pb2.SessionRef(service_id=ref.service_id, epoch=ref.epoch, secret=ref.secret)


def encode_load(load: Load) -> service_pb2.Load:
    """Load figures."""
    return service_pb2.Load(
        in_flight=load.in_flight, queue_depth=load.queue_depth, utilization=load.utilization, named=load.named
    )


def encode_agent_frame(frame: AgentFrame) -> heartbeat_pb2.HeartbeatRequest:
    """One frame of the heartbeat stream."""
    match frame:
        case Beat():
            services = [_encode_service_beat(news) for news in frame.services]
            return heartbeat_pb2.HeartbeatRequest(beat=heartbeat_pb2.Beat(seq=frame.seq, services=services))
        case Hello():
            hello = heartbeat_pb2.Hello(
                agent_id=frame.agent_id,
                instance_id=frame.instance_id,
                sdk=frame.sdk,
                features=frame.features,
                sessions=_encode_sessions(frame.sessions),
            )
            return heartbeat_pb2.HeartbeatRequest(hello=hello)
        case Attach():
            attach = heartbeat_pb2.Attach(sessions=_encode_sessions(frame.sessions))
            return heartbeat_pb2.HeartbeatRequest(attach=attach)
        case Detach():
            return heartbeat_pb2.HeartbeatRequest(detach=heartbeat_pb2.Detach(service_ids=frame.service_ids))
        case CommandAck():
            return heartbeat_pb2.HeartbeatRequest(command_ack=heartbeat_pb2.CommandAck(nonce=frame.nonce))
        case Goodbye():
            reason = heartbeat_pb2.GoodbyeReason.ValueType(frame.reason)
            return heartbeat_pb2.HeartbeatRequest(goodbye=heartbeat_pb2.Goodbye(reason=reason))


def _encode_sessions(sessions: tuple[SessionRequest, ...]) -> list[heartbeat_pb2.Session]:
    return [
        heartbeat_pb2.Session(
            ref=encode_ref(session.ref),
            load=None if session.load is None else encode_load(session.load),
            self_status=service_pb2.ServiceStatus.ValueType(session.self_status),
        )
        for session in sessions
    ]


def _encode_service_beat(news: ServiceBeat) -> heartbeat_pb2.ServiceBeat:
    return heartbeat_pb2.ServiceBeat(
        service_id=news.service_id,
        load=None if news.load is None else encode_load(news.load),
        self_status=service_pb2.ServiceStatus.ValueType(news.self_status),
        progress=news.progress,
        task_age=None if news.task_age_s is None else span_of(news.task_age_s),
        loop_lag=None if news.loop_lag_s is None else span_of(news.loop_lag_s),
    )
