"""A daemon whose wall clock jumps and whose loop blocks when told to. Everything else is the real one.

    python -m tests.faults.daemon

It prints {"address": ...}, logs to stderr as `orion-registry serve --log-format json` does, and answers each line:

    {"do": "jump", "seconds": S}     the wall clock jumps; the monotonic clock does not
    {"do": "block", "seconds": S}    the event loop is blocked for so long; answered before
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from orion_registry.cli import logs
from orion_registry.core.model import Now
from orion_registry.runtime.clock import SystemClock
from orion_registry.testing.daemon import running_daemon
from tests.e2e.fleet import raise_open_files_limit, say


class JumpingClock:
    """The machine's clock, with a wall clock that somebody sets."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._off_s = 0.0

    def now(self) -> Now:
        """See `Clock.now`."""
        now = self._real.now()
        return Now(mono=now.mono, wall=now.wall + self._off_s)

    def jump(self, seconds: float) -> None:
        """Sets the wall clock forward, or back."""
        self._off_s += seconds


def obey(clock: JumpingClock, order: dict[str, Any]) -> None:
    """Carries out one order."""
    match order["do"]:
        case "jump":
            clock.jump(order["seconds"])
            say(jumped=order["seconds"])
        case "block":
            say(t0=time.monotonic())
            time.sleep(order["seconds"])
        case other:
            raise ValueError(f"no such order: {other}")


async def run() -> None:
    """Serves until standard input ends."""
    logs.configure("info", "json")
    clock = JumpingClock()
    async with running_daemon(clock=clock) as daemon:
        say(address=daemon.address)
        stdin = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        while line := await stdin.readline():
            obey(clock, json.loads(line))


if __name__ == "__main__":
    raise_open_files_limit()
    asyncio.run(run())
