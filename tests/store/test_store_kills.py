"""Row 13 of the fault matrix, at the store; the long form is tests.store.kills."""

import pytest

from tests.store import kills


async def test_no_acknowledged_write_is_lost_to_kill_9() -> None:
    ledger, faults = await kills.kill(kills=3, writes=3_000, seed=1)
    assert not faults
    assert ledger.writes >= 1_500
    assert ledger.epochs_below > 1


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_no_acknowledged_write_of_many_is_lost() -> None:
    ledger, faults = await kills.kill(kills=20, writes=100_000, seed=2)
    assert not faults
    assert ledger.writes >= 80_000
