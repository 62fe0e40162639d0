"""The pytest plugin: a daemon, its clock and its faults as fixtures. It is there once the package is installed.

`orion_daemon` and what hangs on it need the extra `server`, and pytest-asyncio or anyio's own plugin, as async tests
do. Nothing of the registry is imported before a test asks for a fixture.
"""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from orion_registry.server.daemon import Daemon
    from orion_registry.testing.driven_clock import DrivenClock
    from orion_registry.testing.faults import Faults

    async_fixture: Callable[[Any], Any]

try:  # its own decorator works in its strict mode too
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # anyio runs plain ones
    async_fixture = pytest.fixture


@pytest.fixture
def orion_settings() -> dict[str, Any]:
    """Settings of `orion_daemon`, as `running_daemon` takes them; override it in a conftest, a module or a class."""
    return {}


@pytest.fixture
def orion_clock() -> "DrivenClock":
    """The time of `orion_daemon`: it stands still until `await orion_clock.advance(seconds)`."""
    from orion_registry.testing.driven_clock import DrivenClock

    return DrivenClock()


@async_fixture
async def orion_daemon(orion_settings: dict[str, Any], request: pytest.FixtureRequest) -> "AsyncIterator[Daemon]":
    """A daemon in the test's event loop, in memory, on a free port: `orion_daemon.address`.

    Its time is the machine's, unless the test asks for `orion_clock` too.
    """
    from orion_registry.testing.daemon import running_daemon

    wanted = dict(orion_settings)
    clock: DrivenClock | None = None
    if "orion_clock" in request.fixturenames:
        clock = wanted["clock"] = request.getfixturevalue("orion_clock")
    async with running_daemon(**wanted) as daemon:
        if clock is not None:
            clock.drive(daemon.coordinator)
        yield daemon


@async_fixture
async def orion_faults(orion_daemon: "Daemon", request: pytest.FixtureRequest) -> "AsyncIterator[Faults]":
    """Links to `orion_daemon` that can break: `await orion_faults.link("calc-1")` is an address for that agent."""
    from orion_registry.testing.faults import Faults

    async with Faults(orion_daemon) as faults:
        if "orion_clock" in request.fixturenames:
            clock: DrivenClock = request.getfixturevalue("orion_clock")
            clock.drive(orion_daemon.coordinator, faults.is_cut, faults.is_frozen)
        yield faults
