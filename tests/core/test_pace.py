"""core/pace: beats stay under the budget, in steps, without swinging."""

import pytest

from orion_registry.core.pace import INTERVALS_S, Pace, assign_interval


@pytest.mark.parametrize(
    ("streams", "current_s", "interval_s"),
    [
        (0, 1.0, 1.0),
        (2_000, 1.0, 1.0),
        (2_001, 1.0, 1.5),
        (3_001, 1.0, 2.0),
        (10_000, 1.0, 5.0),
        (20_000, 1.0, 10.0),
        (90_000, 1.0, 10.0),
        (2_000, 1.5, 1.5),  # going down needs slack
        (1_601, 1.5, 1.5),
        (1_600, 1.5, 1.0),
        (0, 10.0, 1.0),
    ],
)
def test_assign(streams: int, current_s: float, interval_s: float) -> None:
    assert assign_interval(streams, 2_000, current_s) == interval_s


def test_pace_follows_the_streams_up_and_down() -> None:
    pace = Pace(budget=10, beats_missed=3, silence_floor_s=0.0)
    assert (pace.interval_s, pace.timeout_s) == (1.0, 3.0)
    seen = []
    for change in [pace.opened] * 11 + [pace.closed] * 3:
        change()
        seen.append(pace.interval_s)
    assert seen == [1.0] * 10 + [1.5] * 3 + [1.0]
    assert pace.streams == 8


def test_pace_never_swings_on_one_agent_more_or_less() -> None:
    pace, changes = Pace(budget=10, beats_missed=3, silence_floor_s=0.0), 0
    for _ in range(11):
        pace.opened()
    for _ in range(50):
        for change in (pace.closed, pace.opened):
            before = pace.interval_s
            change()
            changes += pace.interval_s != before
    assert changes == 0
    assert pace.interval_s in INTERVALS_S
