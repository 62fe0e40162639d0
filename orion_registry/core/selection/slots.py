"""The slots of one service: how many there are, how many are taken, and who has to hear of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orion_registry.core.selection.candidate import Candidate, Tier
from orion_registry.core.selection.performance import Performance

if TYPE_CHECKING:
    from orion_registry.core.selection.leases import Lease
    from orion_registry.core.selection.pool import Pool

NO_LIMIT_COUNTS_AS = 16
"""Slots that a service without a limit is weighed with (docs/balancing.md)."""

NO_LIMIT = 1 << 62

LEAST_CAPACITY = 1e-6
"""What the capacity of the lightest counts as: strategies divide by it, and by sums of it."""

NEVER = int(Tier.NEVER)
SECOND = int(Tier.SECOND)
DEGRADED = int(Tier.DEGRADED)
DEGRADED_LAST = int(Tier.DEGRADED_LAST)


class Slots:
    """What selection keeps of one service; shared by all pools that it is in. A plain object: this is the hot path.

    in_flight = leases_open + max(0, reported - leases_open at that beat): a report can only raise it, so an agent gains
    nothing by reporting less than it has.

    Attributes:
        service_id, service_name, weight, max_concurrency: as its candidate says.
        limit: slots that there are, `NO_LIMIT` if max_concurrency is 0.
        capacity: weight x warmth x slots (16 if there is no limit): what weighted strategies divide by.
        in_flight: slots taken.
        beyond: slots taken that no open lease accounts for: as of the last report, or in a view without leases.
        standing: the tier that counts, ejection and weight included.
        zone: where it runs; empty = it does not say.
        tier: the tier of its candidate.
        gone: it is not registered any more; kept only for the leases that are still open.
        ejected: whether its outcomes keep it out.
        warmth: slow start's factor, up to 1.
        utilization: as last reported, 0 to 1.
        leases: the open ones, in the order of their grant.
        performance: what its calls have shown.
        pools: those it is in.
        watchers: for each ranking that it is in, the changes that the ranking has not looked at yet.
    """

    __slots__ = (
        "beyond",
        "capacity",
        "ejected",
        "gone",
        "in_flight",
        "leases",
        "limit",
        "max_concurrency",
        "performance",
        "pools",
        "service_id",
        "service_name",
        "standing",
        "tier",
        "utilization",
        "warmth",
        "watchers",
        "weight",
        "zone",
    )

    def __init__(self, candidate: Candidate) -> None:
        self.service_id = candidate.service_id
        self.leases: dict[Lease, None] = {}
        self.pools: dict[Pool, None] = {}
        self.watchers: list[dict[Slots, None]] = []
        self.performance = Performance()
        self.in_flight = 0
        self.beyond = 0
        self.ejected = False
        self.warmth = 1.0
        self.utilization = 0.0
        self.standing = NEVER
        self.zone = candidate.zone
        self.put(candidate)

    @property
    def free(self) -> bool:
        """Whether a slot is free; says nothing of whether it may be selected."""
        return self.in_flight < self.limit

    @property
    def ready(self) -> bool:
        """Whether it may be selected without allow_degraded, with a free slot or without."""
        return self.standing <= SECOND

    @property
    def load(self) -> float:
        """How full it would be with one call more, as a share of its capacity."""
        return (self.in_flight + 1) / self.capacity

    def put(self, candidate: Candidate) -> None:
        """Takes over what the registry says of it now."""
        self.service_name = candidate.service_name
        self.tier = int(candidate.tier)
        self.gone = False
        self.weight = candidate.weight
        self.max_concurrency = candidate.max_concurrency
        self.limit = candidate.max_concurrency or NO_LIMIT
        self.settle(candidate.zone)

    def retire(self) -> None:
        """It is not registered any more: never select it; its leases stay until they end."""
        self.gone = True
        self.tier = NEVER
        self.beyond, self.utilization = 0, 0.0  # of a life of the agent that is over: nobody may ever correct it
        self.in_flight = len(self.leases)
        self.settle()

    def settle(self, zone: str | None = None) -> None:
        """Joins what decides over it into `standing` and `capacity`, and tells the rankings. zone: its new one."""
        # `not > 0`, so that NaN is out too
        standing = self.tier if self.weight > 0 else NEVER
        if self.ejected and standing < DEGRADED:
            standing = DEGRADED
        if zone is None:
            zone = self.zone
        if zone != self.zone or (standing <= SECOND) != self.ready:
            for pool in self.pools:
                pool.zones.remove(self)
            self.standing, self.zone = standing, zone
            for pool in self.pools:
                pool.zones.add(self)
        else:
            self.standing = standing
        capacity = self.weight * self.warmth * (self.max_concurrency or NO_LIMIT_COUNTS_AS)
        self.capacity = max(capacity, LEAST_CAPACITY)
        self.touch()

    def touch(self) -> None:
        """Something that a ranking may go by has changed."""
        for watcher in self.watchers:
            watcher[self] = None

    def take(self, lease: Lease) -> None:
        """Reserves a slot. There must be a free one: whoever picks sees to it."""
        assert self.in_flight < self.limit, f"{self.service_id} has no free slot"
        self.leases[lease] = None
        self.in_flight += 1
        for watcher in self.watchers:
            watcher[self] = None

    def give_back(self, lease: Lease) -> None:
        """Frees the slot of a lease that it holds."""
        del self.leases[lease]
        self.in_flight -= 1
        for watcher in self.watchers:
            watcher[self] = None

    def take_unleased(self) -> None:
        """Takes a slot that no lease accounts for."""
        self.beyond += 1
        self.in_flight += 1
        for watcher in self.watchers:
            watcher[self] = None

    def give_back_unleased(self) -> None:
        """Frees one of those."""
        self.beyond -= 1
        self.in_flight -= 1
        for watcher in self.watchers:
            watcher[self] = None

    def report(self, in_flight: int, utilization: float) -> None:
        """Takes in what the agent says of its load."""
        held = len(self.leases)
        self.beyond = max(0, in_flight - held)
        self.in_flight = held + self.beyond
        self.utilization = utilization
        self.touch()
