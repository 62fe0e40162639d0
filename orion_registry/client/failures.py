"""gRPC's failures as the registry's typed errors, with advice where the registry itself said nothing."""

from typing import ClassVar

import grpc
import grpc.aio

from orion_registry.client.tls_advice import tls_advice
from orion_registry.errors import (
    PermissionDenied,
    Reason,
    RegistryError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from orion_registry.wire.status import error_from_status

DETAILS_KEY = "grpc-status-details-bin"

TOO_LARGE = "larger than max"
"""In what gRPC says of a message over its limit. The same code without it is a shortage, and passes."""


class Unreachable(Unavailable):
    """The registry gave no answer: it is down, the address is wrong, or the network is cut. May be tried again.

    Attributes:
        address: where it was looked for.
    """

    def __init__(self, message: str, *, address: str) -> None:
        super().__init__(Reason.NOT_SERVING, message)
        self.address = address


class NoAnswerInTime(Unreachable):
    """The deadline passed. Whether the call took effect is not known: RegisterService and reads may be repeated."""

    code: ClassVar[int] = 4


class BrokenAnswer(Unreachable):
    """The peer answered what no registry answers: look at what listens at the address, and at the registry's log."""

    code: ClassVar[int] = 13


def registry_error(failure: grpc.aio.AioRpcError, address: str, *, tls: bool = False) -> RegistryError:
    """The typed error that a failed call stands for: the registry's own if it sent details, else one with advice.

    tls: whether it was made over TLS.
    """
    code = failure.code()
    message = failure.details() or ""
    details = _details(failure)
    if details:
        return error_from_status(code.value[0], message, details)
    return _plain_error(code, message, address, tls)


def _details(failure: grpc.aio.AioRpcError) -> bytes:
    for key, value in failure.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return value
    return b""


def _plain_error(code: grpc.StatusCode, message: str, address: str, tls: bool) -> RegistryError:
    """An error of gRPC itself, or of something on the way: no details came with it."""
    said = f" ({message})" if message else ""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            advice = tls_advice(message, tls=tls) or (
                "start it (orion-registry serve), or set the right address (ORION_ADDRESS)"
            )
            return Unreachable(f"cannot reach the registry at {address}{said}: {advice}", address=address)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return NoAnswerInTime(
                f"no answer from the registry at {address} in time{said}: it is overloaded, hung, or something else "
                "listens there; the call may have taken effect",
                address=address,
            )
        case grpc.StatusCode.CANCELLED:
            return Unreachable(f"the call to {address} was cut off{said}", address=address)
        case grpc.StatusCode.UNIMPLEMENTED:
            return Unimplemented(
                Reason.NOT_SUPPORTED_YET,
                f"the server at {address} does not serve this call{said}: is it an Orion registry, and new enough?",
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            if TOO_LARGE in message:
                return ResourceExhausted(Reason.TOO_LARGE, f"refused by {address}{said}: send or ask for less")
            return ResourceExhausted(Reason.RATE_LIMITED, f"refused on the way to {address}{said}: try again later")
        case grpc.StatusCode.PERMISSION_DENIED:
            return PermissionDenied(Reason.NOT_ALLOWED, f"refused on the way to {address}{said}")
        case grpc.StatusCode.UNAUTHENTICATED:
            return Unauthenticated(Reason.NO_IDENTITY, f"refused on the way to {address}{said}")
        case _:
            return BrokenAnswer(
                f"{code.name} from {address}{said}: the registry failed, or something else answers there; see its log",
                address=address,
            )
