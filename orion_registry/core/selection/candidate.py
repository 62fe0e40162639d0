"""What selection needs to know of a service."""

from enum import IntEnum
from typing import Protocol


class Tier(IntEnum):
    """How early a service may be selected: a later tier only when no earlier one has a free slot."""

    FIRST = 0
    SECOND = 1
    DEGRADED = 2
    """This and the next only with allow_degraded."""
    DEGRADED_LAST = 3
    NEVER = 4


class Candidate(Protocol):
    """A registered service as selection sees it. The registry makes one of an entry at every edge."""

    @property
    def service_id(self) -> str:
        """Its id."""
        ...

    @property
    def service_name(self) -> str:
        """Names its replicas: ejection is capped among them."""
        ...

    @property
    def zone(self) -> str:
        """Where it runs; empty = it does not say."""
        ...

    @property
    def tier(self) -> Tier:
        """From its status."""
        ...

    @property
    def weight(self) -> float:
        """Factor on its capacity, an overlay's before its own; 0 = never select it."""
        ...

    @property
    def max_concurrency(self) -> int:
        """Slots that there are; 0 = no limit."""
        ...
