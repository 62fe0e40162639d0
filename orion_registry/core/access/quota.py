"""How much of the registry each namespace may take: what is counted there, and how many there may be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orion_registry.core import limits
from orion_registry.core.access.rights import ALL
from orion_registry.errors import bad_field

MOST: Final = 1_000_000_000
"""Largest figure of a quota: anything beyond is a slip of the pen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What there may be in one namespace. 0 = no limit. Checked when made.

    Attributes:
        services: registered at once, dead ones that are still listed among them.
        streams: heartbeat streams that carry a service of it.
        watches: WatchServices streams open on it.
        registrations_per_minute: RegisterService calls let in, retries and claims among them.
    """

    services: int = 0
    streams: int = 0
    watches: int = 0
    registrations_per_minute: int = 0

    def __post_init__(self) -> None:
        """Checks every field; the message names it."""
        for name in ("services", "streams", "watches", "registrations_per_minute"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
                raise bad_field(f"quota.{name}", f"a whole number of 0 (no limit) to {MOST:,}", value)


NO_LIMIT: Final = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """The quotas of all namespaces.

    Attributes:
        by_namespace: of those that have one of their own; `ALL` stands for each of the others, by itself.
    """

    by_namespace: Mapping[str, Quota] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the names."""
        for namespace in self.by_namespace:
            if namespace != ALL and not limits.ID.fullmatch(namespace):
                raise bad_field("quota.namespace", f"{ALL!r}, or {limits.ID_RULE}", namespace)

    def of(self, namespace: str) -> Quota:
        """What there may be in a namespace. One of its own replaces that of all the others as a whole."""
        found = self.by_namespace.get(namespace)
        return found if found is not None else self.by_namespace.get(ALL, NO_LIMIT)


NO_QUOTAS: Final = Quotas()
"""Nothing is limited by namespace: what holds where no access file says otherwise."""
