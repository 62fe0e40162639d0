"""Quick forms of tests.e2e.restart: fewer of everything, and less patience."""

import pytest

from tests.e2e import restart

pytestmark = pytest.mark.processes


async def test_what_was_stored_is_served_again_and_nobody_is_declared_dead() -> None:
    """Must-show 2 with 500 services, watched for 2 s."""
    start = await restart.restore(services=500, patience_s=2.0)
    assert start.faults == []
    assert start.dead_s is None


async def test_live_agents_are_healthy_again_after_a_restart() -> None:
    """Must-show 2 with 60 agents, one SIGKILL and one SIGTERM: nobody removed, dead or registered anew."""
    results = await restart.reconnect(agents=60, restarts=1)
    assert [fault for result in results for fault in result.faults] == []
