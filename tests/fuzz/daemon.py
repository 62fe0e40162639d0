"""The daemon under test: a process of its own that also tells, asked over stdin, what it holds.

    stats\\n -> {"tasks": 4, "fds": 14, "rss": 61014016, "blocks": 310022, "services": 0, "streams": 0, "watchers": 0}

Settings differ from the defaults where a default would keep the past alive: no removal, a short history.
"""

import asyncio
import ctypes
import gc
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # as the command line does, before grpc is imported

from orion_registry.cli import logs
from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.runtime import events
from orion_registry.server.daemon import Daemon
from orion_registry.server.settings import Settings

HISTORY = 500
"""Edges and events kept: few, so that the rings are as full at the baseline as at the end."""


_drawn = random.Random(6)


async def probe(check: CheckSpec, _address: str) -> Outcome:
    """A run that finds anything: the real prober would knock at whatever port of this machine a message names."""
    await asyncio.sleep(0.01 * _drawn.random())
    verdict = _drawn.choice(tuple(Verdict))
    return Outcome(verdict=verdict, kind=check.probes[0].kind, detail=check.name, latency_s=_drawn.random())


def memory_bytes() -> int:
    """Resident memory after all that can be given back has been given back."""
    for _ in range(3):
        gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stats(daemon: Daemon) -> dict[str, int]:
    """What the process holds now."""
    coordinator = daemon.coordinator
    return {
        "tasks": len(asyncio.all_tasks()),
        "fds": len(os.listdir("/proc/self/fd")),
        "rss": memory_bytes(),
        "blocks": sys.getallocatedblocks(),
        "services": len(coordinator.registry),
        "streams": len(coordinator.streams),
        "watchers": coordinator.watchers + coordinator.events.subscribers,
    }


def _as_field(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


async def serve() -> None:
    """Serves until stdin closes. The first argument, JSON, has fields of `Settings` that differ."""
    loop = asyncio.get_running_loop()
    events.KEPT = HISTORY
    logs.watch_loop(loop)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    fixed: dict[str, Any] = {
        "listen": ("127.0.0.1:0",),
        "retention_s": 0.0,
        "history_size": HISTORY,
        "audit_keep": HISTORY,
        "admission_rate": 1_000_000,  # nobody is sent away: a refusal would hide what comes after it
        "registration_rate": 1_000_000,
        "log_format": "json",
        "ephemeral": True,
        "custom_checks": ("disk=ops.checks:disk",),
    }
    given = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    settings = Settings(**{**fixed, **{name: _as_field(value) for name, value in given.items()}})
    async with Daemon(settings, probe=probe) as daemon:
        print(json.dumps({"address": daemon.address}), flush=True)
        while await reader.readline():
            print(json.dumps(stats(daemon)), flush=True)


if __name__ == "__main__":
    logs.configure("info", "json")
    asyncio.run(serve())
