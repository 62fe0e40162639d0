"""Judges how a call ended: which statuses the registry may give, and what they must carry."""

from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from orion_registry.errors import CLASS_OF, ERROR_DOMAIN, Reason

MESSAGE_LIMIT = 1024 * 1024
"""Above it gRPC itself refuses, without details."""


def judge(error: grpc.aio.AioRpcError, size: int) -> str:
    """What is wrong with an error status; empty if it is one of the closed list, with its details.

    Args:
        error: how the call ended.
        size: bytes of the largest message sent.
    """
    code = error.code()
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and size > MESSAGE_LIMIT:
        return ""
    reason = reason_of(error.trailing_metadata())
    if reason is None:
        return f"{code.name} without a reason of the registry: {error.details()}"
    if CLASS_OF[reason].code != code.value[0]:
        return f"{code.name} does not belong to {reason}"
    if not error.details() or not str(error.details()).isprintable():
        return f"{code.name} with a message that people cannot read: {error.details()!r}"
    return ""


def reason_of(trailers: Any) -> Reason | None:
    """The reason in a call's details; None if there is none of the closed list."""
    for key, value in trailers or ():
        if key == "grpc-status-details-bin":
            try:
                details = Status.FromString(value).details
            except DecodeError:
                return None
            for detail in details:
                info = ErrorInfo()
                if detail.Unpack(info) and info.domain == ERROR_DOMAIN and info.reason in Reason.__members__:
                    return Reason[info.reason]
    return None
