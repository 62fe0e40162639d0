"""Strategies by their numbers on the wire."""

from collections.abc import Mapping

from orion_registry.core.selection.strategy import StrategyName

STRATEGIES: Mapping[int, StrategyName | None] = dict(enumerate((None, *StrategyName)))
STRATEGY_NUMBERS: Mapping[StrategyName | None, int] = {name: number for number, name in STRATEGIES.items()}
