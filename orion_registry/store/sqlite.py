"""A store in one SQLite file: one writer thread, one connection, batches that share an fsync.

WAL with synchronous=FULL: a commit is acknowledged after fsync, so it survives the daemon's death and a power failure.
"""

import asyncio
import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from orion_registry.core.audit import AuditHead, AuditRecord
from orion_registry.core.facts import Fact, Stored
from orion_registry.core.timeline import StatusEdge
from orion_registry.store.base import AUDIT_PAGE, StoreFailed
from orion_registry.store.reserve import RESERVE_BYTES
from orion_registry.store.sqlite_writer import Row, SqliteWriter, rows_of

BATCH = 512
"""Commits that share one fsync at most. They gather while the disk syncs: batches grow with the load by themselves."""
MANY, GATHER_S = 8, 0.01
"""When so many commits wait, more are gathered for a moment; fewer go as soon as the disk is free. Whatever its size, a
batch makes the writer thread ask some 20 times for the interpreter that the event loop is busy with."""
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
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Question:
    """Audit records that somebody wants to read, and where they go."""

    after_seq: int
    limit: int
    told: asyncio.Future[list[AuditRecord]]


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

    kind = "sqlite"

    def __init__(self, directory: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._path = directory
        self._reserve_bytes = reserve_bytes
        self._queue: queue.SimpleQueue[list[_Job] | _Question | _Signal] = queue.SimpleQueue()
        self._gathered: list[_Job] = []
        self._handed_over = 0.0
        self._writing = False
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

    @property
    def audit_anchor(self) -> AuditHead:
        """See `Store.audit_anchor`."""
        return self._writer.audit.anchor if self._writer is not None else AuditHead()

    @property
    def audit_head(self) -> AuditHead:
        """See `Store.audit_head`."""
        return self._writer.audit.head if self._writer is not None else AuditHead()

    async def audit_records(self, after_seq: int, limit: int) -> Sequence[AuditRecord]:
        """See `Store.audit_records`: the one connection reads them, between two commits."""
        if self._writer is None or self._closing:
            raise StoreFailed("the store is closed")
        told: asyncio.Future[list[AuditRecord]] = asyncio.get_running_loop().create_future()
        self._queue.put(_Question(after_seq, min(limit, AUDIT_PAGE), told))
        return await told

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

    def commit(self, facts: Sequence[Fact]) -> asyncio.Future[None]:
        """See `Store.commit`."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if self._writer is None or self._closing:
            done.set_exception(StoreFailed("the store is closed"))
        elif not facts:
            done.set_result(None)
        else:
            if not self._gathered and not self._writing:
                loop.call_soon(self._hand_over)
            self._gathered.append(_Job(rows_of(facts), done))
        return done

    def _hand_over(self) -> None:
        """Gives the writer thread what has come together."""
        if self._gathered:
            self._writing, self._handed_over = True, asyncio.get_running_loop().time()
            self._queue.put(self._gathered[:BATCH])
            self._gathered = self._gathered[BATCH:]

    def _settle(self, outcome: _Outcome) -> None:
        """A batch is done: answers its callers, and hands over the next one."""
        self._writing = False
        if len(self._gathered) < MANY:
            self._hand_over()
        else:
            self._writing = True
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._handed_over + GATHER_S), self._hand_over)
        for done, failed in outcome:
            if done.done():
                continue  # its caller has gone
            if failed is None:
                done.set_result(None)
            else:
                done.set_exception(StoreFailed(*failed.args))

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
            while self._gathered:
                self._hand_over()
            self._queue.put(_Signal.CLOSE)
        if self._ended is not None:
            await asyncio.shield(self._ended)

    # The writer thread.

    def _serve(self, writer: SqliteWriter, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        """Takes what has come together, commits it, answers."""
        closing = False
        while not closing:
            item = self._next(writer)
            if isinstance(item, _Question):
                _reply(writer, loop, item)
                continue
            jobs, closing, idle = item
            if jobs or idle or closing:
                outcome = self._commit(writer, jobs)
                _tell(loop, self._settle, [(job.done, failed) for job, failed in zip(jobs, outcome, strict=True)])
            while self._edges and (closing or (idle and self._queue.empty())):
                self._commit(writer, [])
        try:
            writer.close()
        except Exception:
            log.exception("the store did not close well")
        _tell(loop, self._settle, [(ended, None)])

    def _next(self, writer: SqliteWriter) -> tuple[list[_Job], bool, bool] | _Question:
        """A question; or commits to do, whether it was told to close, and whether it waited for commits in vain."""
        try:
            item = self._queue.get(timeout=LINGER_S if self._edges or writer.lean else None)
        except queue.Empty:
            return [], False, True
        if isinstance(item, _Question):
            return item
        return item if isinstance(item, list) else [], item is _Signal.CLOSE, False

    def _commit(self, writer: SqliteWriter, jobs: Sequence[_Job]) -> Sequence[StoreFailed | None]:
        self._noted = False  # before they are taken: what comes in between is signalled again
        waiting = len(self._edges)
        busy = len(jobs) >= MANY and waiting < EDGES_WAITING // 2
        edges = [] if busy else [self._edges.popleft() for _ in range(min(EDGES, waiting))]
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
        return outcome


def _reply(writer: SqliteWriter, loop: asyncio.AbstractEventLoop, question: _Question) -> None:
    """Reads what is wanted, in the writer thread."""
    told = question.told
    try:
        records = writer.audit_records(question.after_seq, question.limit)
    except Exception as error:  # noqa: BLE001 - whoever asked is to raise it
        failed = StoreFailed(str(error))
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if told.done() else told.set_exception(failed))
        return
    with contextlib.suppress(RuntimeError):  # see `_tell`
        loop.call_soon_threadsafe(lambda: None if told.done() else told.set_result(records))


def _tell(loop: asyncio.AbstractEventLoop, settle: Callable[[_Outcome], None], outcome: _Outcome) -> None:
    """Wakes the event loop; one that is closed has nobody left to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(settle, outcome)
