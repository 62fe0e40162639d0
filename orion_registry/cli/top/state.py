"""What is known and what is wanted on the screen: all that it is made of. Pure data."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from orion_registry.cli.top.fleet import Fleet
from orion_registry.cli.top.query import Query, read_query
from orion_registry.cli.top.row import Row, Sort
from orion_registry.core.events import LoggedEvent
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.wire.balancer_reports import OpenLease, ServicePerformance
from orion_registry.wire.monitor import ServiceHealth
from orion_registry.wire.overlay import OverlayState
from orion_registry.wire.server_info import ServerInfo

EVENTS_KEPT = 500
LATENCIES_KEPT = 120


class View(Enum):
    """What fills the screen."""

    TABLE = auto()
    DETAIL = auto()
    EVENTS = auto()
    HELP = auto()


@dataclass(slots=True, kw_only=True)
class Detail:
    """One service at length; None = not known (yet), and trouble says why not.

    latencies: its mean response time, whenever it was asked for, in seconds.
    """

    service_id: str
    name: str
    row: Row
    gone: bool = False
    health: ServiceHealth | None = None
    performance: ServicePerformance | None = None
    leases: Sequence[OpenLease] = ()
    overlay: OverlayState | None = None
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))
    trouble: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class State:
    """All of it.

    Attributes:
        address: of the registry.
        fleet: the services; synced: all of them have been told once.
        info, stats: how the registry and its selections are; None = not known yet.
        selections_s: selections a second, lately; None = not known yet.
        events: the last ones, the oldest first.
        lost_since: when the registry went out of reach (wall clock); None = it answers.
        back_at: when it was back.
        trouble: what is refused, or fails, and why.
        view: what fills the screen; came_from: where leaving help leads to.
        sort, reverse: the order of the rows.
        typed, query: the filter as it was typed, and what it means.
        typing: keys go into the filter.
        chosen: service_id of the row with the cursor; empty = the first, whichever that is.
        cursor: index of that row when a screen was last made.
        top: index of the first row on the screen, and room how many fit.
        scroll: lines that a text is moved up by, such as a detail.
        pane: whether events are shown below the table; None = if there is room, which is pane_fits.
        detail: the service whose detail is open.
    """

    address: str
    fleet: Fleet = field(default_factory=Fleet)
    synced: bool = False
    info: ServerInfo | None = None
    stats: BalancerStats | None = None
    selections_s: float | None = None
    events: deque[LoggedEvent] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    lost_since: float | None = None
    back_at: float | None = None
    trouble: dict[str, str] = field(default_factory=dict)
    view: View = View.TABLE
    came_from: View = View.TABLE
    sort: Sort = Sort.STATUS
    reverse: bool = False
    typed: str = ""
    query: Query = field(default_factory=Query)
    typing: bool = False
    chosen: str = ""
    cursor: int = 0
    top: int = 0
    scroll: int = 0
    room: int = 1
    pane: bool | None = None
    pane_fits: bool = False
    detail: Detail | None = None

    def rows(self) -> Sequence[Row]:
        """Those that are shown."""
        return self.fleet.shown(self.query, self.sort, reverse=self.reverse)

    def type(self, text: str) -> None:
        """Sets the filter."""
        self.typed, self.query = text, read_query(text)

    def follow_detail(self) -> Detail | None:
        """The detail that is open, with its service as it is now."""
        if self.detail is not None:
            now = self.fleet.rows.get(self.detail.service_id)
            self.detail.row, self.detail.gone = now or self.detail.row, now is None
        return self.detail

    @property
    def has_pane(self) -> bool:
        """Whether events are shown below the table."""
        return self.pane_fits if self.pane is None else self.pane

    def index(self, rows: Sequence[Row]) -> int:
        """Where the cursor is among the rows: it stays with its service, wherever that goes. -1 = it is not there."""
        if not self.chosen:
            return 0 if rows else -1
        for at, row in enumerate(rows):
            if row.service.service_id == self.chosen:
                return at
        return -1
