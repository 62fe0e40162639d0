"""Active checks as an agent configures them. Valid once `checks.validation.check_checks` returned them."""

from dataclasses import dataclass
from enum import IntEnum

TIMEOUT_S = 5.0
"""Time that one attempt may take, unless the check says otherwise or its interval is shorter than twice that."""


class ProbeKind(IntEnum):
    """Kinds of probes. Numbers are those of the wire."""

    HTTP = 1
    TCP = 2
    ICMP = 3
    GRPC = 4
    CUSTOM = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """One HTTP request. It passes if the status is in the range and the body's first 64 KiB arrive in time.

    host empty and port 0 mean the service's own, path empty "/"; a probe that has none of the three is for the
    service's health_check_url, if there is one. headers are names and values, sorted. tls_name is the name that the
    certificate must carry, empty = host; verify False takes any certificate (https only).
    """

    host: str = ""
    port: int = 0
    https: bool = False
    method: str = "GET"
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    status_min: int = 200
    status_max: int = 299
    tls_name: str = ""
    verify: bool = True

    kind = ProbeKind.HTTP


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpProbe:
    """One TCP connection. It passes if it is accepted."""

    host: str = ""
    port: int = 0

    kind = ProbeKind.TCP


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpProbe:
    """One ICMP echo. It passes if it is answered."""

    host: str = ""

    kind = ProbeKind.ICMP


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcProbe:
    """One grpc.health.v1.Health/Check. It passes on SERVING.

    service is the name asked for, empty = the whole server; tls_name as in `HttpProbe`.
    """

    host: str = ""
    port: int = 0
    service: str = ""
    tls: bool = False
    tls_name: str = ""

    kind = ProbeKind.GRPC


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomProbe:
    """One call of a callable that the registry's configuration names.

    It is told host and port, which are the service's own, and the egress policy judges the host as for other kinds.
    """

    name: str
    host: str = ""
    port: int = 0

    kind = ProbeKind.CUSTOM


Probe = HttpProbe | TcpProbe | IcmpProbe | GrpcProbe | CustomProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSpec:
    """One active check.

    Attributes:
        name: unique within the service.
        probes: the first, and what is tried in turn while those before have not passed; at least one.
        interval_s: from one run to the next, give or take 10 %.
        timeout_s: of one attempt; None = `TIMEOUT_S`, or half of the interval if that is less.
        retries: further attempts of each probe within a run.
        fall: failed runs in a row until the check fails.
        rise: passed runs in a row until one that failed passes again; a new one passes with its first.
    """

    name: str
    probes: tuple[Probe, ...]
    interval_s: float = 30.0
    timeout_s: float | None = None
    retries: int = 0
    fall: int = 3
    rise: int = 2

    @property
    def attempt_s(self) -> float:
        """Seconds that one attempt may take."""
        return min(TIMEOUT_S, self.interval_s / 2) if self.timeout_s is None else self.timeout_s

    @property
    def attempts(self) -> int:
        """Attempts of one run at most."""
        return len(self.probes) * (1 + self.retries)
