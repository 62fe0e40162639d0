"""Back-off is full jitter between 0 and a doubling window, never beyond its cap, never below what was asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.client.backoff import BASE_S, CAP_S, Backoff, reconnect_delay, window

draws = st.floats(0.0, 1.0, exclude_max=True)


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [(0, 0.1), (1, 0.2), (2, 0.4), (3, 0.8), (4, 1.6), (5, 2.0), (6, 2.0), (10_000, 2.0), (-1, 0.1)],
)
def test_window_doubles_up_to_the_cap(attempt: int, expected: float) -> None:
    assert window(attempt) == pytest.approx(expected)


@given(st.integers(0, 100), draws)
def test_delay_is_within_its_window(attempt: int, draw: float) -> None:
    assert 0.0 <= reconnect_delay(attempt, draw) < window(attempt) <= CAP_S


@given(st.integers(0, 100), draws, st.floats(0.0, 600.0))
def test_delay_never_undercuts_what_was_asked_and_spreads(attempt: int, draw: float, asked_s: float) -> None:
    delay = reconnect_delay(attempt, draw, asked_s)
    assert asked_s <= delay <= asked_s + CAP_S


def test_those_who_were_asked_alike_spread_over_as_much_again() -> None:
    delays = [reconnect_delay(0, index / 10, asked_s=1.0) for index in range(10)]
    assert delays == pytest.approx([1.0 + index / 10 for index in range(10)])


def test_attempts_count_until_a_connection_lived() -> None:
    backoff = Backoff(lambda: 0.5)
    assert [backoff.next() for _ in range(3)] == pytest.approx([0.05, 0.1, 0.2])
    backoff.lived(CAP_S)  # accepted and cut soon: no fresh start
    assert backoff.next() == pytest.approx(0.4)
    backoff.lived(CAP_S + 0.1)
    assert backoff.next() == pytest.approx(BASE_S / 2)
