"""Keeps the last good view of a watch on the disk, a little behind what is shown."""

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

from orion_registry.client.environment import Environment
from orion_registry.client.last_good import LastGood
from orion_registry.client.view_file import SavedView, load_view, save_view
from orion_registry.errors import Unavailable

logger = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
"""Between two writes at least: a view that changes all the time costs one write a second."""
SHARE: Final = 20
"""And never more than this part of the time: after a write that took long, it waits longer."""


class ViewKeeper:
    """Saves when told that something changed; a disk that fails costs a warning, never the view.

    Args:
        path: the file.
        selector: of the view, in words: a file of another one is not believed.
        last_good: what is saved.
        environment: where time comes from.
    """

    def __init__(self, path: Path, selector: str, last_good: LastGood, environment: Environment) -> None:
        self._path = path
        self._selector = selector
        self._last_good = last_good
        self._env = environment
        self._dirty = asyncio.Event()
        self._failed = False
        self._writer: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None

    async def load(self) -> SavedView | None:
        """What was saved, by this process or an earlier one; None if there is nothing that can be believed."""
        try:
            return await asyncio.to_thread(load_view, self._path, self._selector)
        except FileNotFoundError:
            logger.info("no view is saved at %s", self._path)
        except (OSError, Unavailable) as error:
            logger.warning("%s", error)
        return None

    def changed(self) -> None:
        """There is something to save; it is saved soon."""
        self._dirty.set()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_on(), name="orion-view-keeper")

    async def close(self) -> None:
        """Saves what was not saved yet. Idempotent."""
        if self._writer is None:
            return
        self._writer.cancel()
        await asyncio.wait({self._writer})
        self._writer = None
        if self._saving is not None and not self._saving.done():  # a thread cannot be stopped, and must not come last
            await asyncio.wait({self._saving})
        if self._dirty.is_set():
            await self._write()

    async def _write_on(self) -> None:
        while True:
            await self._dirty.wait()
            began = self._env.now()
            await self._write()
            await self._env.sleep(max(PAUSE_S, SHARE * (self._env.now() - began)))

    async def _write(self) -> None:
        self._dirty.clear()
        services = tuple(self._last_good.services.values())
        save = asyncio.to_thread(save_view, self._path, self._selector, services, self._env.wall())
        self._saving = asyncio.create_task(self._save(save), name="orion-view-save")
        await asyncio.shield(self._saving)

    async def _save(self, save: Coroutine[None, None, None]) -> None:
        try:
            await save
        except OSError as error:
            self._dirty.set()
            if not self._failed:
                logger.warning("the view cannot be saved at %s: %s", self._path, error)
            self._failed = True
        else:
            self._failed = False
