"""What changed: edges in the order of their revisions, the latest kept in a ring so that watches can resume."""

from collections import deque
from dataclasses import dataclass
from itertools import takewhile

from orion_registry.core.model import RemovalReason, Snapshot


@dataclass(frozen=True, slots=True)
class Edge:
    """One change of one service. before None: it is new; after None: it was removed, for `removal`."""

    revision: int
    service_id: str
    before: Snapshot | None
    after: Snapshot | None
    removal: RemovalReason | None = None


class History:
    """The last `capacity` edges."""

    __slots__ = ("_ring",)

    def __init__(self, capacity: int) -> None:
        self._ring: deque[Edge] = deque(maxlen=capacity)

    def append(self, edge: Edge) -> None:
        """Adds the newest edge; the oldest one falls out of a full ring."""
        self._ring.append(edge)

    def since(self, revision: int, now: int) -> list[Edge] | None:
        """All edges after `revision`, in order.

        None if the ring does not reach that far, or `revision` is beyond the present one, `now`.
        """
        if not 0 < revision <= now:
            return None
        if revision < now and (not self._ring or self._ring[0].revision > revision + 1):
            return None
        newest_first = list(takewhile(lambda edge: edge.revision > revision, reversed(self._ring)))
        return newest_first[::-1]
