"""The candidates of one selector: their rankings, one for each strategy in use, and the queue for them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping

from orion_registry.core.selection.queue import Line
from orion_registry.core.selection.ranking import Ranking
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategies import MakeStrategy
from orion_registry.core.selection.strategy import StrategyName, StrategyStats
from orion_registry.core.selection.zones import ZONES, Zones

RANKINGS = 10
"""Strategies, times zones, that one pool keeps: each costs memory for every member, and time with every change."""


class Pool:
    """Owned by the balancer.

    Attributes:
        key: what it is the pool of.
        members: all that match, whatever their status.
        line: who waits for a slot here.
        service_name, capabilities: of its selector: they say which scope's strategy applies.
        scoped: the strategy of its scope as last looked up, and the version of the table that said so.
        zones: counts of its members by zone.
        used: order of its last use among all pools.
        closed: it made room for another; whoever still has it must ask for a new one.
    """

    __slots__ = (
        "_rankings",
        "_zoned",
        "capabilities",
        "closed",
        "key",
        "line",
        "members",
        "scoped",
        "service_name",
        "used",
        "zones",
    )

    def __init__(
        self, key: Hashable, service_name: str, capabilities: tuple[str, ...], members: Iterable[Slots], line: Line
    ) -> None:
        self.key = key
        self.service_name = service_name
        self.capabilities = capabilities
        self.members: dict[Slots, None] = {}
        self.line = line
        self.scoped: tuple[int, StrategyName | None] = (-1, None)
        self.used = 0
        self.closed = False
        self.zones = Zones()
        self._rankings: dict[StrategyName, Ranking] = {}
        self._zoned: dict[str, dict[StrategyName, Ranking]] = {}
        for slots in members:
            self.add(slots)

    def add(self, slots: Slots) -> None:
        """One that matches now; nothing happens if it did before."""
        if slots not in self.members:
            self.members[slots] = None
            slots.pools[self] = None
            self.zones.add(slots)
            for ranking in self._all_rankings():
                ranking.add(slots)

    def remove(self, slots: Slots) -> None:
        """One that does not match any more; nothing happens if it did not."""
        if slots in self.members:
            del self.members[slots], slots.pools[self]
            self.zones.remove(slots)
            for ranking in self._all_rankings():
                ranking.remove(slots)

    def close(self) -> None:
        """Nobody asks any more."""
        self.closed = True
        for ranking in self._all_rankings():
            ranking.close()
        self._rankings.clear()
        self._zoned.clear()
        for slots in self.members:
            del slots.pools[self]
        self.members.clear()

    def near(self, zone: str, share: float) -> str:
        """The zone if it goes first for its callers now; empty = all alike. share: see `Zones`."""
        if not zone or not self.zones.preferred(zone, share, len(self.members)):
            return ""
        if zone not in self._zoned and len(self._zoned) >= ZONES:
            for empty in [other for other in self._zoned if not self.zones.members(other)]:
                for ranking in self._zoned.pop(empty).values():
                    ranking.close()
            if len(self._zoned) >= ZONES:
                return ""
        return zone

    def ranking(
        self, name: StrategyName, strategies: Mapping[StrategyName, MakeStrategy], stats: StrategyStats, zone: str = ""
    ) -> Ranking:
        """Its candidates as a strategy orders them, those of a zone first, made if need be. zone: see `near`."""
        rankings = self._zoned.setdefault(zone, {}) if zone else self._rankings
        ranking = rankings.get(name)
        if ranking is None:
            while self.rankings >= RANKINGS:
                self._forget_one(rankings)
            ranking = rankings[name] = Ranking(strategies[name], stats, self.members, zone)
        return ranking

    def drop_ranking(self, name: StrategyName | None) -> None:
        """The strategy is not in use here any more; what it knew is gone."""
        if name:
            for rankings in (self._rankings, *self._zoned.values()):
                if (ranking := rankings.pop(name, None)) is not None:
                    ranking.close()

    def drop_faulty(self) -> None:
        """Strategies that raised are tried anew: somebody has set one since."""
        for rankings in (self._rankings, *self._zoned.values()):
            for name in [name for name, ranking in rankings.items() if ranking.fault]:
                rankings.pop(name).close()

    @property
    def rankings(self) -> int:
        """How many orders of its candidates are kept."""
        return len(self._rankings) + sum(len(rankings) for rankings in self._zoned.values())

    @property
    def size(self) -> int:
        """What it costs: its members, once for each of its rankings."""
        return len(self.members) * max(1, self.rankings)

    def _forget_one(self, wanted: dict[StrategyName, Ranking]) -> None:
        """Closes the ranking made first, of another zone if there is one."""
        kept = [rankings for rankings in (*self._zoned.values(), self._rankings) if rankings]
        rankings = next((rankings for rankings in kept if rankings is not wanted), wanted)
        rankings.pop(next(iter(rankings))).close()

    def _all_rankings(self) -> Iterator[Ranking]:
        yield from self._rankings.values()
        for rankings in self._zoned.values():
            yield from rankings.values()
