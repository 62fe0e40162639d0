"""All strategies by name."""

from collections.abc import Callable, Mapping

from orion_registry.core.selection.bounded_hash import BoundedConsistentHash
from orion_registry.core.selection.health_based import HealthBased
from orion_registry.core.selection.least_connections import LeastConnections
from orion_registry.core.selection.peak_ewma import PeakEwma
from orion_registry.core.selection.power_of_two import PowerOfTwoChoices
from orion_registry.core.selection.random import Random
from orion_registry.core.selection.response_time import ResponseTime
from orion_registry.core.selection.round_robin import RoundRobin
from orion_registry.core.selection.strategy import Strategy, StrategyName
from orion_registry.core.selection.weighted_least_load import WeightedLeastLoad
from orion_registry.core.selection.weighted_round_robin import WeightedRoundRobin

MakeStrategy = Callable[[], Strategy]

STRATEGIES: Mapping[StrategyName, MakeStrategy] = {
    StrategyName.ROUND_ROBIN: RoundRobin,
    StrategyName.LEAST_CONNECTIONS: LeastConnections,
    StrategyName.WEIGHTED_ROUND_ROBIN: WeightedRoundRobin,
    StrategyName.RANDOM: Random,
    StrategyName.HEALTH_BASED: HealthBased,
    StrategyName.RESPONSE_TIME: ResponseTime,
    StrategyName.WEIGHTED_LEAST_LOAD: WeightedLeastLoad,
    StrategyName.POWER_OF_TWO_CHOICES: PowerOfTwoChoices,
    StrategyName.PEAK_EWMA: PeakEwma,
    StrategyName.BOUNDED_CONSISTENT_HASH: BoundedConsistentHash,
}

DEFAULT = StrategyName.WEIGHTED_LEAST_LOAD
