"""The checker itself: what no order explains is found, and what one explains is not."""

import random

from tests.cluster.linearizable import Operation, is_linearizable, violations


def op(what: str, answer: tuple[str, int] | None, began: float, ended: float, argument: int = 0) -> Operation:
    return Operation(key="k", what=what, argument=argument, answer=answer, began=began, ended=ended)


MADE = op("register", ("made", 1), 0.0, 1.0)


def test_what_follows_in_time_follows_in_order() -> None:
    assert is_linearizable([])
    assert is_linearizable([MADE, op("update", ("done", 2), 2.0, 3.0, 1), op("remove", ("done", 0), 4.0, 5.0)])
    assert not is_linearizable([MADE, op("update", ("absent", 0), 2.0, 3.0, 1)])
    assert not is_linearizable([MADE, op("register", ("made", 1), 2.0, 3.0)])


def test_what_overlaps_may_be_in_either_order() -> None:
    assert is_linearizable([MADE, op("update", ("absent", 0), 0.5, 3.0, 1)])
    assert is_linearizable([op("remove", ("absent", 0), 0.0, 9.0), MADE])


def test_two_who_both_won_are_found() -> None:
    both = [op("update", ("done", 2), 2.0, 4.0, 1), op("update", ("done", 2), 3.0, 5.0, 1)]
    assert not is_linearizable([MADE, *both])
    assert violations([MADE, *both])
    stale = op("update", ("stale", 2), 3.0, 5.0, 1)
    assert is_linearizable([MADE, both[0], stale])
    assert not is_linearizable([MADE, stale])


def test_what_is_open_may_take_place_late_or_never() -> None:
    lost = op("update", None, 2.0, 3.0, 1)
    assert is_linearizable([MADE, lost, op("update", ("done", 2), 4.0, 5.0, 1)])
    assert is_linearizable([MADE, lost, op("update", ("stale", 2), 4.0, 5.0, 1)])
    assert is_linearizable([MADE, op("remove", None, 2.0, 3.0), op("update", ("absent", 0), 4.0, 5.0, 1)])
    assert is_linearizable([op("register", None, 0.0, 1.0), op("register", ("updated", 2), 2.0, 3.0)])
    assert not is_linearizable([op("update", ("done", 2), 4.0, 5.0, 1)])


def test_a_long_history_of_one_register_is_judged_quickly() -> None:
    rng, state, at = random.Random(1), 0, 0.0
    history: list[Operation] = []
    for _ in range(400):
        at += 1.0
        answer, state = (("made", 1), 1) if not state else (("updated", state + 1), state + 1)
        history.append(op("register", answer, at - rng.random() * 2, at + rng.random() * 2))
    assert is_linearizable(history)
    history[200] = op("register", ("made", 1), history[200].began, history[200].ended)
    assert not is_linearizable(history)
