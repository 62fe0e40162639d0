"""core/patience: the daemon's own stalls count against nobody, once each; self_health tells of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.model import Now
from orion_registry.core.patience import LATE_TICK_S, SHAKEN_S, TICK_S, Patience
from orion_registry.core.self_health import SelfHealth

near: Any = pytest.approx


def at(mono: float) -> Now:
    return Now(mono=mono, wall=7.0)


def ticking(until: float, start: float = 1_000.0) -> Patience:
    """A daemon that has kept time from `start` on."""
    patience = Patience()
    for step in range(round((until - start) / TICK_S) + 1):
        patience.tick(at(start + step * TICK_S))
    return patience


def test_a_daemon_that_keeps_time_judges_by_the_clock() -> None:
    patience = ticking(1_010.0)
    now = at(1_010.05)
    assert patience.read(now) is now
    assert patience.judged(1_010.1 + LATE_TICK_S) == 1_010.1 + LATE_TICK_S, "a tick late by 250 ms is no stall"
    assert patience.health() == SelfHealth(
        lag_s=near(0.0), worst_lag_s=near(0.0, abs=1e-9), stalls=0, credited_s=0.0, last_stall_s=0.0
    )


def test_before_the_first_instant_nothing_was_missed() -> None:
    patience = Patience()
    assert patience.judged(1e9) == 1e9
    assert patience.tick(at(1e9)).mono == 1e9


def test_a_stall_before_the_first_tick_counts_against_nobody() -> None:
    """Between what was restored and the first tick a daemon may stand still like at any other time."""
    patience = Patience()
    patience.judged(1_000.0)
    assert patience.tick(at(1_060.0)).mono == near(1_000.0 + TICK_S)
    assert patience.health().stalls == 1


def test_the_first_tick_after_a_stall_pays_it_back() -> None:
    patience = ticking(1_010.0)
    after = patience.tick(at(1_015.0))
    assert after.mono == near(1_010.1)
    assert after.wall == 7.0
    health = patience.health()
    assert (health.stalls, health.credited_s, health.last_stall_s) == (1, near(4.9), near(4.9))
    assert (health.lag_s, health.worst_lag_s) == (near(4.9), near(4.9))


def test_what_is_read_before_that_tick_is_judged_in_paid_time_and_the_tick_pays_no_second_time() -> None:
    """Else one that died in the stall would get it twice."""
    patience = ticking(1_010.0)
    assert patience.judged(1_015.0) == near(1_010.1)
    assert patience.judged(1_015.01) == near(1_010.11)
    assert patience.tick(at(1_015.05)).mono == near(1_010.1), "only what the tick was held up longer"
    assert patience.health().stalls == 1
    assert patience.health().credited_s == near(4.95)
    assert patience.tick(at(1_015.15)).mono == near(1_010.2)


def test_a_tick_that_is_held_up_by_much_to_read_pays_its_lag() -> None:
    patience = ticking(1_010.0)
    for step in range(1, 21):
        patience.judged(1_010.0 + step * 0.1)
    assert patience.tick(at(1_012.0)).mono == near(1_010.1)
    assert patience.health().stalls == 1


def test_a_stall_of_which_a_part_was_paid_is_one_stall() -> None:
    patience = ticking(1_010.0)
    patience.judged(1_011.0)
    patience.judged(1_012.0)
    patience.tick(at(1_012.0))
    health = patience.health()
    assert (health.stalls, health.last_stall_s) == (1, near(1.9))
    patience.tick(at(1_013.0))
    health = patience.health()
    assert (health.stalls, health.last_stall_s) == (2, near(0.9))


@pytest.mark.parametrize(("stall_s", "shaken"), [(1.5, False), (1.7, True), (30.0, True)])
def test_ends_soon_after_a_long_stall_are_not_believed(stall_s: float, shaken: bool) -> None:
    patience = ticking(1_010.0)
    end = 1_010.0 + stall_s
    patience.judged(end)
    assert patience.shaken is shaken
    for step in range(round(SHAKEN_S / TICK_S)):
        patience.tick(at(end + step * TICK_S))
        assert patience.shaken is shaken
    patience.tick(at(end + SHAKEN_S + TICK_S))
    assert not patience.shaken


def test_the_worst_lag_is_that_of_the_last_minute() -> None:
    patience = ticking(1_010.0)
    patience.tick(at(1_010.3))
    for step in range(1, 580):
        patience.tick(at(1_010.3 + step * TICK_S))
    assert patience.health().worst_lag_s == near(0.2)
    for step in range(580, 640):
        patience.tick(at(1_010.3 + step * TICK_S))
    assert patience.health().worst_lag_s == near(0.0, abs=1e-9)
    patience.tick(at(1_500.0))
    patience.tick(at(2_500.0))
    assert patience.health().worst_lag_s == near(999.9), "minutes that nobody saw are no lag of now"


steps = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.36, 0.5, 2.0, 30.0])), max_size=60)


@given(steps)
def test_credit_never_doubles(steps: list[tuple[bool, float]]) -> None:
    """Whatever comes when: credit is at most the time that went by beyond one tick, for every span between two ticks;
    and what was seen every tick is never credited."""
    patience, mono, ticked, paid = Patience(), 1_000.0, 1_000.0, 0.0
    patience.tick(at(mono))
    for is_tick, gap_s in steps:
        mono += gap_s
        judged = patience.tick(at(mono)).mono if is_tick else patience.judged(mono)
        credit = mono - judged
        assert credit >= paid - 1e-6
        assert credit - paid <= max(0.0, mono - ticked - TICK_S) + 1e-6
        assert patience.health().credited_s == near(credit, abs=1e-6)
        if is_tick:
            lag_s = mono - ticked - TICK_S
            assert credit - paid >= lag_s - LATE_TICK_S - 1e-6, "no stall is left unpaid"
            ticked, paid = mono, credit
