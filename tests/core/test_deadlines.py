"""core/deadlines: never late, one push a deadline and none a beat, and no memory for what is gone."""

import random

from orion_registry.core.deadlines import VOID_KEPT, Deadlines
from orion_registry.core.entry import Entry
from tests.building import make_entry


def due(deadlines: Deadlines[Entry], now: float) -> list[int]:
    return [entry.ordinal for entry in deadlines.due(now)]


def test_an_entry_is_due_at_its_deadline_once() -> None:
    deadlines, entry = Deadlines[Entry](), make_entry()
    deadlines.set(entry, 5.0)
    assert deadlines.next() == 5.0
    assert due(deadlines, 4.9) == []
    assert due(deadlines, 5.0) == [1]
    assert entry.deadline is None
    assert due(deadlines, 99.0) == []
    assert deadlines.next() is None


def test_moving_a_deadline_later_pushes_nothing() -> None:
    """A beat moves the deadline; the heap finds out when the old one pops."""
    deadlines, entry = Deadlines[Entry](), make_entry()
    for beat in range(1_000):
        deadlines.set(entry, 5.0 + beat)
    assert len(deadlines) == 1
    assert due(deadlines, 5.0) == []
    assert deadlines.next() == 1_004.0
    assert due(deadlines, 1_004.0) == [1]


def test_an_earlier_deadline_counts_at_once_and_the_old_one_is_forgotten() -> None:
    deadlines, entry = Deadlines[Entry](), make_entry()
    deadlines.set(entry, 50.0)
    deadlines.set(entry, 5.0)
    assert due(deadlines, 5.0) == [1]
    assert due(deadlines, 50.0) == []


def test_a_cleared_deadline_never_comes() -> None:
    deadlines, entry = Deadlines[Entry](), make_entry()
    deadlines.set(entry, 5.0)
    deadlines.set(entry, None)
    assert due(deadlines, 9.0) == []
    deadlines.set(entry, 12.0)
    assert due(deadlines, 12.0) == [1]


def test_equal_deadlines_come_in_the_order_of_registration() -> None:
    deadlines = Deadlines[Entry]()
    for ordinal in (3, 1, 2):
        deadlines.set(make_entry(ordinal), 5.0)
    assert due(deadlines, 5.0) == [1, 2, 3]


def test_back_and_forth_to_the_same_instant() -> None:
    """Leaves two equal items in the heap; the entry is due once."""
    deadlines, entry = Deadlines[Entry](), make_entry()
    for deadline in (50.0, 5.0, 50.0):
        deadlines.set(entry, deadline)
    assert due(deadlines, 10.0) == []
    assert due(deadlines, 50.0) == [1]


def test_entries_that_are_gone_take_no_memory() -> None:
    """Register, unregister, a million times, with a ttl of a day: the heap stays small."""
    deadlines = Deadlines[Entry]()
    for ordinal in range(10_000):
        entry = make_entry(ordinal)
        deadlines.set(entry, 86_400.0)
        deadlines.forget(entry)
        assert entry.deadline is None
    assert len(deadlines) <= 2 * VOID_KEPT
    deadlines.forget(make_entry())  # never had one


def test_flapping_between_near_and_far_takes_no_memory() -> None:
    deadlines, entry = Deadlines[Entry](), make_entry()
    for now in range(0, 100_000, 10):
        deadlines.set(entry, now + 5.0)
        deadlines.set(entry, 1e9)
        assert due(deadlines, now + 9.0) == []
    assert len(deadlines) <= 2 * VOID_KEPT


def test_against_a_twin_that_looks_at_all() -> None:
    rng = random.Random(7)
    deadlines, now = Deadlines[Entry](), 0.0
    twin: dict[int, float] = {}
    entries: dict[int, Entry] = {}
    for step in range(5_000):
        ordinal = rng.randrange(40)
        entry = entries.setdefault(ordinal, make_entry(ordinal))
        match rng.randrange(8):
            case 0:
                deadlines.forget(entry)
                twin.pop(entry.ordinal, None)
                entries[ordinal] = make_entry(ordinal + 40 * step)  # another entry takes its place
            case 1:
                deadlines.set(entry, None)
                twin.pop(entry.ordinal, None)
            case 2 | 3 | 4:
                at = now + rng.choice([1, 2, 30, 86_400])
                deadlines.set(entry, at)
                twin[entry.ordinal] = at
            case _:
                now += rng.random() * 3
                expected = {number for number, at in twin.items() if at <= now}
                assert set(due(deadlines, now)) == expected
                twin = {number: at for number, at in twin.items() if at > now}
    assert len(deadlines) < 40 * 4 + VOID_KEPT * 2
