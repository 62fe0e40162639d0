"""Beats keep their phase, are never bunched up, and a late one tells of a blocked loop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.client.pacing import block_advice, first_gap, next_due, out_of_selection, was_blocked


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e3), st.floats(0.1, 10.0))
def test_next_beat_is_ahead_and_within_one_interval(due: float, late: float, interval_s: float) -> None:
    now = due + late
    following = next_due(due, now, interval_s)
    assert now < following <= now + interval_s + 1e-6


def test_phase_is_kept_after_a_small_delay() -> None:
    assert next_due(10.0, 10.2, 1.0) == pytest.approx(11.0)


def test_missed_beats_are_not_caught_up() -> None:
    assert next_due(10.0, 15.5, 1.0) == pytest.approx(16.5)


@given(st.floats(0.0, 1.0, exclude_max=True))
def test_second_beat_comes_within_the_first_interval(draw: float) -> None:
    assert 0.1 <= first_gap(1.0, draw) <= 1.0


def test_blocked_loop_is_told_apart_from_noise() -> None:
    assert not was_blocked(0.2)
    assert was_blocked(0.3)


def test_advice_says_how_long_and_what_to_do() -> None:
    assert out_of_selection(2.0, 3.0) == 0.0
    short = block_advice(1.2, 2.0, 3.0)
    assert "1.20 s" in short
    assert "after 3.0 s" in short
    assert "asyncio.to_thread" in short
    assert "out of selection for about 2.5 s" in block_advice(4.5, 5.5, 3.0)
