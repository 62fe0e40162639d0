"""Writes what happens to services to the log: one line each, or one for many, so that a mass event stays cheap."""

import logging
from collections import Counter

from orion_registry.core.history import Edge
from orion_registry.core.model import ServiceStatus

LINES = 10
"""Edges told one by one between two flushes; beyond that they are summed up."""

log = logging.getLogger("orion_registry")


class Journal:
    """Collects comings, goings and changes of status, and logs them when flushed."""

    def __init__(self) -> None:
        self._edges: list[Edge] = []

    def note(self, edge: Edge) -> None:
        """Takes note of an edge, if it is one that people want to hear of."""
        if _status(edge, before=True) is not _status(edge, before=False):
            self._edges.append(edge)

    def flush(self) -> None:
        """Logs what has come together."""
        edges, self._edges = self._edges, []
        for edge in edges[:LINES]:
            log.info("service changed", extra={"service_id": edge.service_id, **_told(edge), "revision": edge.revision})
        if len(edges) > LINES:
            kinds = {_kind(edge): edge for edge in edges[LINES:]}  # words only once for each: there may be thousands
            counts = Counter(map(_kind, edges[LINES:]))
            by_kind = {
                " ".join(f"{name}={value}" for name, value in _told(edge).items()): counts[kind]
                for kind, edge in kinds.items()
            }
            log.info("more services changed", extra={"edges": len(edges) - LINES, "by_kind": by_kind})


def _status(edge: Edge, *, before: bool) -> ServiceStatus | None:
    snapshot = edge.before if before else edge.after
    return None if snapshot is None else snapshot.status


def _kind(edge: Edge) -> tuple[object, ...]:
    """What makes two edges the same in a sum."""
    reason = edge.removal if edge.after is None else edge.after.reasons[0].code
    return _status(edge, before=True), _status(edge, before=False), reason


def _told(edge: Edge) -> dict[str, str]:
    """What an edge means, in words: from what, to what, and why."""
    told = {"was": edge.before.status.name if edge.before else "UNREGISTERED"}
    if edge.after is not None:
        return told | {"status": edge.after.status.name, "reason": edge.after.reasons[0].code.name}
    return told | {"status": "REMOVED", "reason": edge.removal.name if edge.removal else "REMOVED"}
