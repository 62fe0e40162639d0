"""What a strategy is: an order of the candidates of one tier that have a free slot."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from orion_registry.core.selection.slots import Slots

Draw = Callable[[], float]
"""Randomness: a number from 0 up to, not including, 1; all of them equally likely."""


class StrategyName(StrEnum):
    """All strategies; `strategies.py` makes them."""

    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_CONNECTIONS = "LEAST_CONNECTIONS"
    WEIGHTED_ROUND_ROBIN = "WEIGHTED_ROUND_ROBIN"
    RANDOM = "RANDOM"
    HEALTH_BASED = "HEALTH_BASED"
    RESPONSE_TIME = "RESPONSE_TIME"
    WEIGHTED_LEAST_LOAD = "WEIGHTED_LEAST_LOAD"
    POWER_OF_TWO_CHOICES = "POWER_OF_TWO_CHOICES"
    PEAK_EWMA = "PEAK_EWMA"
    BOUNDED_CONSISTENT_HASH = "BOUNDED_CONSISTENT_HASH"


@dataclass(slots=True)
class StrategyStats:
    """Totals of one strategy.

    Attributes:
        selections: picks that it made.
        switches: how often a scope was set to it.
        failures: how often it raised, so that round robin stood in.
    """

    selections: int = 0
    switches: int = 0
    failures: int = 0


class Strategy(Protocol):
    """Orders the candidates that it is told of; its ranking sees to it that all of them have a free slot."""

    def enter(self, slots: Slots) -> None:
        """One candidate more."""
        ...

    def leave(self, slots: Slots) -> None:
        """One less: it is full, or may not be selected any more."""
        ...

    def moved(self, slots: Slots) -> None:
        """The numbers of one that it holds may have changed."""
        ...

    def pick(self, draw: Draw, now: float, key: str, excluded: Collection[str]) -> Slots | None:
        """The one to select next; None if all are excluded. Changes nothing: explaining a pick must not make it.

        Args:
            draw: randomness.
            now: monotonic seconds.
            key: the affinity key; empty if there is none.
            excluded: ids of services that the caller does not want.
        """
        ...

    def took(self, slots: Slots) -> None:
        """What was picked is selected."""
        ...

    def cost(self, slots: Slots, now: float) -> float:
        """The number that it goes by, for people: the least is chosen; 0 where it goes by turns or by chance."""
        ...
