"""What a service's status was and became: the few last changes, kept for people who ask what happened."""

from collections.abc import Iterator
from dataclasses import dataclass

from orion_registry.core.model import ServiceStatus, StatusReasonCode

TIMELINE = 64
"""Changes of status kept for one service; the oldest go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEdge:
    """A service's status changed. wall is a label; codes are the reasons from then on, the worst first."""

    service_id: str
    wall: float
    status: ServiceStatus
    codes: tuple[StatusReasonCode, ...]


class Timeline:
    """The last `TIMELINE` changes of one service, oldest first."""

    __slots__ = ("_edges",)

    def __init__(self) -> None:
        self._edges: list[StatusEdge] = []  # a deque's first block alone is 700 bytes, and most have one edge or two

    def add(self, edge: StatusEdge) -> None:
        """Adds the newest."""
        self._edges.append(edge)
        del self._edges[:-TIMELINE]

    def __len__(self) -> int:
        return len(self._edges)

    def __iter__(self) -> Iterator[StatusEdge]:
        return iter(self._edges)
