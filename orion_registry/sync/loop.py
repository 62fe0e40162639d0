"""The event loop that all clients of a process share, in a thread of its own."""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

T = TypeVar("T")

CLOSE_S = 5.0
"""How long the end of the process waits for what still runs."""


class LoopThread:
    """An event loop in a daemon thread; starts when it is first used."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there and waits for it. Interrupted, as by Ctrl-C, it is cancelled.

        Raises:
            RuntimeError: called in the loop's own thread, which would wait for itself; or in a fork of its process.
        """
        try:
            loop = self._running()
        except BaseException:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the program ends") from None
        except BaseException:
            future.cancel()
            raise

    def leave(self, work: Coroutine[Any, Any, object]) -> None:
        """Runs a clean-up and waits for it, unless this is a finaliser that happens to run in the loop's own thread."""
        if threading.current_thread() is self._thread and self._loop is not None:
            self._loop.create_task(work)
        else:
            self.run(work)

    def read(self, get: Callable[[], T]) -> T:
        """Runs something quick between two steps of the loop, where nothing changes meanwhile."""

        async def between() -> T:
            return get()

        return self.run(between())

    def _running(self) -> asyncio.AbstractEventLoop:
        if os.getpid() != self._pid:
            raise RuntimeError("clients do not survive a fork: make a new one in this process")
        if threading.current_thread() is self._thread:
            raise RuntimeError("called in the thread of the event loop, which would wait for itself")
        if self._loop is not None:  # without the lock: a signal handler may come while this very thread holds it
            return self._loop
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=loop.run_forever, name="orion-sync", daemon=True)
                self._thread.start()
                atexit.register(self._end)
                self._loop = loop
            return self._loop

    def _end(self) -> None:
        """At the end of the process: what was not closed is cancelled, as a crash would, but tidily."""
        atexit.unregister(self._end)
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or os.getpid() != self._pid:
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(CLOSE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_S)
        if not thread.is_alive():
            loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=CLOSE_S / 2)


_shared = LoopThread()
_shared_lock = threading.Lock()


def shared() -> LoopThread:
    """The one of this process."""
    global _shared  # noqa: PLW0603 - one for a process, and another after a fork
    with _shared_lock:
        if _shared._pid != os.getpid():
            _shared = LoopThread()
        return _shared
