"""A watch that heals itself: an async iterator of events, and the view that they add up to.

    async with client.watch(Selector(capabilities=("math.add",))) as watch:
        await watch.synced.wait()
        async for event in watch:
            print(event.kind, event.service)

A task of its own reads, so a slow reader of events is never cut off by the registry: events that it has not taken yet
are merged, one per service, the last state wins.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Literal

import grpc.aio

from orion_registry.client.backoff import Backoff
from orion_registry.client.calls import error_of
from orion_registry.client.channel import Connection
from orion_registry.client.decoding import decode_watch_response
from orion_registry.client.environment import Environment
from orion_registry.client.failures import Unreachable
from orion_registry.client.fold import Fold, WatchEvent, WatchKind, coalesce
from orion_registry.client.holding import is_lasting
from orion_registry.client.state import ConnectionState, ObservableState
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError
from orion_registry.wire.requests import encode_selector
from orion_registry.wire.service import Service
from orion_registry_pb.v1 import registry_pb2 as pb

logger = logging.getLogger(__name__)


class Watch:
    """Made by `RegistryClient.watch`; use it with `async with`.

    Attributes:
        services: the view now, by service_id. Read-only and live; empty until `synced`.
        synced: set once the first snapshot is whole, and never cleared: after that the view may be old, never partial.
        connection_state: CONNECTING, CONNECTED, RECONNECTING or CLOSED; how far to trust the view.
    """

    def __init__(self, connection: Connection, selector: Selector, environment: Environment) -> None:
        self._connection = connection
        self._selector = encode_selector(selector)
        self._env = environment
        self._fold = Fold()
        self._pending: dict[str, WatchEvent] = {}
        self._news = asyncio.Event()
        self._state = ObservableState()
        self._failure: BaseException | None = None
        self._reader: asyncio.Task[None] | None = None
        self.services: Mapping[str, Service] = self._fold.services
        self.synced = asyncio.Event()

    @property
    def connection_state(self) -> ConnectionState:
        """How it stands with the registry now."""
        return self._state.value

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
        try:
            while True:
                began = self._env.now()
                error = await self._read_stream()
                if error is not None and is_lasting(error):
                    raise error
                backoff.lived(self._env.now() - began)
                level = logging.DEBUG  # once for each loss, not for each attempt
                if self._state.value is ConnectionState.CONNECTED:
                    self._state.set(ConnectionState.RECONNECTING)
                    level = logging.INFO
                delay = backoff.next((error.retry_after_s or 0.0) if error is not None else 0.0)
                logger.log(level, "watch ended (%s), next attempt in %.2f s", error or "closed by the registry", delay)
                await self._env.sleep(delay)
        except Exception as error:  # noqa: BLE001 - raised to whoever iterates
            self._failure = error
        finally:
            self._state.set(ConnectionState.CLOSED)
            self._news.set()

    async def _read_stream(self) -> RegistryError | None:
        """One stream, from the position reached to its end. Returns the error that ended it, if any."""
        revision, history_id = self._fold.position
        request = pb.WatchServicesRequest(selector=self._selector, start_revision=revision, history_id=history_id)
        address = self._connection.address
        self._fold.stream_started()
        try:
            call = self._connection.stub.WatchServices(request)
        except grpc.aio.UsageError:
            raise Unreachable("the client is closed", address=address) from None
        try:
            while isinstance(response := await call.read(), pb.WatchServicesResponse):
                self._take(response)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            return error_of(failure, self._connection, address, f"{address}: the watch was cut off")
        finally:
            call.cancel()
        return None

    def _take(self, response: pb.WatchServicesResponse) -> None:
        self._state.set(ConnectionState.CONNECTED)
        for event in self._fold.apply(decode_watch_response(response)):
            coalesce(self._pending, event)
            if event.kind is WatchKind.SYNCED:
                self.synced.set()
        if self._pending:
            self._news.set()
