"""Tells whether the machine itself stood still: then a row's figures are the machine's, not the registry's."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

STEP_S = 0.05
STALLED_S = 0.3


class Lag:
    """How late this process's loop has been at worst. Attributes: worst_s."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    @property
    def stalled(self) -> bool:
        """Whether that is too much to judge by."""
        return self.worst_s > STALLED_S


@contextmanager
def watched() -> Iterator[Lag]:
    """Watches the running loop."""
    lag = Lag()
    task = asyncio.get_running_loop().create_task(_watch(lag), name="lag")
    try:
        yield lag
    finally:
        task.cancel()


async def _watch(lag: Lag) -> None:
    due = time.monotonic() + STEP_S
    while True:
        await asyncio.sleep(STEP_S)
        now = time.monotonic()
        lag.worst_s = max(lag.worst_s, now - due)
        due = now + STEP_S
