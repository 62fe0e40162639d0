"""The judge of a soak: what it lets pass, and what it finds. The soak itself is a step of `.ci/run`."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.soak.gauges import HELD, Reading
from tests.soak.slope import slope
from tests.soak.verdict import GROWTH_KB, judge

EVERY_S = 5.0
FLOOR = Reading(
    at=0.0, rss_kb=90_000.0, tasks=46, fds=22, kinds={"socket": 10}, threads=12, disk_kb=100.0,
    held=dict.fromkeys(HELD, 0.0),
)  # fmt: skip


def load(minutes: float, rss_kb: Callable[[float], float], tasks: Callable[[float], float]) -> list[Reading]:
    """Readings of so many minutes; both are told the minute."""
    times = [number * EVERY_S for number in range(int(minutes * 60 / EVERY_S))]
    return [replace(FLOOR, at=at, rss_kb=rss_kb(at / 60), tasks=int(tasks(at / 60))) for at in times]


def fails(floor: Reading, readings: list[Reading], rest: Reading) -> set[str]:
    return {line.name for line in judge(floor, readings, rest) if not line.holds}


def test_a_line_is_found_exactly() -> None:
    found = slope([(number * 60.0, 3.0 + 2.0 * number) for number in range(10)])
    assert found.per_minute == pytest.approx(2.0)
    assert found.error == pytest.approx(0.0, abs=1e-9)


def test_what_wanders_is_less_sure_than_what_jumps_about() -> None:
    """1,000 samples of a walk say less about its slope than 1,000 that have nothing to do with each other."""
    rng = random.Random(1)
    apart = [(float(number), rng.gauss(0.0, 1.0)) for number in range(1_000)]
    walk, at = [], 0.0
    for number in range(1_000):
        at = 0.99 * at + rng.gauss(0.0, 0.14)  # as wide as the other
        walk.append((float(number), at))
    assert slope(walk).error > 5 * slope(apart).error


@pytest.mark.parametrize("points", [[(float(number), 1.0) for number in range(4)], [(1.0, float(n)) for n in range(9)]])
def test_no_slope_without_samples(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match=r"slope|one time"):
        slope(points)


def test_noise_and_a_saw_are_no_leak() -> None:
    rng = random.Random(2)
    readings = load(60, lambda minute: 90_000 + minute % 5 * 400 + rng.gauss(0, 500), lambda _: 46 + rng.randrange(90))
    assert fails(FLOOR, readings, FLOOR) == set()


def test_a_small_leak_of_an_hour_is_found() -> None:
    rng = random.Random(3)
    leak = 3 * GROWTH_KB / 60
    readings = load(60, lambda minute: 90_000 + leak * minute + rng.gauss(0, 500), lambda minute: 46 + minute)
    assert fails(FLOOR, readings, FLOOR) == {"rss_kb in the second half", "tasks under load"}


def test_caches_may_fill() -> None:
    """20 MB in the first half, and nothing after it."""
    readings = load(60, lambda minute: 90_000 + 20_000 * min(1.0, minute / 25), lambda _: 46)
    assert fails(FLOOR, readings, FLOOR) == set()


@pytest.mark.parametrize(("name", "most"), [("tasks", 2), ("fds", 4), ("threads", 8)])
def test_what_is_left_is_found(name: str, most: int) -> None:
    readings = load(5, lambda _: 90_000, lambda _: 46)
    for more in (most, most + 1):
        rest = replace(FLOOR, **{name: getattr(FLOOR, name) + more})
        assert fails(FLOOR, readings, rest) == (set() if more == most else {f"{name} at rest"})


@pytest.mark.parametrize("name", HELD)
def test_nothing_may_be_held_for_who_has_gone(name: str) -> None:
    readings = load(5, lambda _: 90_000, lambda _: 46)
    assert fails(FLOOR, readings, replace(FLOOR, held={**FLOOR.held, name: 1.0})) == {f"{name} at rest"}
