"""Work that is done again and again while an event loop runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("orion_registry")


class Periodic:
    """Awaits `work` every `interval_s` seconds, the first time after one of them, in the loop that started it.

    Work that raises is logged and tried again with the next turn.
    """

    def __init__(self, name: str, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._interval_s = interval_s
        self._work = work
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Between `start` and `stop`, while the loop that started it has not ended."""
        return self._task is not None and not self._task.done() and not self._task.get_loop().is_closed()

    def start(self) -> None:
        """Begins in the running loop; nothing happens if it runs already."""
        if not self.running:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Ends it, from whichever loop; nothing happens if it does not run."""
        task, self._task = self._task, None
        if task is None or task.done() or task.get_loop().is_closed():
            return
        if task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])  # unlike `await task`, raises CancelledError only if this stop is cancelled
        else:
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self._work()
            except Exception:
                log.exception("periodic work raised", extra={"work": self._name})
