"""A watch with generated stubs alone: folds as docs say, notes when it saw what, and can be cut at any moment."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc.aio

from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv

ALL = sv.Selector(include_not_ready=True)

Seen = Callable[[sv.ServiceInfo, float], None]
Removed = Callable[[pb.WatchEvent], None]


class RawWatch:
    """The fold of one selector.

    Attributes:
        services: by service_id, as last told.
        seen: called for each service added or modified, with the monotonic time of arrival.
        removed: called for each REMOVED event.
        revision, history_id: what to resume from.
        resyncs: how often it was told to start anew.
        bookmarked: set when everything up to then has been told, since the last `open`.
    """

    def __init__(self, stub: Any, selector: sv.Selector = ALL) -> None:
        self._stub = stub
        self._selector = selector
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._stale: set[str] | None = None
        self._changed = asyncio.Event()
        self.services: dict[str, sv.ServiceInfo] = {}
        self.seen: Seen | None = None
        self.removed: Removed | None = None
        self.revision = 0
        self.history_id = ""
        self.resyncs = 0
        self.bookmarked = asyncio.Event()

    def open(self) -> None:
        """Opens a stream from where the fold stands."""
        self.bookmarked.clear()
        request = pb.WatchServicesRequest(
            selector=self._selector, start_revision=self.revision, history_id=self.history_id
        )
        if self.revision == 0:
            self._stale = set(self.services)
        self._call = self._stub.WatchServices(request, wait_for_ready=True)
        self._reader = asyncio.create_task(self._read(self._call))

    @property
    def ended(self) -> bool:
        """Whether the stream has ended, by `cut` or by the registry: it sees nothing any more."""
        return self._reader is None or self._reader.done()

    async def cut(self) -> None:
        """Cancels the call, whatever is under way."""
        self._call.cancel()
        if self._reader is not None:
            await asyncio.wait({self._reader})

    async def until(self, holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Waits until something holds, looking after every response."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def fold(self) -> dict[str, bytes]:
        """The services as comparable bytes."""
        return {service_id: comparable(info) for service_id, info in self.services.items()}

    async def _read(self, call: Any) -> None:
        try:
            while isinstance(response := await call.read(), pb.WatchServicesResponse):
                self._take(response, time.monotonic())
                self._changed.set()
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            return

    def _take(self, response: pb.WatchServicesResponse, now: float) -> None:
        for event in response.events:
            match event.type:
                case pb.WATCH_EVENT_TYPE_RESYNC:
                    self.resyncs += 1
                    self._stale = set(self.services)
                case pb.WATCH_EVENT_TYPE_BOOKMARK:
                    for service_id in self._stale or ():
                        del self.services[service_id]
                    self._stale = None
                    self.bookmarked.set()
                case pb.WATCH_EVENT_TYPE_REMOVED:
                    self._forget(event.service.service_id)
                    if self.removed is not None:
                        self.removed(event)
                case _:
                    self._keep(event.service)
                    if self.seen is not None:
                        self.seen(event.service, now)
        self.revision, self.history_id = response.revision, response.history_id

    def _keep(self, info: sv.ServiceInfo) -> None:
        self.services[info.service_id] = info
        if self._stale is not None:
            self._stale.discard(info.service_id)

    def _forget(self, service_id: str) -> None:
        self.services.pop(service_id, None)
        if self._stale is not None:
            self._stale.discard(service_id)


def comparable(info: sv.ServiceInfo) -> bytes:
    """A service without what changes by itself."""
    copy = sv.ServiceInfo()
    copy.CopyFrom(info)
    copy.ClearField("last_heartbeat")
    copy.ClearField("load")
    return copy.SerializeToString(deterministic=True)


async def snapshot(stub: Any, selector: sv.Selector = ALL) -> dict[str, bytes]:
    """All pages of DiscoverServices, as comparable bytes by service_id."""
    found: dict[str, bytes] = {}
    token = ""
    while True:
        request = pb.DiscoverServicesRequest(selector=selector, page_size=1_000, page_token=token)
        page = await stub.DiscoverServices(request)
        found.update((info.service_id, comparable(info)) for info in page.services)
        token = page.next_page_token
        if not token:
            return found
