"""All keys below a prefix as they are in etcd, told change by change: read once, watched from there, read anew when the
watch cannot go on.

What is told of one key is told in the order of its revisions, each once. Writes of our own are told to it (`own`), and
are not told back.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from orion_registry.etcd.client import Etcd, KeyValue
from orion_registry.etcd.failures import EtcdCompacted, EtcdError
from orion_registry.etcd.watch import RETRY_S, Change, Watch

log = logging.getLogger("orion_registry")

Told = Callable[[Sequence[Change]], None]
"""Takes changes of a batch. Must not raise."""


@dataclass(slots=True)
class _Held:
    """A key that writes of ours are under way to, and what was heard of it meanwhile."""

    writes: int = 0
    waiting: list[Change] = field(default_factory=list)


class Mirror:
    """Knows the revision of each key, and tells of changes.

    Attributes:
        relists: how often all was read anew.
    """

    def __init__(self, etcd: Etcd, prefix: str, told: Told) -> None:
        self._etcd = etcd
        self._prefix = prefix
        self._told = told
        self._revisions: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._held: dict[str, _Held] = {}
        self._watch: Watch | None = None
        self._task: asyncio.Task[None] | None = None
        self.relists = 0

    # Life.

    async def start(self) -> tuple[KeyValue, ...]:
        """Reads all, and watches from there. What it returns is not told.

        Raises:
            EtcdError: it cannot be read.
        """
        read = await self._etcd.get_all(self._prefix)
        self._revisions = {kv.key: kv.revision for kv in read.kvs}
        self._watch = Watch(self._etcd, self._prefix, read.revision + 1)
        self._task = asyncio.get_running_loop().create_task(self._run(self._watch), name="etcd-watch")
        return read.kvs

    async def stop(self) -> None:
        """Tells nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @property
    def resumes(self) -> int:
        """How often the watch had to go on anew."""
        return 0 if self._watch is None else self._watch.resumes

    # What is known.

    def revision_of(self, key: str) -> int:
        """Revision of the latest change of a key; 0 = it is not there."""
        return self._revisions.get(key, 0)

    def own(self, key: str, revision: int, *, deleted: bool = False) -> None:
        """A write of ours took place: it is not told."""
        self._note(key, revision, deleted=deleted)

    def hold(self, keys: Iterable[str]) -> None:
        """Writes of ours to these keys are under way: until `release`, what happens to them waits to be told."""
        for key in keys:
            self._held.setdefault(key, _Held()).writes += 1

    def release(self, keys: Iterable[str]) -> None:
        """What became of the writes is known, and told to `own`: the rest is told."""
        waiting: list[Change] = []
        for key in keys:
            held = self._held[key]
            held.writes -= 1
            if not held.writes:
                waiting += self._held.pop(key).waiting
        self._tell(sorted(waiting, key=lambda change: change.revision))

    async def refresh(self, keys: Sequence[str]) -> None:
        """Reads some keys as they are now, past any lag of the watch, and tells what has changed.

        Raises:
            EtcdError: they cannot be read.
        """
        for key in keys:
            read = await self._etcd.get(key)
            self.saw([key], read.kvs, read.revision)

    def saw(self, keys: Iterable[str], found: Sequence[KeyValue], revision: int) -> None:
        """Somebody read these keys as of a revision: what has changed is told."""
        there = {kv.key for kv in found}
        gone = [Change(key, None, revision) for key in keys if key in self._revisions and key not in there]
        self._tell([*gone, *map(Change.of, found)])

    # Inside.

    async def _run(self, watch: Watch) -> None:
        while True:
            try:
                async for batch in watch.changes():
                    self._tell(batch)
            except EtcdCompacted as error:
                log.warning("the watch fell behind what etcd keeps: all is read anew", extra={"error": str(error)})
                await self._relist(watch)

    async def _relist(self, watch: Watch) -> None:
        while True:
            try:
                read = await self._etcd.get_all(self._prefix)
                break
            except EtcdError as error:
                log.debug("all could not be read", extra={"error": str(error)})
                await asyncio.sleep(RETRY_S)
        self.relists += 1
        there = {kv.key for kv in read.kvs}
        gone = [Change(key, None, read.revision) for key in self._revisions if key not in there]
        self._tell([*gone, *sorted(map(Change.of, read.kvs), key=lambda change: change.revision)])
        watch.next_revision = read.revision + 1

    def _tell(self, changes: Sequence[Change]) -> None:
        news = []
        for change in changes:
            held = self._held.get(change.key)
            if held is not None:
                held.waiting.append(change)
            elif self._is_news(change):
                self._note(change.key, change.revision, deleted=change.value is None)
                news.append(change)
        if news:
            self._told(news)

    def _is_news(self, change: Change) -> bool:
        """What was read past the watch, or written by us, comes again with it."""
        known = self._revisions.get(change.key)
        if known is None:
            return change.value is not None and change.revision > self._gone.get(change.key, 0)
        return change.revision > known

    def _note(self, key: str, revision: int, *, deleted: bool) -> None:
        if not deleted:
            self._revisions[key] = revision
            return
        self._revisions.pop(key, None)
        if self._watch is not None and revision >= self._watch.next_revision:  # the watch may tell of older changes yet
            self._gone[key] = revision
            if len(self._gone) > len(self._revisions) + 1_000:
                past = self._watch.next_revision
                self._gone = {name: at for name, at in self._gone.items() if at >= past}
