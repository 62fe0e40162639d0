"""What passes over a heartbeat stream, in the core's words. The wire floor translates."""

from dataclasses import dataclass
from enum import IntEnum

from orion_registry.core.model import Load, ServiceStatus, SessionRef, StatusReasonCode
from orion_registry.errors import RegistryError

# From the agent.


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """One service to put on the stream."""

    ref: SessionRef
    load: Load | None = None
    self_status: ServiceStatus = ServiceStatus.UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Opens the stream; counts as the first sign of life of its services."""

    agent_id: str
    instance_id: str = ""
    sdk: str = ""
    features: tuple[str, ...] = ()
    sessions: tuple[SessionRequest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Puts more services on the stream."""

    sessions: tuple[SessionRequest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detach:
    """Takes services off the stream."""

    service_ids: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class ServiceBeat:
    """What a beat says of one service. task_age_s None means idle. Not frozen, see `Beat`."""

    service_id: str
    load: Load | None = None
    self_status: ServiceStatus = ServiceStatus.UNSPECIFIED
    progress: int = 0
    task_age_s: float | None = None
    loop_lag_s: float | None = None


@dataclass(slots=True, kw_only=True)
class Beat:
    """A sign of life for every service of the stream, listed or not.

    Not frozen, though never changed: a frozen one takes three times as long to make, and most of all frames are beats.
    """

    seq: int
    services: tuple[ServiceBeat, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAck:
    """Answers a command."""

    nonce: int


class GoodbyeReason(IntEnum):
    """Why an agent leaves. Numbers are those of the wire."""

    STOPPING = 1
    MOVING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodbye:
    """Announces the end of the stream."""

    reason: GoodbyeReason


AgentFrame = Hello | Attach | Detach | Beat | CommandAck | Goodbye

# From the registry.


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """Answers a hello with the pace of beats."""

    interval_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """What became of one session asked for: an epoch, or an error."""

    service_id: str
    epoch: int = 0
    error: RegistryError | None = None
    previous_status: ServiceStatus = ServiceStatus.UNSPECIFIED
    previous_reason: StatusReasonCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Answers a hello and every attach, in the order asked."""

    results: tuple[SessionResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Answers a beat."""

    seq: int
    interval_s: float
    timeout_s: float


class LostReason(IntEnum):
    """Why a service left its stream. Numbers are those of the wire."""

    SUPERSEDED = 1
    REMOVED = 2
    UNREGISTERED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A service left the stream."""

    service_id: str
    reason: LostReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Asks the agent to take nothing new. service_ids empty means all; deadline_s None means no limit."""

    nonce: int
    service_ids: tuple[str, ...] = ()
    deadline_s: float | None = None


class GoAwayReason(IntEnum):
    """Why the registry ends a stream. Numbers are those of the wire."""

    SHUTDOWN = 1
    REBALANCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway:
    """The registry is about to end the stream."""

    reason: GoAwayReason
    reconnect_after_s: float
    alternates: tuple[str, ...] = ()


RegistryFrame = Welcome | Sessions | Ack | Lost | Drain | GoAway
