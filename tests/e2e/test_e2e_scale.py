"""Quick forms of tests.e2e.mass_kill, discover_scale and watch_resume: fewer of everything, more room for noise."""

import pytest

from tests.e2e import discover_scale, mass_kill, watch_resume

pytestmark = pytest.mark.processes


async def test_a_mass_kill_is_seen_about_as_fast_as_a_bare_server_sees_it() -> None:
    """Must-show 4 with 150 agents: all UNHEALTHY, the fold equal to discovery, no matter how often."""
    rounds = await mass_kill.measure(agents=150, rounds=5)
    assert all(each.fold_equal for each in rounds)
    assert min(each.ratio for each in rounds) < 5.0  # 20 ms, beside other tests; the long form holds 1.5


async def test_discovery_does_not_slow_down_with_the_number_of_services() -> None:
    """Must-show 9 with 2,000 services."""
    measured = await discover_scale.measure(services=2_000, calls=200)
    assert {name: large / small for name, (small, large) in measured.items() if large / small > 2.0} == {}


@pytest.mark.parametrize("history", [32, 16_384], ids=["resync and resume", "resume"])
async def test_a_watcher_that_is_cut_again_and_again_misses_nothing(history: int) -> None:
    """Must-show 9 with 1,000 changes and 20 cuts of three watchers."""
    outcome = await watch_resume.run(changes=1_000, cuts=20, services=100, history=history, seed=history)
    assert outcome.faults == []
    assert outcome.compared == 60
    assert outcome.changes == 1_000
    assert (outcome.resyncs > 0) == (history == 32)
