"""Every error of the registry: one tree, one closed list of reasons.

    RegistryError
    ├── InvalidArgument      the caller's request is wrong and stays wrong
    ├── NotFound             the thing asked for is not here
    ├── AlreadyExists        somebody else has it
    ├── PermissionDenied     the caller may not
    ├── Unauthenticated      the caller did not say who it is
    ├── FailedPrecondition   not in this state; read again, then decide
    ├── Aborted              a newer session won
    ├── OutOfRange           the history asked for is gone
    ├── Unimplemented        known, not served by this version
    ├── Unavailable          not now; try again
    └── ResourceExhausted    a limit is reached; try again later

A class says which gRPC status an error has, its `reason` says why. Messages are lower case, without a full stop, and
name the field, the limit and what came.
"""

from enum import StrEnum
from typing import ClassVar

ERROR_DOMAIN = "registry.orion"
"""Domain of the `google.rpc.ErrorInfo` that every error carries on the wire."""


class Reason(StrEnum):
    """Why a call failed. Closed: the wire's `ErrorReason` has the same names."""

    BAD_FIELD = "BAD_FIELD"
    BAD_PAGE_TOKEN = "BAD_PAGE_TOKEN"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    NO_SUCH_SERVICE = "NO_SUCH_SERVICE"
    NO_SUCH_LEASE = "NO_SUCH_LEASE"
    NO_MATCH = "NO_MATCH"
    AGENT_IN_USE = "AGENT_IN_USE"
    WRONG_SECRET = "WRONG_SECRET"
    NOT_OWNER = "NOT_OWNER"
    NOT_ALLOWED = "NOT_ALLOWED"
    NO_IDENTITY = "NO_IDENTITY"
    STALE_EPOCH = "STALE_EPOCH"
    STALE_ETAG = "STALE_ETAG"
    WRONG_MODE = "WRONG_MODE"
    SUPERSEDED = "SUPERSEDED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    NOT_SUPPORTED_YET = "NOT_SUPPORTED_YET"
    NO_READY_SERVICE = "NO_READY_SERVICE"
    STORE_DOWN = "STORE_DOWN"
    NOT_SERVING = "NOT_SERVING"
    NO_FREE_SLOT = "NO_FREE_SLOT"
    QUEUE_FULL = "QUEUE_FULL"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_LARGE = "TOO_LARGE"


class Limit(StrEnum):
    """What was full, or came too fast, when something was refused with RESOURCE_EXHAUSTED. Closed: refusals are counted
    by it. What gRPC refuses itself, such as a message that is too large, is not among them: nobody tells us.
    """

    READ_RATE = "READ_RATE"
    REPORT_RATE = "REPORT_RATE"
    WRITE_RATE = "WRITE_RATE"
    PROBE_RATE = "PROBE_RATE"
    STREAM_RATE = "STREAM_RATE"
    IDENTITY_STREAMS = "IDENTITY_STREAMS"
    IDENTITY_WATCHES = "IDENTITY_WATCHES"
    NAMESPACE_SERVICES = "NAMESPACE_SERVICES"
    NAMESPACE_STREAMS = "NAMESPACE_STREAMS"
    NAMESPACE_WATCHES = "NAMESPACE_WATCHES"
    NAMESPACE_REGISTRATIONS = "NAMESPACE_REGISTRATIONS"
    HELLOS = "HELLOS"
    REGISTRATIONS = "REGISTRATIONS"
    STATUS_CHANGES = "STATUS_CHANGES"
    STREAM_SERVICES = "STREAM_SERVICES"
    LEASES = "LEASES"
    WAITERS = "WAITERS"
    UNREAD_WATCH = "UNREAD_WATCH"
    OVERLAYS = "OVERLAYS"
    SCOPES = "SCOPES"
    CHECK_RUNS = "CHECK_RUNS"
    IMPORTS = "IMPORTS"


class RegistryError(Exception):
    """Base of all errors that the registry answers with.

    Attributes:
        code: number of the gRPC status code.
        reason: why, from the closed list.
        message: for people.
        retry_after_s: set when trying again makes sense: seconds to wait first.
    """

    code: ClassVar[int]
    reasons: ClassVar[frozenset[Reason]]

    def __init__(self, reason: Reason, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


class InvalidArgument(RegistryError):
    """The request is wrong and stays wrong: mend the caller."""

    code = 3
    reasons = frozenset({Reason.BAD_FIELD, Reason.BAD_PAGE_TOKEN, Reason.REQUEST_ID_REUSED})


class NotFound(RegistryError):
    """What was asked for is not here."""

    code = 5
    reasons = frozenset({Reason.NO_SUCH_SERVICE, Reason.NO_SUCH_LEASE, Reason.NO_MATCH})


class AlreadyExists(RegistryError):
    """Somebody else has it: a live session, or another agent."""

    code = 6
    reasons = frozenset({Reason.AGENT_IN_USE})


class PermissionDenied(RegistryError):
    """The caller said who it is, and may not do this."""

    code = 7
    reasons = frozenset({Reason.WRONG_SECRET, Reason.NOT_OWNER, Reason.NOT_ALLOWED})


class Unauthenticated(RegistryError):
    """The caller did not say who it is."""

    code = 16
    reasons = frozenset({Reason.NO_IDENTITY})


class FailedPrecondition(RegistryError):
    """The thing is not in the state that the call needs."""

    code = 9
    reasons = frozenset({Reason.STALE_EPOCH, Reason.STALE_ETAG, Reason.WRONG_MODE})


class Aborted(RegistryError):
    """A newer session won. Final for the older one."""

    code = 10
    reasons = frozenset({Reason.SUPERSEDED})


class OutOfRange(RegistryError):
    """The history asked for is gone."""

    code = 11
    reasons = frozenset({Reason.OUT_OF_RANGE})


class Unimplemented(RegistryError):
    """Known, and not served by this version."""

    code = 12
    reasons = frozenset({Reason.NOT_SUPPORTED_YET})


class Unavailable(RegistryError):
    """Not now: try again after `retry_after_s`."""

    code = 14
    reasons = frozenset({Reason.NO_READY_SERVICE, Reason.STORE_DOWN, Reason.NOT_SERVING})


class ResourceExhausted(RegistryError):
    """A limit is reached: try again after `retry_after_s`, or, where that is None, with less.

    Attributes:
        limit: which one, to be counted; None for an agent's own slots, and on the client's side.
    """

    code = 8
    reasons = frozenset({Reason.NO_FREE_SLOT, Reason.QUEUE_FULL, Reason.RATE_LIMITED, Reason.TOO_LARGE})

    def __init__(
        self, reason: Reason, message: str, *, limit: Limit | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason, message, retry_after_s=retry_after_s)
        self.limit = limit


ERROR_CLASSES: tuple[type[RegistryError], ...] = (
    InvalidArgument,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    Unauthenticated,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Unavailable,
    ResourceExhausted,
)

CLASS_OF: dict[Reason, type[RegistryError]] = {reason: cls for cls in ERROR_CLASSES for reason in cls.reasons}
"""The class, and with it the gRPC status, that each reason belongs to."""


class Said(str):
    """What came, told in words instead of shown: "3 bytes", "nothing"."""

    __slots__ = ()


def shown(got: object, most: int = 80) -> str:
    """What came, for a message: text in quotes, numbers with separators, words as they are; shortened to `most`."""
    try:
        text = str(got) if isinstance(got, Said) else repr(got)
    except ValueError:  # Python writes no more (sys.get_int_max_str_digits), but TOML may hold one in hexadecimal
        return "a number of too many digits"
    if type(got) in {int, float}:  # not bool, nor an enum
        text = f"{got:,}"
    if len(text) <= most:
        return text
    size = len(got) if isinstance(got, str) else len(text)
    return f"{text[: most - 20]}… ({size:,} characters)"


def bad_field(field: str, limit: str, got: object) -> InvalidArgument:
    """An `InvalidArgument` that names the field, its limit and (shortened) what came."""
    return InvalidArgument(Reason.BAD_FIELD, f"{field}: must be {limit}, got {shown(got)}")
