"""Removes what has been dead for too long, a bounded number at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice

from orion_registry.core.commands import Remove
from orion_registry.errors import RegistryError

AT_ONCE = 256
"""Removals under way at a time: room is left in the durable lane for everybody else."""

log = logging.getLogger("orion_registry")


class Reaper:
    """Works off removals in the background. One that fails is left: the core asks for it again later."""

    def __init__(self, remove: Callable[[Remove], Awaitable[None]]) -> None:
        self._remove = remove
        self._due: dict[str, Remove] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, removals: Iterable[Remove]) -> None:
        """Takes over removals that are due."""
        self._due.update((removal.service_id, removal) for removal in removals)
        if self._due and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run(), name="reaper")

    def stop(self) -> None:
        """Forgets what is due."""
        self._due.clear()

    async def _run(self) -> None:
        while self._due:
            batch = [self._due.pop(service_id) for service_id in list(islice(self._due, AT_ONCE))]
            await asyncio.gather(*(self._reap(removal) for removal in batch))

    async def _reap(self, removal: Remove) -> None:
        try:
            await self._remove(removal)
        except RegistryError as error:
            log.warning(
                "removal failed, will try again",
                extra={"service_id": removal.service_id, "reason": error.reason, "error": error.message},
            )
