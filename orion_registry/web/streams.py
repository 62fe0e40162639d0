"""Server-sent events (a part of the HTML standard): what changes, as it changes."""

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator

from aiohttp import web

from orion_registry.core.watching import WatchBatch
from orion_registry.errors import (
    InvalidArgument,
    OutOfRange,
    PermissionDenied,
    Reason,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    shown,
)
from orion_registry.runtime.events import EventPage
from orion_registry.runtime.watch_hub import BATCH, STALLED_S
from orion_registry.server.side_door import Served
from orion_registry.web.access import Access, method_of
from orion_registry.web.api import pairs_of
from orion_registry.web.queries import request_of
from orion_registry.web.watched import Watched
from orion_registry.wire.decode import decode_selector
from orion_registry.wire.events import decode_filter
from orion_registry.wire.json_events import json_event
from orion_registry.wire.json_service import json_change, word_of
from orion_registry_pb.v1 import admin_pb2, registry_pb2

STREAMS_MOST = 128
"""Streams open at once; a page has two."""

BREATH_S = 5.0
"""How often a stream says that it lives, though there is nothing to tell."""

JUDGED_S = 1.0
"""How often it is looked at whether a stream's reader may still have it: a token may have been revoked."""

PACE_S = 0.05
"""Between two batches of one stream: people see no difference, and at 200 changes a second ten pages cost 200 writes a
second instead of 2,000."""

CHUNK = 64 * 1024
"""Characters in one write: what a slow reader keeps in memory, next to what its socket holds."""

_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


News = tuple[Iterable[str], bool]
"""Frames, and whether there is more to tell at once."""


class Streams:
    """Serves the streams."""

    def __init__(self, served: Served, access: Access, watched: Watched) -> None:
        self._served = served
        self._access = access
        self._watched = watched

    async def services(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/watch: WatchServices."""
        method = method_of("WatchServices")
        actor = self._access.admit(method, request)
        wanted = request_of(registry_pb2.WatchServicesRequest, pairs_of(request))
        if (last := _last_event(request)) is not None:
            wanted.history_id, wanted.start_revision = last
        self._access.check(method, wanted, actor, request)
        sink, judge = _Sink(request, self._watched), self._access.judge_again
        selector, coordinator = decode_selector(wanted.selector), self._served.coordinator
        watcher = coordinator.watch(selector, wanted.start_revision, wanted.history_id, cut=sink.cut)

        async def news() -> News:
            batch = await watcher.next_batch()
            return _frames(batch, coordinator.registry.history_id), len(batch.events) >= BATCH

        try:
            with self._access.holding(actor):
                return await self._run(sink, news, functools.partial(judge, method, wanted, actor, request))
        finally:
            watcher.close()

    async def events(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/watch/events: WatchEvents. What is lost, or of another life, is told by `resync`."""
        method = method_of("WatchEvents")
        actor = self._access.admit(method, request)
        wanted = request_of(admin_pb2.WatchEventsRequest, pairs_of(request))
        if (last := _last_event(request)) is not None:
            wanted.history_id, wanted.after_seq = last
        self._access.check(method, wanted, actor, request)
        sink, judge = _Sink(request, self._watched), self._access.judge_again
        passing, log = decode_filter(wanted), self._served.coordinator.events
        lost = ""
        try:
            subscription = log.subscribe(passing, wanted.after_seq, wanted.history_id)
        except OutOfRange as error:
            lost, subscription = error.message, log.subscribe(passing)

        async def news() -> News:
            nonlocal lost, subscription
            if not lost:
                try:
                    return _event_frames(await subscription.next_batch(), log.history_id), False
                except OutOfRange as error:
                    subscription.close()
                    lost, subscription = error.message, log.subscribe(passing)
            told = json.dumps({"message": lost, "history_id": log.history_id})
            lost = ""
            return (f"event: resync\ndata: {told}\n\n",), True

        try:
            with self._access.holding(actor):
                return await self._run(sink, news, functools.partial(judge, method, wanted, actor, request))
        finally:
            subscription.close()

    async def _run(
        self, sink: "_Sink", news: Callable[[], Awaitable[News]], judge: Callable[[], None]
    ) -> web.StreamResponse:
        """Tells the news until the reader or the registry ends it, or its reader may not have it any more."""
        if self._watched.streams >= STREAMS_MOST:
            message = f"as many streams are open as may be, {STREAMS_MOST}"
            raise ResourceExhausted(Reason.QUEUE_FULL, message, retry_after_s=5.0)
        self._watched.streams += 1
        try:
            await sink.begin()
            silent_s, look_s = 0.0, min(JUDGED_S, BREATH_S)
            while True:
                frames: Iterable[str] = ()
                more = True
                try:
                    async with asyncio.timeout(look_s):
                        frames, more = await news()
                    silent_s = 0.0
                except TimeoutError:
                    silent_s += look_s
                judge()
                if silent_s >= BREATH_S:
                    frames, silent_s = (": alive\n\n",), 0.0
                await sink.send(frames)
                await asyncio.sleep(0.0 if more else PACE_S)
        except (Unavailable, Unauthenticated, PermissionDenied):  # the registry stops, or its reader may no more
            await sink.end()
        except ConnectionError:  # the reader has gone, or was cut
            pass
        finally:
            self._watched.streams -= 1
        return sink.response


class _Sink:
    """One reader. It holds one chunk at most; who takes nothing for `STALLED_S` is cut."""

    def __init__(self, request: web.Request, watched: Watched) -> None:
        self.response = web.StreamResponse(headers=_HEADERS)
        self._watched = watched
        self._request = request

    async def begin(self) -> None:
        """Sends the head."""
        await self.response.prepare(self._request)
        await self.send(("retry: 1000\n\n",))

    async def send(self, frames: Iterable[str]) -> None:
        """Sends frames as they are made. Others get their turn between chunks: for the first reader of a large fleet
        the text of all services is made. Raises ConnectionError if nobody is there any more, or it was cut.
        """
        chunk: list[str] = []
        size = 0
        for frame in frames:
            chunk.append(frame)
            size += len(frame)
            if size >= CHUNK:
                await self._write("".join(chunk).encode())
                await asyncio.sleep(0)
                chunk, size = [], 0
        if chunk:
            await self._write("".join(chunk).encode())

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(STALLED_S):
                await self.response.write(data)
        except TimeoutError:
            self._watched.cuts += 1
            self.cut()
            raise ConnectionResetError("the reader took nothing for too long") from None

    def cut(self) -> None:
        """Ends the connection now."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def end(self) -> None:
        """Ends the stream; its reader may come again."""
        try:
            async with asyncio.timeout(1.0):
                await self.response.write_eof()
        except (TimeoutError, ConnectionError):
            self.cut()


def _frames(batch: WatchBatch, history_id: str) -> Iterator[str]:
    """Frames of a batch. Only the last one carries an id: whoever was cut off before it must not resume behind it."""
    last = batch.events[-1] if batch.revision and batch.events else None
    for change in batch.events:
        name = f"id: {history_id}:{batch.revision}\n" if change is last else ""
        yield f"{name}event: {word_of(change)}\ndata: {json_change(change)}\n\n"


def _event_frames(page: EventPage, history_id: str) -> list[str]:
    frames = [
        f"id: {history_id}:{logged.seq}\nevent: {logged.event.type.name.lower()}\ndata: {json_event(logged)}\n\n"
        for logged in page.events
    ]
    if not frames:
        told = json.dumps({"after_seq": str(page.after_seq), "history_id": history_id})
        frames = [f"id: {history_id}:{page.after_seq}\nevent: bookmark\ndata: {told}\n\n"]
    return frames


def _last_event(request: web.Request) -> tuple[str, int] | None:
    """The life and the number in Last-Event-ID; None if there is none.

    Raises:
        InvalidArgument: BAD_FIELD, it is none of this port's.
    """
    text = request.headers.get("Last-Event-ID", "")
    if not text:
        return None
    life, _, number = text.rpartition(":")
    if not life or not number.isdecimal() or len(number) > 18:
        message = f"Last-Event-ID: must be HISTORY_ID:NUMBER as it was sent, got {shown(text)}"
        raise InvalidArgument(Reason.BAD_FIELD, message)
    return life, int(number)
