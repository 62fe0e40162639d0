"""All pools: those unused for longest make room for new ones."""

from collections.abc import Hashable

from orion_registry.core.selection.pool import Pool

MEMBERS = 200_000
"""Members of all pools together at most, each counted once for each ranking that it is in; but for the newest pool and
those where somebody waits. As for `views.MEMBERS`."""


class Pools:
    """Pools by their keys. most: pools at most, but for those where somebody waits."""

    __slots__ = ("_most", "_pools", "_uses")

    def __init__(self, most: int) -> None:
        self._most = most
        self._pools: dict[Hashable, Pool] = {}
        self._uses = 0

    def __len__(self) -> int:
        return len(self._pools)

    @property
    def crowded(self) -> bool:
        """Whether there are too many, for somebody waits in all of the others."""
        return len(self._pools) > self._most

    def find(self, key: Hashable) -> Pool | None:
        """The pool of a key, if there is one."""
        return self._pools.get(key)

    def use(self, pool: Pool) -> None:
        """Somebody asks for this one."""
        self._uses += 1
        pool.used = self._uses

    def add(self, fresh: Pool) -> list[Pool]:
        """Takes in a new pool; returns those that had to go, closed: unused for longest, and nobody waits there."""
        self._pools[fresh.key] = fresh
        closed = []
        held = sum(pool.size for pool in self._pools.values())
        while self.crowded or held > MEMBERS:
            idle = (pool for pool in self._pools.values() if not pool.line and pool is not fresh)
            unused = min(idle, key=lambda pool: pool.used, default=None)
            if unused is None:
                break
            held -= unused.size
            unused.close()
            del self._pools[unused.key]
            closed.append(unused)
        return closed
