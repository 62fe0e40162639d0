"""core/rebalancing: a member that came back gets its part, slowly, and nobody is moved for a little."""

import itertools

from orion_registry.core.rebalancing import AT_ONCE, PAUSE_MOST_S, PAUSE_S, Targets, streams_to_move


def test_nobody_is_moved_for_a_little() -> None:
    assert streams_to_move(100, ()) == 0
    assert streams_to_move(105, (95, 100)) == 0
    assert streams_to_move(9, (0,)) == 0
    assert streams_to_move(0, (500,)) == 0


def test_a_few_at_a_time_until_it_is_even() -> None:
    one, other, looks = 1_000, 0, 0
    while count := streams_to_move(one, (other,)):
        assert count <= one * AT_ONCE
        one, other, looks = one - count, other + count, looks + 1
    assert looks > 5
    assert one <= 1.1 * (one + other) / 2


def test_several_that_are_a_little_above_leave_nobody_far_below() -> None:
    streams, looks = [39, 39, 12], 0
    while any(counts := [streams_to_move(own, [*streams[:at], *streams[at + 1 :]]) for at, own in enumerate(streams)]):
        fewest = streams.index(min(streams))
        streams = [own - count for own, count in zip(streams, counts, strict=True)]
        streams[fewest] += sum(counts)
        looks += 1
    assert 1 < looks < 30
    assert min(streams) >= 25
    assert max(streams) <= 35


def test_who_has_fewest_is_sent_some_for_as_long_as_they_come() -> None:
    targets = Targets()
    assert targets.choose({}, 0.0) is None
    assert targets.choose({"a": 3, "b": 2}, 0.0) == "b"
    targets.sent("b", 2, 0.0)
    assert targets.choose({"a": 3, "b": 2}, 1.0) == "a", "it is not known yet whether they come"
    assert targets.choose({"a": 3, "b": 3}, 1.0) == "a"
    assert targets.choose({"a": 9, "b": 3}, 1.0) == "b", "they came"


def test_a_member_that_agents_cannot_reach_is_sent_some_ever_more_seldom() -> None:
    """It is heard of, so it counts as empty; those that are sent come back, and have lost a connection for nothing."""
    targets, sent = Targets(), list[float]()
    for second in range(600):
        if targets.choose({"cut off": 0}, float(second)) is not None:
            targets.sent("cut off", 0, float(second))
            sent.append(float(second))
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert gaps[0] == PAUSE_S
    assert gaps == sorted(gaps)
    assert gaps[-1] == PAUSE_MOST_S
    assert targets.choose({"cut off": 1}, sent[-1]) == "cut off", "one came: it can be reached"
    targets.sent("cut off", 1, sent[-1])
    assert targets.choose({"cut off": 1}, sent[-1] + PAUSE_S) == "cut off"


def test_who_is_gone_is_forgotten() -> None:
    targets = Targets()
    targets.sent("a", 0, 0.0)
    assert targets.choose({"b": 0}, 0.0) == "b"
    assert targets.choose({"a": 0, "b": 5}, 0.0) == "a"
