"""A watch that heals itself: an async iterator of events, and the view that they add up to.

    async with client.watch(Selector(capabilities=("math.add",))) as watch:
        await watch.synced.wait()
        async for event in watch:
            print(event.kind, event.service)

A task of its own reads, so a slow reader of events is never cut off by the registry: events that it has not taken yet
are merged, one per service, the last state wins.

With a cache the last good view is kept in a file, and shown when the registry is away at the start; a shrink guard then
keeps what one update would remove, if that is over half of the view, until a fresh snapshot says so too.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Final, Literal

import grpc.aio

from orion_registry.calls.cancellation import cancelled_from_outside
from orion_registry.client.backoff import Backoff
from orion_registry.client.calls import error_of
from orion_registry.client.channel import Connection
from orion_registry.client.decoding import decode_watch_response
from orion_registry.client.environment import Environment
from orion_registry.client.failures import Unreachable
from orion_registry.client.fold import Fold, WatchEvent, WatchKind, coalesce
from orion_registry.client.guard import Guard
from orion_registry.client.holding import is_lasting
from orion_registry.client.last_good import LastGood
from orion_registry.client.shrink_guard import ShrinkGuard
from orion_registry.client.state import ConnectionState, ObservableState
from orion_registry.client.view_keeper import ViewKeeper
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError
from orion_registry.wire.requests import encode_selector
from orion_registry.wire.service import Service
from orion_registry_pb.v1 import registry_pb2 as pb

logger = logging.getLogger(__name__)

CACHE_AFTER_S: Final = 2.0
"""A registry that has not shown its snapshot by then, be it hung or gone, counts as away: the cache is shown."""
FIRST_ANSWER_S: Final = 10.0
"""A registry answers a watch at once, if only with a bookmark; one that has not by then hangs, though its connection,
or a proxy before it, may be well."""


class Watch:
    """Made by `RegistryClient.watch`; use it with `async with`.

    Attributes:
        services: the view now, by service_id. Read-only and live; empty until `filled`.
        filled: set once there is something to go by: the first snapshot, or the cache.
        synced: set once the first snapshot is whole, and never cleared: after that the view may be old, never partial.
        last_error: why the last stream ended; None if none has.
    """

    def __init__(
        self,
        connection: Connection,
        selector: Selector,
        environment: Environment,
        *,
        cache: Path | None = None,
        last_good: LastGood | None = None,
        told: Callable[[WatchEvent], None] | None = None,
    ) -> None:
        """A watch of a selector.

        Args:
            connection: to the registry.
            selector: what to watch.
            environment: where time and randomness come from.
            cache: the file of the last good view.
            last_good: what follows each event before anybody hears of it; with it, or a cache, the guard is on.
            told: hears of each event at once; then there is nothing to iterate over.
        """
        self._connection = connection
        self._selector = encode_selector(selector)
        self._env = environment
        self._last_good = LastGood() if last_good is None and cache is not None else last_good
        self._guard = None if self._last_good is None else ShrinkGuard()
        self._keeper: ViewKeeper | None = None
        if cache is not None and self._last_good is not None:
            self._keeper = ViewKeeper(cache, repr(selector), self._last_good, environment)
        self._fold = Fold(self._guard)
        self._told = told or self._put_in_line
        self._pending: dict[str, WatchEvent] = {}
        self._news = asyncio.Event()
        self._state = ObservableState()
        self._failure: BaseException | None = None
        self._reader: asyncio.Task[None] | None = None
        self._call: grpc.aio.UnaryStreamCall[pb.WatchServicesRequest, pb.WatchServicesResponse] | None = None
        self._confirm: asyncio.TimerHandle | None = None
        self._asks_again = False
        self._current = False
        self._true_at: float | None = None  # when what is shown was last known to be true
        self._cached = False
        self.services: Mapping[str, Service] = self._fold.services
        self.filled = asyncio.Event()
        self.synced = asyncio.Event()
        self.last_error: RegistryError | None = None

    @property
    def connection_state(self) -> ConnectionState:
        """CONNECTING, CONNECTED, RECONNECTING or CLOSED: how far to trust the view."""
        return self._state.value

    @property
    def is_cached(self) -> bool:
        """Whether the view came from the cache, and the registry has not been heard since."""
        return self._cached

    @property
    def stale_for_s(self) -> float:
        """Seconds since what is shown was last known to be what the registry has; infinite while nothing is shown.

        0 while the registry answers. One that hangs is noticed by its profile's PINGs: in `lan` after 4 s.
        """
        if self._current:
            return 0.0
        return inf if self._true_at is None else max(0.0, self._env.now() - self._true_at)

    @property
    def position(self) -> tuple[int, str]:
        """Revision and history_id that the view shows."""
        return self._fold.position

    async def wait_for(self, *states: ConnectionState) -> ConnectionState:
        """Waits until the connection state is one of `states`; returns it."""
        return await self._state.wait_for(*states)

    async def __aenter__(self) -> "Watch":
        self._reader = asyncio.create_task(self._follow(), name="orion-watch")
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False

    async def close(self) -> None:
        """Ends the watch; who iterates gets StopAsyncIteration. Idempotent."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
        self._disarm()
        if self._keeper is not None:
            await self._keeper.close()
        self._state.set(ConnectionState.CLOSED)
        self._news.set()

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> WatchEvent:
        """The next event.

        Raises:
            RegistryError: the registry refuses the watch for good, such as BAD_FIELD or NOT_ALLOWED.
        """
        while not self._pending:
            if self._failure is not None:
                raise self._failure
            if self._state.value is ConnectionState.CLOSED:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._pending.pop(next(iter(self._pending)))

    # The reader.

    async def _follow(self) -> None:
        """Reads stream after stream until closed, or refused for good."""
        backoff = Backoff(self._env.draw)
        patience = asyncio.create_task(self._use_cache_after(CACHE_AFTER_S), name="orion-watch-cache")
        try:
            while True:
                began = self._env.now()
                error = await self._read_stream()
                if self._asks_again:
                    self._asks_again = False
                    continue
                self.last_error = error or self.last_error
                if error is not None and is_lasting(error):
                    raise error
                self._lost()
                backoff.lived(self._env.now() - began)
                level = logging.DEBUG  # once for each loss, not for each attempt
                if self._state.value is ConnectionState.CONNECTED:
                    self._state.set(ConnectionState.RECONNECTING)
                    level = logging.INFO
                delay = backoff.next((error.retry_after_s or 0.0) if error is not None else 0.0)
                logger.log(level, "watch ended (%s), next attempt in %.2f s", error or "closed by the registry", delay)
                await self._use_cache()
                await self._env.sleep(delay)
        except Exception as error:  # noqa: BLE001 - raised to whoever iterates; nobody may, so it is logged as well
            self._failure = error
            if not (self._connection.is_closed or isinstance(error, Unreachable)):
                logger.error("the watch has ended for good, and what it shows grows old: %s", error)
        finally:
            patience.cancel()
            self._lost()
            self._state.set(ConnectionState.CLOSED)
            self._news.set()

    async def _read_stream(self) -> RegistryError | None:
        """One stream, from the position reached to its end. Returns the error that ended it, if any."""
        revision, history_id = self._fold.position
        request = pb.WatchServicesRequest(selector=self._selector, start_revision=revision, history_id=history_id)
        address = self._connection.address
        self._fold.stream_started()
        try:
            self._call = call = self._connection.stub.WatchServices(request)
        except grpc.aio.UsageError:
            raise Unreachable("the client is closed", address=address) from None
        silent = Guard(asyncio.get_running_loop(), self._give_up)
        silent.arm(FIRST_ANSWER_S, "")
        try:
            while isinstance(response := await call.read(), pb.WatchServicesResponse):
                silent.disarm()
                self._take(response)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            if self._asks_again and not cancelled_from_outside():
                return None
            return error_of(failure, self._connection, address, f"{address}: the watch was cut off")
        finally:
            silent.disarm()
            self._call = None
            call.cancel()
        return None

    def _give_up(self, _why: str) -> None:
        if self._call is not None:
            self._call.cancel()

    def _take(self, response: pb.WatchServicesResponse) -> None:
        self._state.set(ConnectionState.CONNECTED)
        for event in self._fold.apply(decode_watch_response(response)):
            if event.kind is WatchKind.SYNCED:
                self._current, self._cached = True, False
            self._tell(event)
            if event.kind is WatchKind.SYNCED:
                self.synced.set()
                self.filled.set()
        self._watch_guard()

    def _tell(self, event: WatchEvent) -> None:
        if self._last_good is not None:
            self._last_good.take(event)
        self._told(event)
        if self._keeper is not None and not self._cached:
            self._keeper.changed()

    def _put_in_line(self, event: WatchEvent) -> None:
        coalesce(self._pending, event)
        if self._pending:
            self._news.set()

    def _lost(self) -> None:
        """What is shown grows old from now on."""
        if self._current:
            self._current, self._true_at = False, self._env.now()

    # The cache.

    async def _use_cache_after(self, seconds: float) -> None:
        await self._env.sleep(seconds)
        await self._use_cache()

    async def _use_cache(self) -> None:
        """Shows what was saved, if nothing else is there to be shown. Once."""
        if self._keeper is None or self.filled.is_set():
            return
        saved = await self._keeper.load()
        if saved is None or self.filled.is_set():
            return
        age_s = max(0.0, self._env.wall() - saved.saved_at)
        self._true_at, self._cached = self._env.now() - age_s, True
        logger.warning("the registry is away: going by %d services saved %.0f s ago", len(saved.services), age_s)
        for event in self._fold.seed(saved.services):
            self._tell(event)
        self.filled.set()

    # The shrink guard.

    def _watch_guard(self) -> None:
        """Asks for a fresh snapshot when the guard wants one."""
        guard = self._guard
        if guard is None or guard.confirm_in_s is None:
            self._disarm()
        elif self._confirm is None:
            logger.warning(
                "the registry dropped %d of %d services at once: they stay in view until a fresh snapshot confirms it",
                len(guard.withheld),
                len(self.services),
            )
            self._confirm = asyncio.get_running_loop().call_later(guard.confirm_in_s, self._ask_again)

    def _ask_again(self) -> None:
        """Ends the stream of now: the next one begins with a snapshot."""
        self._confirm = None
        if self._guard is not None:
            self._guard.asked()
        self._fold.start_over()
        if self._call is not None:
            self._asks_again = True
            self._call.cancel()

    def _disarm(self) -> None:
        if self._confirm is not None:
            self._confirm.cancel()
            self._confirm = None
