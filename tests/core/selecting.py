"""Builders of tests of selection: a balancer with a clock and randomness of its own."""

import random
from typing import Any

from orion_registry.core.selection.balancer import Balancer
from orion_registry.core.selection.candidate import Tier
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.queue import Waiter
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategies import STRATEGIES
from orion_registry.core.selection.strategy import StrategyName
from tests.simulation.fakes import Heard, Member

N = StrategyName


class Bench:
    """A balancer, one pool of all that is put, and the shortest way to selections."""

    def __init__(self, *members: Member, strategies: Any = STRATEGIES, seed: int = 1, **config: Any) -> None:
        self.heard = Heard()
        self.now = 100.0
        self.balancer = Balancer(
            BalancerConfig(**config), random.Random(seed).random, "life", self.heard, strategies=strategies
        )
        self.pool = self.pool_of("all")
        for member in members:
            self.put(member)

    def pool_of(self, key: str, *names: str, **scope: Any) -> Pool:
        return self.balancer.pool(key, lambda: names, **scope)

    def put(self, member: Member) -> Slots:
        slots = self.balancer.put(member, self.now)
        self.balancer.join(self.pool, member.service_id, self.now)
        return slots

    def ask(self, pool: Pool | None = None, **request: Any) -> tuple[Lease, ...] | Waiter:
        return self.balancer.select(pool or self.pool, SelectionRequest(**request), self.now)

    def select(self, pool: Pool | None = None, **request: Any) -> Lease:
        got = self.ask(pool, **request)
        assert isinstance(got, tuple)
        assert len(got) == 1
        return got[0]

    def wait(self, pool: Pool | None = None, **request: Any) -> Waiter:
        got = self.ask(pool, **{"wait_s": 10.0, **request})
        assert isinstance(got, Waiter)
        return got

    def release(self, lease: Lease, outcome: Outcome = Outcome.UNKNOWN, seconds: float | None = None) -> None:
        self.balancer.release(lease.selection_id, self.now, outcome, seconds)

    def call(self, outcome: Outcome = Outcome.UNKNOWN, seconds: float | None = None, **request: Any) -> str:
        """One whole call; who served it."""
        lease = self.select(**request)
        self.release(lease, outcome, seconds)
        return lease.service_id

    def fail(self, service_id: str, times: int = 1) -> None:
        for _ in range(times):
            self.balancer.outcome(service_id, Outcome.FAILED, 0.001, self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.balancer.tick(self.now)


def members(number: int, **fields: Any) -> list[Member]:
    return [Member(f"s{place}", **fields) for place in range(number)]


__all__ = ["Bench", "Heard", "Member", "N", "Outcome", "Tier", "members"]
