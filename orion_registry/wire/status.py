"""Errors as gRPC statuses with `google.rpc` details, and back. Codes are numbers, so that no grpc is needed here."""

from typing import NamedTuple

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from orion_registry.errors import CLASS_OF, ERROR_CLASSES, ERROR_DOMAIN, Reason, RegistryError, Unavailable
from orion_registry.wire.spans import decode_known_span, span_of
from orion_registry_pb.v1 import errors_pb2

DETAILS_KEY = "grpc-status-details-bin"
"""Key of the trailing metadata that carries the serialised `google.rpc.Status`."""

MESSAGE_MAX = 320
"""Characters of a message. Percent-encoding may triple it, and it must stay well within a client's metadata limit."""


class WireStatus(NamedTuple):
    """What a failed call ends with: gRPC code, message, and the value for `DETAILS_KEY`."""

    code: int
    message: str
    details: bytes


def status_of(error: RegistryError) -> WireStatus:
    """The status of an error, with ErrorInfo, and RetryInfo where trying again makes sense."""
    message = safe_message(error.message)
    details = [_packed(ErrorInfo(reason=error.reason.value, domain=ERROR_DOMAIN))]
    if error.retry_after_s is not None:
        details.append(_packed(RetryInfo(retry_delay=span_of(error.retry_after_s))))
    status = Status(code=error.code, message=message, details=details)
    return WireStatus(error.code, message, status.SerializeToString())


def error_from_status(code: int, message: str, details: bytes) -> RegistryError:
    """The error that a status stands for. Of a registry newer than this code, the code alone may be understood."""
    reason, retry_after_s = _said(details)
    return _error(code, reason, message, retry_after_s)


def said_reason(details: bytes) -> Reason | None:
    """The reason as a status has it; None: it has none, or one that is newer than this code."""
    return _said(details)[0]


def _said(details: bytes) -> tuple[Reason | None, float | None]:
    """Reason and seconds to wait of a status."""
    reason: Reason | None = None
    retry_after_s: float | None = None
    try:
        packed = list(Status.FromString(details).details)
        for detail in packed:
            info, retry = ErrorInfo(), RetryInfo()
            if detail.Unpack(info) and info.domain == ERROR_DOMAIN:
                reason = _REASONS.get(info.reason)
            elif detail.Unpack(retry):
                retry_after_s = decode_known_span(retry.retry_delay)
    except DecodeError:
        pass  # damaged details: the code and the message still tell
    return reason, retry_after_s


def encode_error(error: RegistryError) -> errors_pb2.Error:
    """An error inside a stream frame."""
    retry = None if error.retry_after_s is None else span_of(error.retry_after_s)
    return errors_pb2.Error(
        code=error.code,
        reason=_NUMBERS[error.reason],
        message=safe_message(error.message),
        retry_after=retry,
    )


def decode_error(error: errors_pb2.Error) -> RegistryError:
    """The error that a stream frame carried."""
    retry_after_s = decode_known_span(error.retry_after) if error.HasField("retry_after") else None
    return _error(error.code, _REASON_OF_NUMBER.get(error.reason), error.message, retry_after_s)


def safe_message(message: str) -> str:
    """A message that fits into metadata: bounded, one line, valid UTF-8."""
    if len(message) > MESSAGE_MAX:
        message = message[: MESSAGE_MAX - 1] + "…"
    if not message.isprintable():
        message = "".join(character if character.isprintable() else "�" for character in message)
    return message


def _error(code: int, reason: Reason | None, message: str, retry_after_s: float | None) -> RegistryError:
    if reason is not None and CLASS_OF[reason].code == code:
        return CLASS_OF[reason](reason, message, retry_after_s=retry_after_s)
    cls = _CLASS_OF_CODE.get(code, Unavailable)
    return cls(_COMMON_REASON.get(cls.code, Reason.NOT_SERVING), message, retry_after_s=retry_after_s)


def _packed(message: ErrorInfo | RetryInfo) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed


_REASONS = {reason.value: reason for reason in Reason}
_NUMBERS = {reason: errors_pb2.ErrorReason.Value(f"ERROR_REASON_{reason.value}") for reason in Reason}
_REASON_OF_NUMBER = {int(number): reason for reason, number in _NUMBERS.items()}
_CLASS_OF_CODE = {cls.code: cls for cls in ERROR_CLASSES}
_COMMON_REASON = {
    3: Reason.BAD_FIELD,
    5: Reason.NO_SUCH_SERVICE,
    6: Reason.AGENT_IN_USE,
    7: Reason.NOT_ALLOWED,
    8: Reason.RATE_LIMITED,
    9: Reason.WRONG_MODE,
    10: Reason.SUPERSEDED,
    11: Reason.OUT_OF_RANGE,
    12: Reason.NOT_SUPPORTED_YET,
    16: Reason.NO_IDENTITY,
}
"""What to assume where a registry newer than this code gave a reason that it does not know."""
