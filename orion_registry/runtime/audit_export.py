"""Writes the audit chain to its file, behind the store: nobody waits for it, and it goes on from where it was."""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from orion_registry.core.audit import AuditHead
from orion_registry.runtime.audit import AuditTrail
from orion_registry.store.audit_file import AuditFile
from orion_registry.store.base import Store, StoreFailed

log = logging.getLogger("orion_registry")

LOOK_S = 0.25
"""How often it looks for records that the file lacks."""
TROUBLE_S = 1.0
"""How long it waits before it tries again what failed."""
PORTION = 500
"""Records that are written and synced together."""


class AuditExport:
    """Keeps a file up with the chain. `start` once, `stop` once."""

    def __init__(self, store: Store, trail: AuditTrail, file: AuditFile) -> None:
        self._store = store
        self._trail = trail
        self._file = file
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._at: AuditHead | None = None
        self._task: asyncio.Task[None] | None = None
        trail.exported = 0

    def start(self) -> None:
        """Begins, in a task and a thread of its own: a disk that hangs must hold up neither the loop nor the end."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._serve, args=(loop,), name="audit file", daemon=True).start()
        self._task = loop.create_task(self._run())

    async def stop(self, timeout_s: float) -> None:
        """Writes what the file lacks, if that works within a time, and ends."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._at = None  # the thread may have written, or be writing, what that task did not live to hear of
        try:
            async with asyncio.timeout(timeout_s):
                await self._catch_up()
        except Exception as error:  # noqa: BLE001 - the daemon is to end all the same; it is told
            self._failed(error)
        self._jobs.put(None)

    async def _run(self) -> None:
        while True:
            try:
                await self._catch_up()
                self._trail.export_trouble = ""
                await asyncio.sleep(LOOK_S)
            except Exception as error:  # noqa: BLE001 - trimming waits for the file, so whatever it is, this goes on
                self._failed(error)
                await asyncio.sleep(TROUBLE_S)

    def _failed(self, error: Exception) -> None:
        """Something is not written. It begins anew with what the file has."""
        self._at = None
        why = (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
        if not self._trail.export_trouble:
            expected = isinstance(error, OSError | StoreFailed)
            log.error("the audit file is not written", extra={"error": why}, exc_info=None if expected else error)
        self._trail.export_trouble = f"audit_file is not written: {why}"

    async def _catch_up(self) -> None:
        """Writes all that the file lacks."""
        if self._at is None:
            self._at = await self._begin(await self._in_thread(self._file.open))
        while self._store.audit_head.seq > self._at.seq:
            records = await self._store.audit_records(self._at.seq, PORTION)
            if not records:
                return
            if records[0].seq != self._at.seq + 1:
                log.error("the audit file has a gap", extra={"after": self._at.seq, "next": records[0].seq})
            await self._in_thread(partial(self._file.append, records))
            self._at = AuditHead(seq=records[-1].seq, hash=records[-1].hash)
            self._trail.exported = self._at.seq

    async def _begin(self, last: AuditHead | None) -> AuditHead:
        """Where to go on from. A file of another chain, or none of ours, is put aside: this one gets a new one."""
        anchor = self._store.audit_anchor
        if last is not None and await self._is_ours(last):
            self._trail.exported = last.seq
            return last
        if last is not None:
            log.warning("the audit file is of another chain and was renamed", extra={"ends_at": last.seq})
            await self._in_thread(self._file.rotate)
        return anchor

    async def _is_ours(self, last: AuditHead) -> bool:
        anchor, head = self._store.audit_anchor, self._store.audit_head
        if last.seq > head.seq:
            return False
        if last.seq <= anchor.seq:  # trimmed here: only the last of those is still known
            return last.seq < anchor.seq or last == anchor
        (record,) = await self._store.audit_records(last.seq - 1, 1)
        return record.hash == last.hash

    # The thread.

    async def _in_thread(self, job: Callable[[], Any]) -> Any:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, done))
        return await done

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            result: Any = None
            error: Exception | None = None
            try:
                result = job()
            except Exception as raised:  # noqa: BLE001 - whoever waits for it is to raise it
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed; nobody waits any more
                loop.call_soon_threadsafe(_settle, done, result, error)
        self._file.close()


def _settle(done: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)
