"""What may become of a call to etcd."""

import grpc
import grpc.aio

from orion_registry.calls.cancellation import end_if_cancelled

_OLD_AUTH = "revision of auth store is old"
_NO_USER = "user name is empty"
_FULL = "database space exceeded"
_TOO_LARGE = ("request is too large", "too many operations")


class EtcdError(Exception):
    """A call that did not succeed. Unless it is `EtcdUnavailable`, nothing was changed."""


class EtcdUnavailable(EtcdError):
    """No answer, or one that leaves it open: a write may have taken place, or may yet."""


class EtcdUnreachable(EtcdUnavailable):
    """No endpoint could be connected to: nothing was sent, so nothing was changed."""


class EtcdFull(EtcdError):
    """Its database has reached its quota (NOSPACE): it takes no writes until somebody makes room."""


class EtcdTooLarge(EtcdError):
    """More operations or bytes than etcd takes in one request."""


class EtcdRefused(EtcdError):
    """etcd knows who asks and does not let them; or does not know them."""


class EtcdCompacted(EtcdError):
    """The revision asked for is not kept any more.

    Attributes:
        revision: the oldest one that is; 0 = etcd did not say.
    """

    def __init__(self, revision: int) -> None:
        super().__init__(f"revisions before {revision} are not kept any more")
        self.revision = revision


class EtcdLeaseLost(EtcdError):
    """There is no such lease any more, nor any of its keys."""


def is_token_refused(error: grpc.aio.AioRpcError) -> bool:
    """Whether a call's token is worth nothing any more: it has run out, or users or roles have changed since."""
    return error.code() is grpc.StatusCode.UNAUTHENTICATED or _OLD_AUTH in (error.details() or "")


def failure_of(error: grpc.aio.AioRpcError, endpoint: str) -> EtcdError:
    """The failure that a status stands for."""
    code, details = error.code(), (error.details() or "").lower()
    message = f"{endpoint}: {details or code.name.lower()}"
    if _FULL in details:
        return EtcdFull(message)
    if _NO_USER in details:
        return EtcdRefused(f"{endpoint}: it asks for a user: set etcd_user and etcd_password_file ({details})")
    if any(text in details for text in _TOO_LARGE):
        return EtcdTooLarge(message)
    if "required revision has been compacted" in details:
        return EtcdCompacted(0)
    if "requested lease not found" in details:
        return EtcdLeaseLost(message)
    if code in {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
    }:
        return EtcdRefused(message)
    return EtcdUnavailable(message)


def cut_off(endpoint: str) -> EtcdUnavailable:
    """The failure of a call that ended because its connection was given up.

    Raises:
        asyncio.CancelledError: the task that waits for it is to end, not the call alone.
    """
    end_if_cancelled()
    return EtcdUnavailable(f"{endpoint}: the connection was given up")
