"""A real daemon in the test's own event loop, and clients to it."""

from collections.abc import AsyncIterator

import pytest

from orion_registry.client.client import RegistryClient
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import running_daemon


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with running_daemon() as running:
        yield running


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[RegistryClient]:
    async with RegistryClient(daemon.address) as connected:
        yield connected
