"""Selection in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from orion_registry.core.selection.scopes import Scope
from orion_registry.core.selection.strategy import StrategyName, StrategyStats


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerStats:
    """Selection in numbers, of this life of the registry.

    Attributes:
        leases_open: slots reserved now.
        leases_expired: leases that ended by time: their callers crashed, or forgot them.
        waiting: callers in queues now.
        ejected: services that their outcomes keep out now.
        pools: selectors whose candidates are kept ranked.
        strategies: totals of each.
        scopes: what is set where.
    """

    leases_open: int
    leases_expired: int
    waiting: int
    ejected: int
    pools: int
    strategies: Mapping[StrategyName, StrategyStats]
    scopes: Mapping[Scope, StrategyName]
