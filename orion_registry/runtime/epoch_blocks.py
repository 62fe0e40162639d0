"""Blocks of epochs: reserved in the store before they are used, and in time, so that no session waits for one."""

import asyncio
import logging

from orion_registry.core.registry import Registry
from orion_registry.errors import Unavailable
from orion_registry.runtime.writer import Writer

log = logging.getLogger("orion_registry")


class EpochBlocks:
    """Where no other member gives epochs; see `core.epochs`."""

    def __init__(self, registry: Registry, writer: Writer) -> None:
        self._registry = registry
        self._writer = writer
        self._reserving: asyncio.Task[None] | None = None

    async def reserve(self) -> None:
        """Reserves the next block if it is wanted by now.

        Raises:
            Unavailable: STORE_DOWN, the store did not take it.
        """
        fact = self._registry.epochs_wanted
        if fact is not None:
            await self._writer.commit([fact])
            self._registry.epochs_reserved(fact)

    def tick(self) -> None:
        """Lets time pass."""
        wanted = self._registry.epochs_wanted is not None
        if wanted and (self._reserving is None or self._reserving.done()):
            self._reserving = asyncio.get_running_loop().create_task(self._reserve_quietly())

    async def _reserve_quietly(self) -> None:
        try:
            await self.reserve()
        except Unavailable as error:
            log.warning("epochs not reserved, will try again", extra={"error": error.message})
