"""The contract of a store: small, asynchronous, all or nothing."""

from collections.abc import Sequence
from typing import Protocol

from orion_registry.core.facts import Fact, Stored


class StoreFailed(Exception):
    """The store did not take a batch: nothing of it is stored. The message says why, for operators."""


class Store(Protocol):
    """Keeps facts. Batches may be committed side by side; no two that are under way concern the same service."""

    async def load(self) -> Stored:
        """All that is stored. Called once, before any commit.

        Raises:
            StoreFailed: it cannot be read.
        """
        ...

    async def commit(self, facts: Sequence[Fact]) -> None:
        """Stores a batch, in its order, all or nothing; returns once it would survive a crash of the daemon.

        Deleting what is not there and reserving less than is reserved change nothing. A cancelled commit may still
        come to pass.

        Raises:
            StoreFailed: nothing of the batch is stored.
        """
        ...

    async def close(self) -> None:
        """Lets go of everything. Commits under way are finished first; none may follow."""
        ...
