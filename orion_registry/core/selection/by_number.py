"""The shape that most strategies share: the candidate with the least number, equal ones at random."""

from abc import ABC, abstractmethod
from collections.abc import Collection

from orion_registry.core.selection.buckets import Buckets
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import Draw


class ByNumber(ABC):
    """Base of strategies whose number changes only when something happens to the candidate."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets = Buckets()

    @abstractmethod
    def number(self, slots: Slots) -> float:
        """What the least is chosen of."""

    def enter(self, slots: Slots) -> None:
        """See `Strategy`."""
        self._buckets.put(slots, self.number(slots))

    def leave(self, slots: Slots) -> None:
        """See `Strategy`."""
        self._buckets.discard(slots)

    def moved(self, slots: Slots) -> None:
        """See `Strategy`."""
        self._buckets.put(slots, self.number(slots))

    def pick(self, draw: Draw, _now: float, _key: str, excluded: Collection[str]) -> Slots | None:
        """See `Strategy`."""
        return self._buckets.least(draw, excluded)

    def took(self, slots: Slots) -> None:  # noqa: B027 - nothing to do is what most of them do
        """See `Strategy`: the lease itself changes the number."""

    def cost(self, slots: Slots, _now: float) -> float:
        """See `Strategy`."""
        return self.number(slots)
