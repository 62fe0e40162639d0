"""What became of those who asked for a selection, in counts."""

from collections import Counter
from collections.abc import Mapping

from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.tally import Histogram
from orion_registry.errors import Reason

WAIT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class SelectionTally:
    """Counts of this life of the registry.

    Attributes:
        refused: who was given nothing, by the strategy that would have decided, and why.
        late: who was given a slot after a wait, by strategy. Those who had not to wait are in the strategies' stats.
        waits: how long those waited whose wait was settled, well or not, in seconds.
    """

    __slots__ = ("late", "refused", "waits")

    def __init__(self) -> None:
        self.refused: Counter[tuple[StrategyName, Reason]] = Counter()
        self.late: Counter[StrategyName] = Counter()
        self.waits = Histogram(WAIT_BOUNDS)


class LeaseTally:
    """How leases ended, and what callers said of their calls.

    Attributes:
        released: ended by their callers, or taken back before they knew of them.
        expired: ended by time.
        outcomes: of calls, with a lease or without; UNKNOWN is not counted.
    """

    __slots__ = ("expired", "outcomes", "released")

    def __init__(self, released: int, expired: int, outcomes: Mapping[Outcome, int]) -> None:
        self.released = released
        self.expired = expired
        self.outcomes = outcomes
