"""The values that the registry is about. All are immutable; the catalog swaps them whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, ReprEnum
from typing import Self

from orion_registry.core.access.rights import EVERYTHING, Rights
from orion_registry.core.checks.spec import CheckSpec

Scalar = str | float | bool | None

_STATUS_WORDS = ("unspecified", "healthy", "unhealthy", "starting", "stopping", "unknown")


class ServiceStatus(int, ReprEnum):
    """Effective status. As a number it is that of the wire; its `value` is the word for people and for JSON.

    >>> ServiceStatus("healthy") is ServiceStatus(1) is ServiceStatus.HEALTHY, int(ServiceStatus.HEALTHY)
    (True, 1)
    """

    _value_: str

    UNSPECIFIED = 0
    HEALTHY = 1
    UNHEALTHY = 2
    STARTING = 3
    STOPPING = 4
    UNKNOWN = 5

    def __new__(cls, number: int | str) -> Self:
        """A member, by its number or its word."""
        member = int.__new__(cls, number)
        member._value_ = _STATUS_WORDS[member]
        cls._value2member_map_[int(member)] = (
            member  # found by its number too; `_missing_` would take ten times as long
        )
        return member

    def __repr__(self) -> str:
        return f"<ServiceStatus.{self.name}: {int(self)}>"


class StatusReasonCode(IntEnum):
    """Why a service has its status; `core/status.py` says which. Numbers are those of the wire."""

    STREAM_OPEN = 1
    BEATING = 2
    STATIC = 3
    CHECK_OK = 4
    LATE = 5
    HELD = 6
    STUCK = 7
    CHECK_STALE = 8
    EJECTED = 9
    PROBATION = 10
    RESTORED = 11
    RECONNECT_GRACE = 12
    OWNER_LOST = 13
    AWAITING_BEAT = 14
    AWAITING_CHECK = 15
    DRAINING = 16
    DRAINED = 17
    MAINTENANCE = 18
    DISCONNECTED = 19
    SILENT = 20
    NOT_SEEN = 21
    CHECK_FAILED = 22
    QUARANTINED = 23
    SELF_REPORTED = 24


class LivenessMode(IntEnum):
    """How the registry knows that a service is alive. Numbers are those of the wire."""

    STREAM = 1
    TTL = 2
    CHECK = 3
    STATIC = 4


class RemovalReason(IntEnum):
    """Why a service left a watcher's view. Numbers are those of the wire."""

    OUT_OF_VIEW = 1
    UNREGISTERED = 2
    EXPIRED = 3
    REMOVED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """An instant: `mono` seconds decide, `wall` seconds since 1970 are a label."""

    mono: float
    wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who gives a command.

    identity is empty where none was proven; address is the peer's, empty for a Unix socket and in process.
    """

    identity: str = ""
    rights: Rights = EVERYTHING
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load as an agent reports it."""

    in_flight: int = 0
    queue_depth: int = 0
    utilization: float = 0.0
    named: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """What an agent owns of a service: everything that it may write. Valid once `validation.check_spec` returned it.

    metadata_json is canonical JSON (sorted keys, no spaces); metadata_scalars its top-level scalars, for selectors.
    retention_s and stuck_after_s None mean the registry's default, 0 never; silence_timeout_s None means that the
    interval decides.
    """

    namespace: str = "default"
    service_id: str = ""
    agent_id: str
    service_name: str
    service_type: str = "agent"
    host: str = ""
    port: int = 0
    protocol: str = "http"
    version: str = "1.0.0"
    zone: str = ""
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metadata_json: str = "{}"
    metadata_scalars: Mapping[str, Scalar] = field(default_factory=dict)
    weight: float = 1.0
    max_concurrency: int = 0
    health_check_url: str = ""
    checks: tuple[CheckSpec, ...] = ()
    liveness: LivenessMode = LivenessMode.STREAM
    liveness_ttl_s: float = 30.0
    retention_s: float | None = None
    silence_timeout_s: float | None = None
    stuck_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the store keeps of a service.

    generation rises by 1 with every stored change; used_epoch is the highest epoch that its holder had used then;
    registered_wall is a label; request_id and payload_hash make the last registration idempotent. address is the peer's
    that the registration came from, empty for a Unix socket and in process.
    """

    spec: ServiceSpec
    secret_hash: str
    identity: str
    generation: int
    used_epoch: int
    registered_wall: float
    request_id: str
    payload_hash: str
    address: str = ""

    @property
    def service_id(self) -> str:
        """The key of the record; one per natural key."""
        return self.spec.service_id


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReason:
    """One reason that holds, and since when by the wall clock (a label)."""

    code: StatusReasonCode
    since_wall: float


class Snapshot:
    """A service as the world sees it between two edges; never changed once published.

    selection_tier says how early it is selected, ready or not (`core.selection.candidate.Tier`); tier is the same while
    it is ready, else -1.
    weight_set is the weight that an operator has set; None = the agent's own counts: see `weight`.

    Three attributes belong to the wire floor: `encoded`, the bytes of this snapshot; `encoded_record`, those of its
    record, which the snapshots of one record hand on; `json`, its text. Each is made at most once.
    """

    __slots__ = (
        "encoded",
        "encoded_record",
        "epoch",
        "json",
        "ready",
        "reasons",
        "record",
        "revision",
        "selection_tier",
        "status",
        "tier",
        "weight_set",
    )

    def __init__(
        self,
        *,
        record: Record,
        status: ServiceStatus,
        reasons: tuple[StatusReason, ...],
        ready: bool,
        tier: int,
        selection_tier: int,
        epoch: int,
        revision: int,
        weight_set: float | None = None,
    ) -> None:
        self.record = record
        self.status = status
        self.reasons = reasons
        self.ready = ready
        self.tier = tier
        self.selection_tier = selection_tier
        self.epoch = epoch
        self.revision = revision
        self.weight_set = weight_set
        self.encoded: bytes | None = None
        self.encoded_record: bytes | None = None
        self.json: str | None = None

    @property
    def service_id(self) -> str:
        """Id of the service."""
        return self.record.spec.service_id

    @property
    def weight(self) -> float:
        """Its share of calls: what an operator has set, else what its agent wrote."""
        return self.record.spec.weight if self.weight_set is None else self.weight_set


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRef:
    """Who speaks for a service: its id, the epoch last given for it, the secret of its registration."""

    service_id: str
    epoch: int
    secret: str = field(repr=False)
