"""One strategy applied to one pool: level by level, following what changes only when asked."""

from collections.abc import Collection, Iterable

from orion_registry.core.selection.round_robin import RoundRobin
from orion_registry.core.selection.slots import NEVER, Slots
from orion_registry.core.selection.strategies import MakeStrategy
from orion_registry.core.selection.strategy import Draw, Strategy, StrategyStats


class Ranking:
    """Candidates with a free slot, each at the level of its tier. With a zone a tier has two levels: in it, outside.

    A change only notes whose numbers changed, however many pools the service is in; the next pick catches up.

    Attributes:
        changed: candidates to look at again.
        stats: where it counts what the strategy does.
        fault: what the strategy raised, for people; empty = nothing. Round robin stands in from then on: what it holds
            cannot be relied on any more.
    """

    __slots__ = ("_level_of", "_levels", "_members", "_steps", "_zone", "changed", "fault", "stats")

    def __init__(self, make: MakeStrategy, stats: StrategyStats, members: Iterable[Slots], zone: str = "") -> None:
        self.changed: dict[Slots, None] = {}
        self.stats = stats
        self.fault = ""
        self._members: dict[Slots, None] = {}
        self._level_of: dict[Slots, int] = {}
        self._zone = zone
        self._steps = 2 if zone else 1  # levels of a tier
        self._levels: list[Strategy] = [make() for _ in range(NEVER * self._steps)]
        for slots in members:
            self.add(slots)

    def add(self, slots: Slots) -> None:
        """One candidate more."""
        self._members[slots] = None
        slots.watchers.append(self.changed)
        self.changed[slots] = None

    def remove(self, slots: Slots) -> None:
        """One less."""
        del self._members[slots]
        # by identity: the changes of two rankings may be equal
        slots.watchers[:] = [watcher for watcher in slots.watchers if watcher is not self.changed]
        if slots in self._level_of:
            self.changed[slots] = None
        else:  # came and went between two picks: nothing to catch up with, and nobody may ever pick here again
            self.changed.pop(slots, None)

    def close(self) -> None:
        """Nobody asks any more."""
        for slots in tuple(self._members):
            self.remove(slots)

    def pick(self, draw: Draw, now: float, key: str, excluded: Collection[str], last_tier: int) -> Slots | None:
        """The one to select next from the tiers up to `last_tier`, with a free slot; None if there is none."""
        try:
            return self._pick(draw, now, key, excluded, last_tier)
        except Exception as error:  # noqa: BLE001 - a strategy's fault must not cost a selection; it is counted and told
            self._fall_back(error)
            return self._pick(draw, now, key, excluded, last_tier)

    def took(self, slots: Slots) -> None:
        """What was picked is selected; its lease is open already."""
        try:
            self._levels[self._level_of[slots]].took(slots)
        except Exception as error:  # noqa: BLE001 - see `pick`
            self._fall_back(error)

    def cost(self, slots: Slots, now: float) -> float:
        """The number that the strategy goes by, of one that may be selected."""
        try:
            return self._levels[self._level(slots)].cost(slots, now)
        except Exception as error:  # noqa: BLE001 - see `pick`
            self._fall_back(error)
            return self._levels[self._level(slots)].cost(slots, now)

    def _level(self, slots: Slots) -> int:
        return slots.standing if self._steps == 1 else 2 * slots.standing + (slots.zone != self._zone)

    def _catch_up(self) -> None:
        levels, level_of, members, nowhere = self._levels, self._level_of, self._members, len(self._levels)
        plain = self._steps == 1
        for slots in self.changed:
            level = nowhere
            if slots.in_flight < slots.limit and slots.standing != NEVER and slots in members:
                level = slots.standing if plain else self._level(slots)
            was = level_of.get(slots, nowhere)
            if level == was:
                if level != nowhere:
                    levels[level].moved(slots)
                continue
            if was != nowhere:
                del level_of[slots]
                levels[was].leave(slots)
            if level != nowhere:
                levels[level].enter(slots)
                level_of[slots] = level
        self.changed.clear()

    def _pick(self, draw: Draw, now: float, key: str, excluded: Collection[str], last_tier: int) -> Slots | None:
        if self.changed:
            self._catch_up()
        levels = self._levels
        slots = levels[0].pick(draw, now, key, excluded)  # nearly always
        level, last = 0, (last_tier + 1) * self._steps - 1
        while slots is None and level < last:
            level += 1
            slots = levels[level].pick(draw, now, key, excluded)
        return slots

    def _fall_back(self, error: Exception) -> None:
        self.stats.failures += 1
        self.fault = f"{type(error).__name__}: {error}"
        self._levels = [RoundRobin() for _ in self._levels]
        self._level_of = {}
        self.changed.update(self._members)
