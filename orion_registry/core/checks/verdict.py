"""What a probe found out."""

from dataclasses import dataclass
from enum import IntEnum

from orion_registry.core.checks.spec import ProbeKind

DETAIL = 200
"""Characters of a detail; longer ones are cut."""


class Verdict(IntEnum):
    """What one run of a check says. Numbers are those of the wire."""

    PASSED = 1
    FAILED = 2
    """The service did not answer as it should."""
    UNAVAILABLE = 3
    """The registry could not look: no permission, no sockets, a custom check that broke: no fault of the service."""
    DENIED = 4
    """The egress policy refused the target; nothing was sent. Says nothing of the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one attempt, or of a whole run.

    Attributes:
        verdict: what it says.
        kind: of the probe that decided.
        detail: why, in our own words and never anything that the target sent: "connection refused", "status 503, not
            200 to 299". At most `DETAIL` characters.
        latency_s: of the deciding attempt, in seconds.
        attempts: how many there were.
    """

    verdict: Verdict
    kind: ProbeKind
    detail: str = ""
    latency_s: float = 0.0
    attempts: int = 1
