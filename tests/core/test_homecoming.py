"""core/homecoming: while those who were cut off keep coming back, nobody who is still missing is given up."""

from orion_registry.core.homecoming import ALL_BACK_S, FEWEST, HOMECOMING_MOST_S, WINDOW_S, Homecoming
from tests.building import World, state_of

OPEN, RESTORED, NOT_SEEN = ("HEALTHY", "STREAM_OPEN"), ("UNKNOWN", "RESTORED"), ("UNHEALTHY", "NOT_SEEN")


def cut(*returns: float) -> Homecoming:
    homecoming = Homecoming()
    homecoming.begin(0.0)
    for at in returns:
        homecoming.came(at)
    return homecoming


def test_it_lasts_while_the_pace_would_bring_all_back_in_time() -> None:
    enough = round(ALL_BACK_S / WINDOW_S) * 10  # missing that ten a window are enough for
    assert cut(*[1.0] * 10).lasts(1.5, enough)
    assert not cut(*[1.0] * 10).lasts(1.5, enough + 1)


def test_a_window_just_begun_does_not_end_it() -> None:
    homecoming = cut(*[1.0] * 10)
    assert homecoming.lasts(1.0 + WINDOW_S, 100)
    assert not homecoming.lasts(1.0 + 2 * WINDOW_S, 100), "for a whole window nobody came"


def test_a_few_make_no_homecoming() -> None:
    assert cut(*[1.0] * FEWEST).lasts(1.0, 1)
    assert not cut(*[1.0] * (FEWEST - 1)).lasts(1.0, 1)


def test_it_ends_at_last_and_begins_with_a_cut() -> None:
    late = HOMECOMING_MOST_S
    assert cut(*[late - 0.1] * 10).lasts(late - 0.1, 1)
    assert not cut(*[late] * 10).lasts(late, 1)
    never = Homecoming()
    never.came(1.0)
    assert not never.lasts(1.0, 0)


def test_the_last_of_many_that_come_back_after_a_restart_is_not_dead() -> None:
    """It takes them three times as long as they are allowed; nobody told them to wait."""
    before = World()
    ids = [before.add(f"agent-{number}").service_id for number in range(120)]
    after = before.restart()
    entries = [after.registry.get(service_id) for service_id in ids]
    streams = []
    for entry in entries[:118]:
        after.pass_time(0.25)  # 29.5 s in all
        streams.append(after.live(entry))
        for stream in streams:
            after.beat(stream)
    assert {state_of(entry) for entry in entries[118:]} == {RESTORED}
    after.live(entries[118])
    assert state_of(entries[118]) == OPEN
    after.pass_time(4 * WINDOW_S)
    assert state_of(entries[119]) == NOT_SEEN, "nobody comes any more"


def test_one_that_never_comes_back_is_dead_in_time_though_a_few_others_come() -> None:
    before = World()
    ids = [before.add(f"agent-{number}").service_id for number in range(12)]
    after = before.restart()
    entries = [after.registry.get(service_id) for service_id in ids]
    for entry in entries[:11]:
        after.pass_time(0.95)
        after.live(entry)
    assert state_of(entries[11]) == NOT_SEEN


def test_nor_after_a_stall_of_the_daemon() -> None:
    world = World()
    entries = [world.add(f"agent-{number}") for number in range(80)]
    streams = [world.live(entry) for entry in entries]
    world.pass_time(0.5)
    world.clock.advance(5.0)
    for stream in streams:
        world.close(stream)
    assert {state_of(entry) for entry in entries} == {("UNKNOWN", "RECONNECT_GRACE")}
    back = []
    for entry in entries[:78]:
        world.pass_time(0.25)  # 19.5 s; they are allowed 6 s
        back.append(world.live(entry))
        for stream in back:
            world.beat(stream)
    assert {state_of(entry) for entry in entries[78:]} == {("UNKNOWN", "RECONNECT_GRACE")}
    world.pass_time(4 * WINDOW_S)
    assert {state_of(entry) for entry in entries[78:]} == {NOT_SEEN}


def test_returns_that_are_over_excuse_nobody() -> None:
    """After a pause of the daemon all live agents are back within 3 s: the dead are found when their grace is over."""
    world = World()
    entries = [world.add(f"agent-{number}") for number in range(80)]
    streams = [world.live(entry) for entry in entries]
    world.pass_time(0.5)
    world.clock.advance(30.0)
    for stream in streams:
        world.close(stream)
    resumed, back = world.now.mono, []
    world.pass_time(0.4)
    for entry in entries[:75]:
        world.pass_time(0.032)  # 2.8 s in all
        back.append(world.live(entry))
    while world.now.mono < resumed + 7.0:
        world.pass_time(0.5)
        for stream in back:
            world.beat(stream)
    assert {state_of(entry) for entry in entries[75:]} == {NOT_SEEN}
