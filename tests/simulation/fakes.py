"""What stands around a balancer when there is no registry: candidates, and a listener that remembers."""

from dataclasses import dataclass, field

from orion_registry.core.selection.candidate import Tier
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.queue import Waiter


@dataclass(frozen=True, slots=True)
class Member:
    """A candidate by hand."""

    service_id: str
    tier: Tier = Tier.FIRST
    weight: float = 1.0
    max_concurrency: int = 0
    service_name: str = "work"
    zone: str = ""


@dataclass(slots=True)
class Heard:
    """A `Listener`: everything that it was told, in order."""

    settled_waiters: list[Waiter] = field(default_factory=list)
    expired_leases: list[Lease] = field(default_factory=list)
    ejections: list[tuple[str, float]] = field(default_factory=list)
    returns: list[str] = field(default_factory=list)
    closed_pools: list[Pool] = field(default_factory=list)

    def settled(self, waiter: Waiter) -> None:
        self.settled_waiters.append(waiter)

    def expired(self, lease: Lease) -> None:
        self.expired_leases.append(lease)

    def ejected(self, service_id: str, until: float) -> None:
        self.ejections.append((service_id, until))

    def returned(self, service_id: str) -> None:
        self.returns.append(service_id)

    def closed(self, pool: Pool) -> None:
        self.closed_pools.append(pool)
