"""Which strategy applies where, settable at any time, and what each has done."""

from collections.abc import Collection
from dataclasses import dataclass

from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.strategies import DEFAULT
from orion_registry.core.selection.strategy import StrategyName, StrategyStats
from orion_registry.errors import Limit, Reason, ResourceExhausted, bad_field

SCOPES = 1_000
"""Scopes with a strategy of their own at most, the default one among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a strategy applies: to a service_name, to a capability, or, both empty, to the rest."""

    service_name: str = ""
    capability: str = ""

    def __post_init__(self) -> None:
        """One of the two at most."""
        if self.service_name and self.capability:
            raise bad_field("scope", "a service_name or a capability, not both", self.capability)


class Scopes:
    """The table of strategies. service_name goes before capability, and that before the default.

    Attributes:
        version: rises with every change, so that who looked something up knows whether it still holds.
        stats: of each strategy.
    """

    __slots__ = ("_table", "stats", "version")

    def __init__(self) -> None:
        self._table: dict[Scope, StrategyName] = {Scope(): DEFAULT}
        self.version = 0
        self.stats = {name: StrategyStats() for name in StrategyName}

    def set(self, scope: Scope, name: StrategyName | None) -> StrategyName | None:
        """Sets a scope's strategy; None clears it (the default scope: back to `DEFAULT`). Returns the one before.

        Raises:
            ResourceExhausted: TOO_LARGE: `SCOPES` are set already.
        """
        before = self._table.get(scope)
        if name is not None and before is None and len(self._table) >= SCOPES:
            message = f"scope: {SCOPES:,} are set already; clear one first"
            raise ResourceExhausted(Reason.TOO_LARGE, message, limit=Limit.SCOPES)
        if name is None:
            self._table.pop(scope, None)
            name = self._table.setdefault(Scope(), DEFAULT) if scope == Scope() else None
        else:
            self._table[scope] = name
        self.version += 1
        if name is not None and name is not before:
            self.stats[name].switches += 1
        return before

    def table(self) -> dict[Scope, StrategyName]:
        """What is set, for people."""
        return dict(self._table)

    def resolve(self, service_name: str, capabilities: Collection[str]) -> StrategyName:
        """The strategy for a selector: of several capabilities the first that is set decides."""
        scopes = [Scope(service_name=service_name), *(Scope(capability=capability) for capability in capabilities)]
        return next((self._table[scope] for scope in scopes if scope in self._table and scope != Scope()), self.default)

    def of(self, pool: Pool) -> StrategyName:
        """The strategy of a pool's scope. The pool keeps it; a ranking by the one before goes."""
        version, name = pool.scoped
        if name is None or version != self.version:
            before, name = name, self.resolve(pool.service_name, pool.capabilities)
            if before is not name:
                pool.drop_ranking(before)
            pool.drop_faulty()
            pool.scoped = (self.version, name)
        return name

    @property
    def default(self) -> StrategyName:
        """Where nothing else is set."""
        return self._table[Scope()]
