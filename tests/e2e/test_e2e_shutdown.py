"""Two daemons, and SIGTERM with streams open: the quick form of tests.e2e.shutdown."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.demo.processes import Nursery
from tests.e2e import shutdown

pytestmark = pytest.mark.processes


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    async with Nursery(tmp_path) as children:
        yield children


@pytest.mark.parametrize("kind", ["port", "socket"])
async def test_a_second_daemon_refuses_to_start(kind: str, nursery: Nursery, tmp_path: Path) -> None:
    """Exit code 2 and one line; the first one still answers."""
    listen = "127.0.0.1:0" if kind == "port" else f"unix:{tmp_path}/orion.sock"
    assert await shutdown.second_refuses(nursery, listen) == []


@pytest.mark.parametrize("connections", [100, 4])
async def test_sigterm_sends_every_stream_away(connections: int, nursery: Nursery) -> None:
    """Exit code 0 in under 3 s; each of 100 streams got go_away before its end."""
    assert await shutdown.stops_in_time(nursery, 100, connections) == []


async def test_a_second_signal_exits_at_once(nursery: Nursery) -> None:
    """Even while the clients hang and the grace is long."""
    assert await shutdown.second_signal(nursery, 20) == []
