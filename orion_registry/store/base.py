"""The contract of a store: small, asynchronous, all or nothing."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from orion_registry.core.audit import AuditHead, AuditRecord
from orion_registry.core.facts import Fact, Stored
from orion_registry.core.timeline import StatusEdge

AUDIT_PAGE = 1_000
"""Audit records read at once at most."""


class StoreFailed(Exception):
    """The store did not take a batch: nothing of it is stored. Or it cannot be opened. The message says why."""


class StoreDamaged(StoreFailed):
    """What is stored cannot be trusted, so it is not opened, and nothing in it was changed.

    Attributes:
        path: the file that is damaged.
        what: what is wrong with it.
    """

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path} is damaged: {what}")
        self.path = path
        self.what = what


class Store(Protocol):
    """Keeps facts. Batches may be committed side by side; no two that are under way concern the same service."""

    @property
    def kind(self) -> str:
        """What it is, in one word, for people."""
        ...

    @property
    def alarm(self) -> str:
        """Why ordinary writes are refused at present; empty while they are not."""
        ...

    async def load(self) -> Stored:
        """All that is stored. Called once, before any commit.

        Raises:
            StoreFailed: it cannot be read.
            StoreDamaged: what is there cannot be trusted.
        """
        ...

    def commit(self, facts: Sequence[Fact]) -> Awaitable[None]:
        """Stores a batch, in its order, all or nothing; done once it would survive a crash of the daemon.

        Deleting what is not there and reserving less than is reserved change nothing. A cancelled commit may still
        come to pass.

        Raises:
            StoreFailed: nothing of the batch is stored.
        """
        ...

    @property
    def audit_anchor(self) -> AuditHead:
        """The place after which the oldest audit record kept stands."""
        ...

    @property
    def audit_head(self) -> AuditHead:
        """The place of the latest audit record stored."""
        ...

    async def audit_records(self, after_seq: int, limit: int) -> Sequence[AuditRecord]:
        """Audit records that are stored, those after a number, in their order; at most `limit`, and `AUDIT_PAGE`.

        Audit facts get their places in the order in which they are stored; a batch that fails leaves no gap.

        Raises:
            StoreFailed: they cannot be read.
        """
        ...

    def note(self, edges: Sequence[StatusEdge]) -> None:
        """Takes changes of status, to be stored when it costs no commit anything. Returns at once and never fails.

        Best effort: a crash or a bad disk loses some. The last `TIMELINE` of each stored service are kept.
        """
        ...

    async def close(self) -> None:
        """Lets go of everything. Commits under way are finished first; none may follow."""
        ...
