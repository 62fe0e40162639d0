"""A store in one SQLite file: one writer thread, one connection, batches that share an fsync.

WAL with synchronous=FULL: a commit is acknowledged after fsync, so it survives the daemon's death and a power failure.
"""

import asyncio
import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from orion_registry.core.facts import Fact, Stored
from orion_registry.core.timeline import StatusEdge
from orion_registry.store.base import StoreFailed
from orion_registry.store.reserve import RESERVE_BYTES
from orion_registry.store.sqlite_writer import Row, SqliteWriter

BATCH = 512
"""Commits that share one fsync at most. They pile up while the disk syncs: batches grow with the load by themselves."""
EDGES = 256
"""Changes of status that one commit carries along at most: 2 to 3 ms."""
EDGES_WAITING = 16_384
"""Changes of status that wait at most; more lose the oldest."""
LINGER_S = 1.0
"""How long changes of status wait for a commit to go with. Also how often a full disk is looked at again."""

log = logging.getLogger("orion_registry")

_Outcome = list[tuple[asyncio.Future[None], StoreFailed | None]]


@dataclass(frozen=True, slots=True)
class _Job:
    """Rows to commit together, and where the outcome goes."""

    rows: tuple[Row, ...]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class _Signal(Enum):
    """What else the writer thread is told."""

    NOTED = "changes of status wait"
    CLOSE = "finish what was queued, then end"


class SqliteStore:
    """Keeps facts in `DIRECTORY/registry.db`. See `Store` for the contract.

    Args:
        directory: created if need be, for its owner only.
        reserve_bytes: room set aside for removals and epochs on a full disk.
    """

    def __init__(self, directory: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._path = directory
        self._reserve_bytes = reserve_bytes
        self._queue: queue.SimpleQueue[_Job | _Signal] = queue.SimpleQueue()
        self._edges: deque[StatusEdge] = deque(maxlen=EDGES_WAITING)
        self._writer: SqliteWriter | None = None
        self._ended: asyncio.Future[None] | None = None
        self._closing = False
        self._noted = False
        self._edges_fail = False

    @property
    def alarm(self) -> str:
        """Why ordinary writes are refused at present; empty while they are not."""
        return self._writer.alarm if self._writer is not None else ""

    async def load(self) -> Stored:
        """See `Store.load`: locks, checks, migrates and reads the database, and starts the writer thread.

        Raises:
            StoreFailed: the directory cannot be used, or another daemon uses it.
            StoreDamaged: what is there cannot be trusted.
        """
        self._writer, stored = await asyncio.to_thread(SqliteWriter.open, self._path, self._reserve_bytes)
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        threading.Thread(target=self._serve, args=(self._writer, loop, self._ended), name="store", daemon=True).start()
        return stored

    async def commit(self, facts: Sequence[Fact]) -> None:
        """See `Store.commit`."""
        if self._writer is None or self._closing:
            raise StoreFailed("the store is closed")
        if not facts:
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Job(tuple(Row.of(fact) for fact in facts), loop, done))
        await done

    def note(self, edges: Sequence[StatusEdge]) -> None:
        """See `Store.note`."""
        if self._closing or not edges:
            return
        self._edges.extend(edges)
        if not self._noted:
            self._noted = True
            self._queue.put(_Signal.NOTED)

    async def close(self) -> None:
        """See `Store.close`. On a disk that hangs it hangs too, but may be cancelled."""
        if not self._closing:
            self._closing = True
            self._queue.put(_Signal.CLOSE)
        if self._ended is not None:
            await asyncio.shield(self._ended)

    # The writer thread.

    def _serve(self, writer: SqliteWriter, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        """Takes what has come together, commits it, answers."""
        closing = False
        while not closing:
            jobs, closing, idle = self._next(writer)
            if jobs or idle or closing:
                self._commit(writer, jobs)
            while self._edges and (closing or (idle and self._queue.empty())):
                self._commit(writer, [])
        try:
            writer.close()
        except Exception:
            log.exception("the store did not close well")
        _tell(loop, [(ended, None)])

    def _next(self, writer: SqliteWriter) -> tuple[list[_Job], bool, bool]:
        """Commits to do, whether it was told to close, and whether it waited for commits in vain."""
        jobs: list[_Job] = []
        try:
            item = self._queue.get(timeout=LINGER_S if self._edges or writer.lean else None)
            while item is not _Signal.CLOSE:
                if isinstance(item, _Job):
                    jobs.append(item)
                if len(jobs) >= BATCH or self._queue.empty():
                    return jobs, False, False
                item = self._queue.get()
        except queue.Empty:
            return jobs, False, True
        return jobs, True, False

    def _commit(self, writer: SqliteWriter, jobs: Sequence[_Job]) -> None:
        self._noted = False  # before they are taken: what comes in between is signalled again
        edges = [self._edges.popleft() for _ in range(min(EDGES, len(self._edges)))]
        lost = writer.lost_edges
        outcome: Sequence[StoreFailed | None]
        try:
            outcome = writer.commit([job.rows for job in jobs], edges)
        except Exception as error:
            log.exception("the store failed in an unknown way")
            outcome = [StoreFailed(f"unknown failure: {error}")] * len(jobs)
        if writer.lost_edges > lost and not self._edges_fail:
            log.warning("changes of status are not stored", extra={"lost": writer.lost_edges})
        if edges:
            self._edges_fail = writer.lost_edges > lost
        by_loop: dict[asyncio.AbstractEventLoop, _Outcome] = {}
        for job, failed in zip(jobs, outcome, strict=True):
            by_loop.setdefault(job.loop, []).append((job.done, failed))
        for loop, settled in by_loop.items():
            _tell(loop, settled)


def _tell(loop: asyncio.AbstractEventLoop, outcome: _Outcome) -> None:
    """Wakes an event loop once for all; one that is closed has nobody left to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, outcome)


def _settle(outcome: _Outcome) -> None:
    for done, failed in outcome:
        if done.done():
            continue  # its caller has gone
        if failed is None:
            done.set_result(None)
        else:
            done.set_exception(StoreFailed(*failed.args))
