"""ExportSnapshot and ImportSnapshot: everything that is stored, out and in."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc.aio

from orion_registry.core.model import Actor
from orion_registry.errors import Limit, Reason, RegistryError, ResourceExhausted
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.stream import Stream, abort
from orion_registry.store.snapshot import SnapshotReader, write_snapshot
from orion_registry.wire.encode import encode_imported
from orion_registry_pb.v1 import admin_pb2 as pb

IDLE_S = 10.0
"""How long an import may send nothing before it is cut: while it lasts no other one may begin."""
BUSY_RETRY_S = 2.0
DRAIN_S, PAUSE_S = 5.0, 0.5
"""How long a refused import is read on, for nothing, and how long a pause ends that: C-core loses the status of a call
that ends while its client writes (grpc#36066); the client is told INTERNAL instead of what is wrong with its file."""


class SnapshotStreams:
    """Serves ExportSnapshot and ImportSnapshot calls."""

    def __init__(self, coordinator: Coordinator, *, idle_s: float) -> None:
        self._coordinator = coordinator
        self._idle_s = idle_s
        self._importing = False
        self._cuts: set[asyncio.Task[None]] = set()

    async def export(self, request: pb.ExportSnapshotRequest, actor: Actor, stream: Stream) -> None:
        """ExportSnapshot: the state is that of the call's beginning; a slow client holds one piece of the file."""
        stored, wall = self._coordinator.export_stored()
        self._coordinator.audit.did(actor, "ExportSnapshot", target="with secrets" if request.with_secrets else "")
        for chunk in write_snapshot(stored, wall, with_secrets=request.with_secrets):
            await stream.write(pb.ExportSnapshotResponse(chunk=chunk).SerializeToString())

    async def import_snapshot(self, actor: Actor, stream: Stream) -> bytes:
        """ImportSnapshot."""
        try:
            return await self._import(actor, stream)
        except RegistryError as error:
            await self._drain(stream, error)
            raise

    async def _import(self, actor: Actor, stream: Stream) -> bytes:
        """One at a time, because each may hold a whole file in memory."""
        if self._importing:
            message = "another snapshot is being imported"
            raise ResourceExhausted(Reason.QUEUE_FULL, message, retry_after_s=BUSY_RETRY_S, limit=Limit.IMPORTS)
        self._importing = True
        try:
            reader = SnapshotReader()
            while (request := await self._next(stream)) is not None:
                reader.feed(request.chunk)
            result = await self._coordinator.import_stored(reader.finish(), actor)
            return encode_imported(result, reader.masked)
        finally:
            self._importing = False

    async def _drain(self, stream: Stream, error: RegistryError) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + DRAIN_S
        while loop.time() < end:
            with self._cut_after(PAUSE_S, stream, error, told=True):
                if await stream.context.read() is grpc.aio.EOF:
                    return

    async def _next(self, stream: Stream) -> pb.ImportSnapshotRequest | None:
        message = f"the import was cut: nothing came for {self._idle_s:g} s; nothing was imported"
        late = ResourceExhausted(Reason.QUEUE_FULL, message, retry_after_s=BUSY_RETRY_S, limit=Limit.IMPORTS)
        with self._cut_after(self._idle_s, stream, late):
            request: pb.ImportSnapshotRequest | None = await stream.read()
        return request

    @contextmanager
    def _cut_after(self, delay_s: float, stream: Stream, error: RegistryError, *, told: bool = False) -> Iterator[None]:
        """Around reads that may take too long: the call is ended beside them, for to cancel one destroys the stream.

        told: the handler ends with the error, too, and it is noted then.
        """

        def cut() -> None:
            if not told:
                self._coordinator.registry.refused.note(error)
            task = asyncio.get_running_loop().create_task(_abort(stream, error))
            self._cuts.add(task)
            task.add_done_callback(self._cuts.discard)

        timer = asyncio.get_running_loop().call_later(delay_s, cut)
        try:
            yield
        finally:
            timer.cancel()


async def _abort(stream: Stream, error: RegistryError) -> None:
    try:
        await abort(stream.context, error)
    except (grpc.aio.AbortError, asyncio.CancelledError):
        return  # that is how `abort` returns
