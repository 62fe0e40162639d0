"""What an agent sends over its heartbeat stream: protobuf to the core's frames (the daemon) and back (the SDK)."""

from collections.abc import Callable, Mapping
from typing import Any

from orion_registry.core import limits
from orion_registry.core.frames import (
    AgentFrame,
    Attach,
    Beat,
    CommandAck,
    Detach,
    Goodbye,
    GoodbyeReason,
    Hello,
    ServiceBeat,
    SessionRequest,
)
from orion_registry.core.model import ServiceStatus
from orion_registry.errors import Said, bad_field
from orion_registry.wire.decode import decode_load, decode_ref
from orion_registry.wire.enums import decode_status
from orion_registry.wire.spans import decode_span
from orion_registry_pb.v1 import heartbeat_pb2 as pb

_UNSET = ServiceStatus.UNSPECIFIED


def decode_agent_frame(message: pb.HeartbeatRequest) -> AgentFrame:
    """One frame.

    Raises:
        InvalidArgument: no frame, a span or an enum number that is none, or more entries than a frame may hold.
    """
    kind = message.WhichOneof("frame")
    if kind == "beat":  # by far the most frequent
        beat = message.beat
        return Beat(seq=beat.seq, services=_service_beats(beat.services) if beat.services else ())
    if kind is None:
        raise bad_field("frame", f"one of {', '.join(_DECODERS)}, beat", Said("none that this version knows"))
    return _DECODERS[kind](getattr(message, kind))


def _service_beats(beats: Any) -> tuple[ServiceBeat, ...]:
    _check_count("beat.services", beats)
    return tuple([_service_beat(beat) for beat in beats])


def _service_beat(beat: pb.ServiceBeat) -> ServiceBeat:
    has = beat.HasField
    status = beat.self_status
    return ServiceBeat(
        service_id=beat.service_id,
        load=decode_load("beat.services.load", beat.load) if has("load") else None,
        self_status=decode_status("beat.services.self_status", status) if status else _UNSET,
        progress=beat.progress,
        task_age_s=decode_span("beat.services.task_age", beat.task_age) if has("task_age") else None,
        loop_lag_s=decode_span("beat.services.loop_lag", beat.loop_lag) if has("loop_lag") else None,
    )


def _hello(hello: pb.Hello) -> Hello:
    return Hello(
        agent_id=hello.agent_id,
        instance_id=hello.instance_id,
        sdk=hello.sdk,
        features=tuple(hello.features),
        sessions=_sessions("hello.sessions", hello.sessions),
    )


def _attach(attach: pb.Attach) -> Attach:
    return Attach(sessions=_sessions("attach.sessions", attach.sessions))


def _sessions(field: str, sessions: Any) -> tuple[SessionRequest, ...]:
    _check_count(field, sessions)
    return tuple(
        SessionRequest(
            ref=decode_ref(session.ref),
            load=decode_load(f"{field}.load", session.load) if session.HasField("load") else None,
            self_status=decode_status(f"{field}.self_status", session.self_status),
        )
        for session in sessions
    )


def _detach(detach: pb.Detach) -> Detach:
    _check_count("detach.service_ids", detach.service_ids)
    return Detach(service_ids=tuple(detach.service_ids))


def _command_ack(ack: pb.CommandAck) -> CommandAck:
    return CommandAck(nonce=ack.nonce)


def _goodbye(goodbye: pb.Goodbye) -> Goodbye:
    try:
        return Goodbye(reason=GoodbyeReason(goodbye.reason or GoodbyeReason.MOVING))
    except ValueError:
        raise bad_field("goodbye.reason", "1 STOPPING or 2 MOVING", goodbye.reason) from None


def _check_count(field: str, entries: Any) -> None:
    if len(entries) > limits.SESSIONS:
        raise bad_field(field, f"at most {limits.SESSIONS:,} entries", len(entries))


_DECODERS: Mapping[str, Callable[[Any], AgentFrame]] = {
    "hello": _hello,
    "attach": _attach,
    "detach": _detach,
    "command_ack": _command_ack,
    "goodbye": _goodbye,
}
