"""WatchServices: batches from the watch hub to one client."""

import asyncio

import grpc.aio

from orion_registry.core.access.refused import Refused
from orion_registry.core.model import Actor
from orion_registry.core.watching import WatchBatch, WatchKind
from orion_registry.errors import Limit, Reason, ResourceExhausted
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.runtime.watch_hub import Watcher
from orion_registry.server.stream import Stream, abort
from orion_registry.wire.decode import decode_selector
from orion_registry.wire.watch import encode_batch
from orion_registry_pb.v1.registry_pb2 import WatchServicesRequest

CUT_RETRY_S = 1.0


class WatchStreams:
    """Serves WatchServices calls."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._cuts: set[asyncio.Task[None]] = set()

    async def serve(self, request: WatchServicesRequest, _actor: Actor, stream: Stream) -> None:
        """One call, to its end."""
        registry = self._coordinator.registry
        cut = _Cut(stream, self._cuts, registry.refused)
        watcher = self._coordinator.watch(
            decode_selector(request.selector), request.start_revision, request.history_id, cut=cut
        )
        cut.watcher, before = watcher, request.start_revision
        try:
            while True:
                batch = await watcher.next_batch()
                before = _resumable(batch, before)
                for message in encode_batch(batch, before, registry.history_id):
                    with watcher.sending():
                        await stream.write(message)
                    if cut.done:
                        return
                before = batch.revision
        finally:
            watcher.close()


def _resumable(batch: WatchBatch, before: int) -> int:
    """The revision to resume from while this batch is under way: none once RESYNC has been said."""
    resync = bool(batch.events) and batch.events[0].kind is WatchKind.RESYNC
    return 0 if resync else before


class _Cut:
    """Ends the call of a watcher that takes nothing. Called by the hub while the handler waits in `write`.

    The handler is not cancelled: that would leak the message that it waits with, and leave the call without a status.
    The status is sent beside it; both leave the daemon when the client reads on, or its connection ends. Until then
    the call holds one message (256 KiB at most) and gets no more news.
    """

    def __init__(self, stream: Stream, tasks: set[asyncio.Task[None]], refused: Refused) -> None:
        self.done = False
        self.watcher: Watcher | None = None
        self._stream = stream
        self._tasks = tasks
        self._refused = refused

    def __call__(self) -> None:
        """Cuts the call, once."""
        if not self.done:
            self.done = True
            if self.watcher is not None:
                self.watcher.close()
            task = asyncio.get_running_loop().create_task(self._abort())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _abort(self) -> None:
        message = "the watch was cut: its client took nothing for too long; resume it"
        error = ResourceExhausted(Reason.QUEUE_FULL, message, retry_after_s=CUT_RETRY_S, limit=Limit.UNREAD_WATCH)
        self._refused.note(error)
        try:
            await abort(self._stream.context, error)
        except (grpc.aio.AbortError, asyncio.CancelledError):
            return  # that is how `abort` returns
