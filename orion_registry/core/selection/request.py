"""What a caller asks for when it asks for a service to call."""

from dataclasses import dataclass, field
from typing import Final

from orion_registry.core.selection.slots import DEGRADED_LAST, SECOND
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.errors import bad_field

COUNT: Final = 100
"""Selections of one request."""
WAIT_MAX_S: Final = 3_600.0
TTL_MAX_S: Final = 3_600.0
EXCLUDED: Final = 1_000
"""Services that one request may exclude: each may cost a look at every candidate, not more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRequest:
    """One request, or many alike. Spans in seconds; checked when made.

    Attributes:
        caller: who asks: waiting is fair among callers, and leases are theirs.
        strategy: None = the one of its scope.
        count: selections wanted; fewer are given if fewer slots are free, but one at least. One, if it had to wait.
        excluded: ids of services not wanted, such as those that have just failed.
        key: affinity key: calls with the same one go to the same service while it can take them.
        wait_s: how long to wait if all slots are taken; 0 = not at all.
        ttl_s: of the leases; None = the configured one.
        zone: of the caller: candidates there go first while enough of them are ready; empty = all alike.
        allow_degraded: take ejected and unknown ones when nothing better is free.
        stream: names the Route stream that it came on.
        request_id: makes it idempotent while its leases are open; empty = not.
        payload: hash of the whole request, to tell a retry from another request with the same id.
        last_tier: the last tier that it takes; follows from allow_degraded.
    """

    caller: str = ""
    strategy: StrategyName | None = None
    count: int = 1
    excluded: frozenset[str] = frozenset()
    key: str = ""
    wait_s: float = 0.0
    ttl_s: float | None = None
    zone: str = ""
    allow_degraded: bool = False
    stream: str = ""
    request_id: str = ""
    payload: str = ""
    last_tier: int = field(init=False)

    def __post_init__(self) -> None:
        """Checks its numbers.

        Raises:
            InvalidArgument: BAD_FIELD, for the first field that breaks its limit.
        """
        if not 1 <= self.count <= COUNT:
            raise bad_field("count", f"1 to {COUNT}", self.count)
        if not 0 <= self.wait_s <= WAIT_MAX_S:
            raise bad_field("wait_timeout", f"0 to {WAIT_MAX_S:,g} s", self.wait_s)
        if len(self.excluded) > EXCLUDED:
            raise bad_field("exclude_service_ids", f"at most {EXCLUDED:,} entries", len(self.excluded))
        if self.ttl_s is not None:
            check_ttl(self.ttl_s)
        object.__setattr__(self, "last_tier", DEGRADED_LAST if self.allow_degraded else SECOND)


def check_ttl(ttl_s: float) -> float:
    """Returns a lease's ttl if it is within limits.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    if not 0 < ttl_s <= TTL_MAX_S:
        raise bad_field("lease_ttl", f"above 0 and at most {TTL_MAX_S:,g} s", ttl_s)
    return ttl_s
