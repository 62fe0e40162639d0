"""The quick form of tests.e2e.durable: three kills of the daemon while clients write."""

import pytest

from tests.e2e import durable


@pytest.mark.long  # a step of .ci/run does it with more
async def test_nothing_acknowledged_is_lost_when_the_daemon_is_killed() -> None:
    """Must-show 1 with 3,000 writes: all as acknowledged after each restart, epochs only rise, SQLite is content."""
    result = await durable.measure(kills=3, writes=3_000, seed=1)
    assert durable.faults_of(result.lives) == []
    assert result.run.acknowledged >= 3_000
    assert result.lives[-1].found > 0
