"""core/rebalancing: a member that came back gets its part, slowly, and nobody is moved for a little."""

from orion_registry.core.rebalancing import AT_ONCE, streams_to_move


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
