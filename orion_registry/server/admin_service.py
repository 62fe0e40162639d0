"""AdminService: what operators do. Handlers decode, make one call to the coordinator, and encode."""

import asyncio

import grpc.aio

from orion_registry.core.model import Actor
from orion_registry.errors import Reason, ResourceExhausted
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.methods import ADMIN_SERVICE
from orion_registry.server.wrapper import Handlers, Stream, abort
from orion_registry.store.snapshot import SnapshotReader, write_snapshot
from orion_registry.wire.encode import encode_imported
from orion_registry_pb.v1 import admin_pb2 as pb

IDLE_S = 10.0
"""How long an import may send nothing before it is cut: while it lasts no other one may begin."""
BUSY_RETRY_S = 2.0


class AdminService:
    """Handlers of the RPCs, by their names."""

    def __init__(self, coordinator: Coordinator, *, idle_s: float = IDLE_S) -> None:
        self._coordinator = coordinator
        self._idle_s = idle_s
        self._importing = False
        self._cuts: set[asyncio.Task[None]] = set()

    @property
    def handlers(self) -> Handlers:
        """What `build_handlers` takes."""
        return {ADMIN_SERVICE: {"ExportSnapshot": self.export, "ImportSnapshot": self.import_snapshot}}

    async def export(self, _request: pb.ExportSnapshotRequest, _actor: Actor, stream: Stream) -> None:
        """ExportSnapshot: the state is that of the call's beginning; a slow client holds one piece of the file."""
        stored, wall = self._coordinator.export_stored()
        for chunk in write_snapshot(stored, wall):
            await stream.write(pb.ExportSnapshotResponse(chunk=chunk).SerializeToString())

    async def import_snapshot(self, actor: Actor, stream: Stream) -> bytes:
        """ImportSnapshot: one at a time, because each may hold a whole file in memory."""
        if self._importing:
            message = "another snapshot is being imported"
            raise ResourceExhausted(Reason.QUEUE_FULL, message, retry_after_s=BUSY_RETRY_S)
        self._importing = True
        try:
            reader = SnapshotReader()
            while (request := await self._read(stream)) is not None:
                reader.feed(request.chunk)
            result = await self._coordinator.import_stored(reader.finish(), actor)
        finally:
            self._importing = False
        return encode_imported(result)

    async def _read(self, stream: Stream) -> pb.ImportSnapshotRequest | None:
        """The next request. If it is late the call is ended beside the read: to cancel that destroys the stream."""
        timer = asyncio.get_running_loop().call_later(self._idle_s, self._cut, stream)
        try:
            request: pb.ImportSnapshotRequest | None = await stream.read()
            return request
        finally:
            timer.cancel()

    def _cut(self, stream: Stream) -> None:
        task = asyncio.get_running_loop().create_task(self._abort(stream))
        self._cuts.add(task)
        task.add_done_callback(self._cuts.discard)

    async def _abort(self, stream: Stream) -> None:
        message = f"the import was cut: nothing came for {self._idle_s:g} s; nothing was imported"
        try:
            await abort(stream.context, ResourceExhausted(Reason.QUEUE_FULL, message, retry_after_s=BUSY_RETRY_S))
        except (grpc.aio.AbortError, asyncio.CancelledError):
            return  # that is how `abort` returns
