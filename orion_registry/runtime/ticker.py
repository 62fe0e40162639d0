"""Lets time pass: calls a function at a steady pace."""

import asyncio
import logging
from collections.abc import Callable

from orion_registry.core.patience import TICK_S

log = logging.getLogger("orion_registry")


class Ticker:
    """Calls `tick` every `TICK_S`. A tick that raises is logged, and does not stop the next one."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="ticker")

    async def stop(self) -> None:
        """Ends; returns when no tick is under way any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._tick()
            except Exception:
                log.exception("tick failed")
