"""All services that are watched, and which of them are shown, in which order. Pure.

Sorting 5,000 rows takes some milliseconds: it is done when a screen is drawn and something changed, not with each
change.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from orion_registry.cli.top.query import Query
from orion_registry.cli.top.row import TEXTS, Row, Sort
from orion_registry.core.model import ServiceStatus
from orion_registry.wire.service import Service


class Fleet:
    """Rows by service_id.

    Attributes:
        rows: all of them.
        changes: rises with everything that could change what is shown.
        widest: characters of the longest text of a column so far; it never shrinks, so columns stay where they are.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.changes = 0
        self.widest = dict.fromkeys(TEXTS, 0)
        self._shown: Sequence[Row] = ()
        self._shown_as: object = None

    def put(self, service: Service) -> None:
        """A service came, or changed."""
        self.rows[service.service_id] = row = Row(service, self.rows.get(service.service_id))
        self.changes += 1
        for name in TEXTS:
            self.widest[name] = max(self.widest[name], len(getattr(row, name)))

    def drop(self, service_id: str) -> None:
        """A service is out of view."""
        self.rows.pop(service_id, None)
        self.changes += 1

    def take_loads(self, services: Iterable[Service], wall: float) -> None:
        """Load and beats from an answer of the registry, come now; what else it says comes by the watch, in order."""
        for service in services:
            row = self.rows.get(service.service_id)
            if row is not None:
                row.take(service, wall)
        self.changes += 1

    def take_leases(self, counts: Mapping[str, int]) -> None:
        """Open leases by service_id."""
        for service_id, row in self.rows.items():
            row.leases = counts.get(service_id, 0)
        self.changes += 1

    def shown(self, query: Query, sort: Sort, *, reverse: bool = False) -> Sequence[Row]:
        """The rows that satisfy a query, sorted."""
        wanted = (self.changes, query, sort, reverse)
        if wanted != self._shown_as:
            rows = self.rows.values()
            found = [row for row in rows if query.matches(row.facts, row.text)] if query.terms else list(rows)
            self._shown, self._shown_as = sorted(found, key=sort.key, reverse=reverse), wanted
        return self._shown

    def census(self) -> Mapping[ServiceStatus, int]:
        """How many there are of each status."""
        return Counter(row.service.status for row in self.rows.values())

    def slots(self) -> tuple[int, int]:
        """Slots taken and slots that there are, of the ready services with a limit."""
        limited = [row for row in self.rows.values() if row.service.max_concurrency and row.service.ready]
        return sum(row.taken for row in limited), sum(row.service.max_concurrency for row in limited)
