"""Stores that misbehave on purpose: they prove that a bad disk touches writes alone."""

import asyncio
from collections.abc import Sequence

from orion_registry.core.audit import AuditHead, AuditRecord
from orion_registry.core.facts import Fact, Stored
from orion_registry.core.timeline import StatusEdge
from orion_registry.store.base import Store, StoreFailed
from orion_registry.store.memory import MemoryStore

FULL = "the disk is full (asked to fail by a test)"


class _Passing:
    """Passes everything on to another store; those below change what they are for."""

    def __init__(self, inner: Store | None = None) -> None:
        self._inner = inner or MemoryStore()

    @property
    def kind(self) -> str:
        """See `Store.kind`."""
        return self._inner.kind

    @property
    def alarm(self) -> str:
        """See `Store.alarm`."""
        return self._inner.alarm

    async def load(self) -> Stored:
        """See `Store.load`."""
        return await self._inner.load()

    async def commit(self, facts: Sequence[Fact]) -> None:
        """See `Store.commit`."""
        await self._inner.commit(facts)

    @property
    def audit_anchor(self) -> AuditHead:
        """See `Store.audit_anchor`."""
        return self._inner.audit_anchor

    @property
    def audit_head(self) -> AuditHead:
        """See `Store.audit_head`."""
        return self._inner.audit_head

    async def audit_records(self, after_seq: int, limit: int) -> Sequence[AuditRecord]:
        """See `Store.audit_records`."""
        return await self._inner.audit_records(after_seq, limit)

    def note(self, edges: Sequence[StatusEdge]) -> None:
        """See `Store.note`."""
        self._inner.note(edges)

    async def close(self) -> None:
        """See `Store.close`."""
        await self._inner.close()


class SlowStore(_Passing):
    """Commits hang between `hang()` and `release()`, then go through."""

    def __init__(self, inner: Store | None = None) -> None:
        super().__init__(inner)
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = 0

    def hang(self) -> None:
        """From now on commits wait."""
        self._open.clear()

    def release(self) -> None:
        """Lets all waiting commits through."""
        self._open.set()

    async def commit(self, facts: Sequence[Fact]) -> None:
        """See `Store.commit`; waits while hung."""
        self.waiting += 1
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1
        await super().commit(facts)


class FailingStore(_Passing):
    """Refuses every commit while `failing` is set."""

    def __init__(self, inner: Store | None = None, *, failing: bool = False) -> None:
        super().__init__(inner)
        self.failing = failing

    @property
    def alarm(self) -> str:
        """See `Store.alarm`."""
        return FULL if self.failing else super().alarm

    async def commit(self, facts: Sequence[Fact]) -> None:
        """See `Store.commit`; refuses while failing."""
        if self.failing:
            raise StoreFailed(FULL)
        await super().commit(facts)
