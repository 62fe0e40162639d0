"""A quick form of tests.e2e.restarts: fewer agents, fewer restarts."""

import pytest

from tests.e2e import restarts

pytestmark = pytest.mark.processes


@pytest.mark.timeout(90)
async def test_agents_come_back_and_callers_go_on_selecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Must-show 1 of the SDK: 6 agents, 2 restarts, one of them without the data.

    Played once more if it fails: where the new registry stands still for a second or two it doubts all agents, rightly.
    """
    monkeypatch.setattr(restarts, "LOSES_ITS_DATA", 2)
    rounds = await restarts.run(count=6, restarts=2)
    if any(one.faults for one in rounds):
        rounds = await restarts.run(count=6, restarts=2)
    assert [fault for one in rounds for fault in one.faults] == []
    assert [one.kept_data for one in rounds] == [True, False]
    assert min(one.running.selections for one in rounds) > 50
