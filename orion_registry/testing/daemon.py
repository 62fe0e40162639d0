"""A registry daemon inside your test's event loop, on a free port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from orion_registry.runtime.clock import Clock
from orion_registry.runtime.entropy import Entropy
from orion_registry.runtime.monitor import Probe
from orion_registry.server.daemon import Daemon
from orion_registry.server.settings import Settings
from orion_registry.store.base import Store
from orion_registry.store.memory import MemoryStore
from orion_registry.web import http_port


@asynccontextmanager
async def running_daemon(
    *,
    store: Store | None = None,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    probe: Probe | None = None,
    **overrides: Any,
) -> AsyncIterator[Daemon]:
    """A daemon that is ready: connect to `daemon.address`.

    Args:
        store: in memory if not given.
        clock: the machine's if not given.
        entropy: the machine's if not given.
        probe: makes the runs of active checks, such as a `testing.probes.ScriptedProbe`; the real one if not given.
        overrides: fields of `Settings`, such as retention_s=1.0; listen is a free port on 127.0.0.1 if not given, and
            http is off: with http="127.0.0.1:0" the daemon has an HTTP port, see `http_address`.
    """
    settings = Settings(**{"listen": ("127.0.0.1:0",), "http": "off", **overrides})
    daemon = Daemon(
        settings,
        store=store or MemoryStore(),
        clock=clock,
        entropy=entropy,
        probe=probe,
        side_door=http_port(settings),
    )
    async with daemon:
        yield daemon


def http_address(daemon: Daemon) -> str:
    """Where its HTTP port is, HOST:PORT; empty = it has none."""
    return str(daemon.where().get("http", ""))
