"""Ctrl-C: the first asks for an orderly end, such as a goodbye; a later one ends at once."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

EXIT_INTERRUPTED = 130
STOPPING = (signal.SIGINT, signal.SIGTERM)
TWICE_S = 0.5
"""Signals so near to each other are one: `timeout`, make and terminals signal a process and its whole group."""


async def stoppable(work: Coroutine[Any, Any, int | None], *, on_sigterm: bool = False) -> int:
    """Runs it; returns its exit code, 130 after Ctrl-C.

    Args:
        work: is cancelled to end it.
        on_sigterm: end in order on SIGTERM as well, with 0: for what holds something until it is told to stop.
    """
    stop = _Stop(asyncio.get_running_loop(), asyncio.current_task())
    numbers = STOPPING if on_sigterm else STOPPING[:1]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        return await work or 0
    except asyncio.CancelledError:
        if stop.number is None:
            raise
        return 0 if stop.number == signal.SIGTERM else EXIT_INTERRUPTED
    finally:
        if stop.number is None:
            for number, handler in before.items():
                signal.signal(number, handler)


def stopped() -> None:
    """Once a signal has ended it in order, the same signal coming again must not change how Python exits."""
    for number in STOPPING:
        if isinstance(signal.getsignal(number), _Stop):
            sys.unraisablehook = _unheard
            signal.signal(number, signal.SIG_IGN)


def _unheard(told: "sys.UnraisableHookArgs") -> None:
    """Tells what Python cannot raise, but for a signal that came while it was being ignored: it is to be ignored.

    CPython finds SIG_IGN where the handler was that the signal was caught for, and complains ("ignored due to race
    condition", `_PyErr_CheckSignalsTstate` in Modules/signalmodule.c).
    """
    if not (isinstance(told.exc_value, OSError) and told.object is None and "race condition" in str(told.exc_value)):
        sys.__unraisablehook__(told)


class _Stop:
    """A signal handler, and which signal came first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any] | None") -> None:
        self.number: int | None = None
        self._loop, self._task = loop, task
        self._asked = 0.0

    def __call__(self, number: int, _frame: object) -> None:
        """Python calls it between two instructions of the main thread."""
        now = time.monotonic()
        if self.number is None and self._task is not None:
            self.number, self._asked = number, now
            self._loop.call_soon_threadsafe(self._task.cancel)
        elif now - self._asked > TWICE_S:
            os._exit(EXIT_INTERRUPTED)
