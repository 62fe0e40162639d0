"""Members of a cluster inside the test's event loop, on an etcd that all tests of a process share."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from orion_registry.runtime.clustered import ClusterCoordinator
from orion_registry.server.daemon import Daemon
from orion_registry.server.settings import Settings
from tests.etcd.node import shared_etcd

WAIT_S = 30.0

_numbers = itertools.count()


def fresh_prefix() -> str:
    return f"/cluster{next(_numbers)}/"


def settings_of(name: str, prefix: str, etcd: tuple[str, ...] = (), **overrides: Any) -> Settings:
    return Settings(
        **{
            "listen": ("127.0.0.1:0",),
            "ephemeral": True,
            "etcd_endpoints": etcd or (shared_etcd(),),
            "etcd_prefix": prefix,
            "member_name": name,
            "member_ttl_s": 2.0,
            **overrides,
        }
    )


@asynccontextmanager
async def running_members(count: int, etcd: tuple[str, ...] = (), **overrides: Any) -> AsyncIterator[list[Daemon]]:
    prefix = fresh_prefix()
    async with AsyncExitStack() as stack:
        daemons = []
        for number in range(count):
            daemon = Daemon(settings_of(f"m{number + 1}", prefix, etcd, **overrides))
            daemons.append(await stack.enter_async_context(daemon))
        await until(lambda: all(len(of(daemon).membership.members) == count for daemon in daemons))
        yield daemons


def of(daemon: Daemon) -> ClusterCoordinator:
    assert isinstance(daemon.coordinator, ClusterCoordinator)
    return daemon.coordinator


async def until(holds: Callable[[], object], wait_s: float = WAIT_S) -> None:
    """Waits until something holds; fails with what it said last."""
    give_up = asyncio.get_running_loop().time() + wait_s
    while not (said := holds()):
        assert asyncio.get_running_loop().time() < give_up, f"did not come to hold: {said!r}"
        await asyncio.sleep(0.01)


def shown(daemon: Daemon, service_id: str) -> str:
    """Status and worst reason of a service as a member shows it."""
    entry = daemon.coordinator.registry.find(service_id)
    if entry is None:
        return "absent"
    return f"{entry.snapshot.status.name}({entry.snapshot.reasons[0].code.name})"


def epoch(daemon: Daemon, service_id: str) -> int:
    """The epoch of a service's session as a member knows it; 0 where it knows no such service."""
    entry = daemon.coordinator.registry.find(service_id)
    return 0 if entry is None else entry.epoch
