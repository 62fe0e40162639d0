"""What the registry tells, put into the state: services and events as they come, load and figures again and again."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from orion_registry.cli.outcome import connect, connect_insight, connect_registry
from orion_registry.cli.place import Place
from orion_registry.cli.top.state import EVENTS_KEPT, Detail, State, View
from orion_registry.client.admin import AdminClient
from orion_registry.client.client import RegistryClient
from orion_registry.client.failures import Unreachable
from orion_registry.client.fold import WatchEvent, WatchKind
from orion_registry.client.insight import InsightClient
from orion_registry.client.state import ConnectionState
from orion_registry.client.watch import Watch
from orion_registry.core import limits
from orion_registry.core.events import EventFilter
from orion_registry.core.selector import Selector
from orion_registry.errors import NotFound, OutOfRange, PermissionDenied, RegistryError, Unavailable
from orion_registry.wire.overlay import OverlayState

T = TypeVar("T")

TIMEOUT_S = 3.0
LOOK_S = 1.0
"""Between two looks at load and figures, and at a service whose detail is open."""
SHARE = 9.0
"""A look at a large fleet takes long: for this many times as long nothing is asked, so a tenth of the time is spent."""
LEASES_COUNTED = 20_000
"""With more open leases than this only what agents report is shown."""
AT_ONCE = 500
"""Changes that are taken before keys are looked after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Connections to one registry."""

    registry: RegistryClient
    admin: AdminClient
    insight: InsightClient


@asynccontextmanager
async def clients_of(address: str) -> AsyncIterator[Clients]:
    """Clients of the registry at an address, as the command line says.

    Raises:
        CannotBegin: as `outcome.connect`.
    """
    async with (
        connect_registry(address, timeout_s=TIMEOUT_S) as registry,
        connect(address, timeout_s=TIMEOUT_S) as admin,
        connect_insight(address) as insight,
    ):
        yield Clients(registry=registry, admin=admin, insight=insight)


class Source:
    """Follows a registry.

    Args:
        state: that it fills.
        clients: of the registry.
        selector: the services that are wanted.
        changed: hears of each change of the state.
    """

    def __init__(self, state: State, clients: Clients, selector: Selector, changed: Callable[[], None]) -> None:
        self._state, self._clients, self._selector, self._changed = state, clients, selector, changed
        self._asked = asyncio.Event()
        self._wanted = EventFilter()
        self._counted: tuple[str, int, float] | None = None

    def look_now(self) -> None:
        """A detail was opened: it is asked for at once."""
        self._asked.set()

    # Services.

    async def follow_services(self) -> None:
        """Until it is cancelled.

        Raises:
            RegistryError: the registry refuses for good.
        """
        async with self._clients.registry.watch(self._selector) as watch:
            telling = asyncio.create_task(self._follow_connection(watch))
            try:
                count = 0
                async for event in watch:
                    self.take(event)
                    count += 1
                    if count % AT_ONCE == 0:
                        await asyncio.sleep(0)
            finally:
                telling.cancel()

    def take(self, event: WatchEvent) -> None:
        """One change."""
        if event.service is None:
            self._state.synced = True
        elif event.kind is WatchKind.REMOVED:
            self._state.fleet.drop(event.service.service_id)
        else:
            self._state.fleet.put(event.service)
        self._changed()

    async def _follow_connection(self, watch: Watch) -> None:
        while True:
            await watch.wait_for(ConnectionState.RECONNECTING)
            self._state.lost_since, self._state.back_at = time.time(), None
            self._changed()
            await watch.wait_for(ConnectionState.CONNECTED)
            self._state.lost_since, self._state.back_at = None, time.time()
            self._changed()

    # Events.

    async def follow_events(self) -> None:
        """Until it is cancelled."""
        place: Place | None = None
        while True:
            try:
                place = place or await self._recent()
                watch = self._clients.admin.watch_events(self._wanted, after_seq=place.seq, history_id=place.history_id)
                async for page in watch:
                    self._state.trouble.pop("events", None)
                    self._state.events.extend(page.events)
                    place = Place(seq=page.after_seq, history_id=page.history_id)
                    self._changed()
            except OutOfRange:
                place = None  # another life of the registry, or some were lost: from the present on
            except Unavailable:
                pass  # the watch of services tells of it
            except PermissionDenied as error:
                if self._wanted.namespace:
                    self._state.trouble["events"] = error.message
                self._wanted = EventFilter(namespace=self._selector.namespace)  # who may not see all sees what it may
            except RegistryError as error:
                self._state.trouble["events"] = error.message
            await asyncio.sleep(LOOK_S)

    async def _recent(self) -> Place:
        """Where the last events begin; not those that are there already."""
        info = await self._clients.admin.server_info()
        known = self._state.info
        events = self._state.events
        after = max(0, info.event_seq - EVENTS_KEPT)
        if events and known is not None and known.history_id == info.history_id and events[-1].seq <= info.event_seq:
            after = max(after, events[-1].seq)
        return Place(seq=after, history_id=info.history_id)

    # Figures.

    async def follow_figures(self) -> None:
        """Until it is cancelled."""
        while True:
            began = time.monotonic()
            await self.look()
            self._changed()
            await asyncio.sleep(max(LOOK_S, SHARE * (time.monotonic() - began)))

    async def look(self) -> None:
        """How the registry is, what selection does, and the load of all services."""
        state, clients = self._state, self._clients
        if (info := await self._try("info", clients.admin.server_info())) is not None:
            state.info = info
        if (told := await self._try("stats", clients.insight.stats())) is not None:
            state.stats = told[0]
            self._count(sum(one.selections for one in told[0].strategies.values()))
        await self._try("load", self._look_at_loads())
        if state.stats is not None and state.stats.leases_open <= LEASES_COUNTED:
            await self._try("leases", self._look_at_leases())

    def _count(self, selections: int) -> None:
        """Selections a second, from the second look of a life on."""
        life, now = self._state.info.history_id if self._state.info is not None else "", time.monotonic()
        if self._counted is not None and self._counted[0] == life:
            self._state.selections_s = max(0.0, (selections - self._counted[1]) / max(0.001, now - self._counted[2]))
        self._counted = (life, selections, now)

    async def _look_at_loads(self) -> None:
        token = ""
        while True:
            page = await self._clients.registry.discover_page(
                self._selector, page_size=limits.PAGE_MAX, page_token=token
            )
            self._state.fleet.take_loads(page.services, time.time())
            token = page.next_page_token
            if not token:
                return

    async def _look_at_leases(self) -> None:
        counts: Counter[str] = Counter()
        async for lease in self._clients.insight.leases():
            counts[lease.service_id] += 1
        self._state.fleet.take_leases(counts)

    # One service.

    async def follow_detail(self) -> None:
        """Until it is cancelled."""
        while True:
            self._asked.clear()
            detail = self._state.detail
            if detail is not None and self._state.view is View.DETAIL:
                await self.look_at(detail)
                self._changed()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def look_at(self, detail: Detail) -> None:
        """Everything about one service that the table does not show."""
        service_id, clients = detail.service_id, self._clients
        if (health := await self._try("health", clients.admin.health(service_id), detail.trouble)) is not None:
            detail.health = health
        found = await self._try("performance", clients.insight.performance(service_id), detail.trouble)
        if found is not None:
            detail.performance = found
            if found.average_s is not None:
                detail.latencies.append(found.average_s)
        leases = await self._try("leases", _all(clients.insight.leases(service_id)), detail.trouble)
        detail.leases = detail.leases if leases is None else leases
        overlays = await self._try("overlays", _all(self._overlays(detail)), detail.trouble)
        if overlays is not None:
            detail.overlay = overlays[0] if overlays else None

    def _overlays(self, detail: Detail) -> AsyncIterator[OverlayState]:
        service = detail.row.service
        return self._clients.admin.overlays(
            namespace=service.namespace, agent_id=service.agent_id, service_name=service.service_name
        )

    async def _try(self, what: str, call: Awaitable[T], trouble: dict[str, str] | None = None) -> T | None:
        """What a call answers; None if it fails, and why goes where people see it. One refusal stops nothing else."""
        trouble = self._state.trouble if trouble is None else trouble
        try:
            found = await call
        except (Unreachable, NotFound):
            return None  # the watch of services tells of both
        except RegistryError as error:
            trouble[what] = error.message
            return None
        trouble.pop(what, None)
        return found


async def _all(several: AsyncIterator[T]) -> list[T]:
    return [one async for one in several]
