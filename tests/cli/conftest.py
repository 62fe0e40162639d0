"""A daemon for commands to call, in a thread of the test's process.

It saves the half second in which a process imports all of it. What a process alone can show has a `daemon_process`.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Thread

import pytest

from orion_registry.testing.daemon import running_daemon


async def _serve(started: "Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]") -> None:
    """Until the event is set."""
    stop = asyncio.Event()
    try:
        async with running_daemon() as daemon:
            started.set_result((daemon.address, asyncio.get_running_loop(), stop))
            await stop.wait()
    except BaseException as error:
        if not started.done():
            started.set_exception(error)
        raise


@pytest.fixture
def address() -> Iterator[str]:
    """Where a daemon is that knows nobody yet."""
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = Thread(target=lambda: asyncio.run(_serve(started)), name="daemon")
    thread.start()
    at, loop, stop = started.result(20.0)
    yield at
    loop.call_soon_threadsafe(stop.set)
    thread.join(20.0)
    assert not thread.is_alive()
