"""What the registry sends over a heartbeat stream: the core's frames to bytes (the daemon) and back (the SDK)."""

from orion_registry.core.frames import (
    Ack,
    Drain,
    GoAway,
    GoAwayReason,
    Lost,
    LostReason,
    RegistryFrame,
    SessionResult,
    Sessions,
    Welcome,
)
from orion_registry.core.model import ServiceStatus, StatusReasonCode
from orion_registry.wire.enums import known
from orion_registry.wire.spans import decode_known_span, span_of
from orion_registry.wire.status import decode_error, encode_error
from orion_registry_pb.v1 import heartbeat_pb2 as pb
from orion_registry_pb.v1 import service_pb2


def encode_registry_frame(frame: RegistryFrame) -> bytes:
    """One frame as a serialised HeartbeatResponse."""
    return _message_of(frame).SerializeToString()


def _message_of(frame: RegistryFrame) -> pb.HeartbeatResponse:
    match frame:
        case Ack():
            ack = pb.Ack(seq=frame.seq, interval=span_of(frame.interval_s), timeout=span_of(frame.timeout_s))
            return pb.HeartbeatResponse(ack=ack)
        case Welcome():
            welcome = pb.Welcome(interval=span_of(frame.interval_s), timeout=span_of(frame.timeout_s))
            return pb.HeartbeatResponse(welcome=welcome)
        case Sessions():
            results = [_result_message(result) for result in frame.results]
            return pb.HeartbeatResponse(sessions=pb.Sessions(results=results))
        case Lost():
            return pb.HeartbeatResponse(
                lost=pb.Lost(service_id=frame.service_id, reason=pb.LostReason.ValueType(frame.reason))
            )
        case Drain():
            drain = pb.Command.Drain(deadline=None if frame.deadline_s is None else span_of(frame.deadline_s))
            command = pb.Command(nonce=frame.nonce, service_ids=frame.service_ids, drain=drain)
            return pb.HeartbeatResponse(command=command)
        case GoAway():
            go_away = pb.GoAway(
                reason=pb.GoAwayReason.ValueType(frame.reason),
                reconnect_after=span_of(frame.reconnect_after_s),
                alternates=frame.alternates,
            )
            return pb.HeartbeatResponse(go_away=go_away)


def _result_message(result: SessionResult) -> pb.SessionResult:
    return pb.SessionResult(
        service_id=result.service_id,
        epoch=result.epoch,
        error=None if result.error is None else encode_error(result.error),
        previous_status=service_pb2.ServiceStatus.ValueType(result.previous_status),
        previous_reason=service_pb2.StatusReasonCode.ValueType(result.previous_reason or 0),
    )


def decode_registry_frame(message: pb.HeartbeatResponse) -> RegistryFrame | None:
    """One frame; None if it is of a kind that this version does not know."""
    match message.WhichOneof("frame"):
        case "ack":
            ack = message.ack
            interval_s, timeout_s = decode_known_span(ack.interval), decode_known_span(ack.timeout)
            return Ack(seq=ack.seq, interval_s=interval_s, timeout_s=timeout_s)
        case "welcome":
            welcome = message.welcome
            interval_s, timeout_s = decode_known_span(welcome.interval), decode_known_span(welcome.timeout)
            return Welcome(interval_s=interval_s, timeout_s=timeout_s)
        case "sessions":
            return Sessions(results=tuple(_result_of(result) for result in message.sessions.results))
        case "lost":
            reason = known(LostReason, message.lost.reason, LostReason.REMOVED)
            return Lost(service_id=message.lost.service_id, reason=reason)
        case "command" if message.command.HasField("drain"):
            command = message.command
            drain = command.drain
            deadline_s = decode_known_span(drain.deadline) if drain.HasField("deadline") else None
            return Drain(nonce=command.nonce, service_ids=tuple(command.service_ids), deadline_s=deadline_s)
        case "go_away":
            go_away = message.go_away
            return GoAway(
                reason=known(GoAwayReason, go_away.reason, GoAwayReason.SHUTDOWN),
                reconnect_after_s=decode_known_span(go_away.reconnect_after),
                alternates=tuple(go_away.alternates),
            )
        case _:
            return None


def _result_of(result: pb.SessionResult) -> SessionResult:
    reason = result.previous_reason
    return SessionResult(
        service_id=result.service_id,
        epoch=result.epoch,
        error=decode_error(result.error) if result.HasField("error") else None,
        previous_status=known(ServiceStatus, result.previous_status, ServiceStatus.UNKNOWN),
        previous_reason=StatusReasonCode(reason) if reason in _REASONS else None,
    )


_REASONS = frozenset(int(code) for code in StatusReasonCode)
