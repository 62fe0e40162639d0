"""The beat deadline: STREAM_OPEN, LATE after 1.5 intervals, SILENT after 3, open again with the next beat."""

from typing import Any

import pytest

from orion_registry.core.entry import Entry
from orion_registry.core.frames import Ack, CommandAck, Detach, Welcome
from orion_registry.core.patience import TICK_S
from orion_registry.core.sessions import HeartbeatSession
from tests.building import LOCAL, World, ask, frames_of, ref_of, state_of

OPEN, LATE, SILENT = ("HEALTHY", "STREAM_OPEN"), ("HEALTHY", "LATE"), ("UNHEALTHY", "SILENT")

near: Any = pytest.approx


def changes(world: World, entry: Entry, seconds: float, start: float = 0.0) -> list[tuple[float, tuple[str, str]]]:
    """Looks of the entry, and when each was first seen, in seconds from now."""
    seen = [(start, state_of(entry))]
    for step in range(1, round(seconds / TICK_S) + 1):
        world.pass_time(TICK_S)
        if state_of(entry) != seen[-1][1]:
            seen.append((round(start + step * TICK_S, 3), state_of(entry)))
    return seen


@pytest.mark.parametrize(
    ("config", "spec", "late_s", "silent_s"),
    [
        ({}, {}, 1.5, 3.0),
        ({"beats_missed": 4}, {}, 2.0, 4.0),
        ({"silence_floor_s": 8.0}, {}, 4.0, 8.0),
        ({}, {"silence_timeout_s": 20.0}, 10.0, 20.0),
        ({}, {"silence_timeout_s": 1.0}, 1.5, 3.0),  # it only lengthens
    ],
)
def test_late_then_silent(config: dict[str, Any], spec: dict[str, Any], late_s: float, silent_s: float) -> None:
    world = World(**config)
    entry = world.add(**spec)
    world.live(entry)
    seen = changes(world, entry, silent_s + 5)
    assert seen == [
        (0.0, OPEN),
        (near(late_s, abs=TICK_S), LATE),
        (near(silent_s, abs=TICK_S), SILENT),
    ]


def test_agents_are_told_the_silence_they_are_judged_by() -> None:
    for floor_s, timeout_s in ((1.0, 3.0), (8.0, 8.0)):
        world = World(silence_floor_s=floor_s)
        session = world.live(world.add())
        assert frames_of(session, Welcome)[0].timeout_s == timeout_s
        assert frames_of(session, Ack)[0].timeout_s == timeout_s


@pytest.mark.parametrize("silence_s", [2.0, 5.0])
def test_the_next_beat_opens_it_again(silence_s: float) -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    world.pass_time(silence_s)
    assert state_of(entry) == (LATE if silence_s < 3 else SILENT)
    world.beat(session)
    assert state_of(entry) == OPEN
    assert changes(world, entry, 4.0)[1:] == [(1.5, LATE), (3.0, SILENT)], "and its time runs anew"


def test_beats_in_time_make_no_edge_and_hold_one_deadline() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    edges = len(world.edges)
    world.beats(session, 120.0, every_s=1.4)
    assert len(world.edges) == edges
    assert len(world.registry._fleet.deadlines) == 1


def test_one_beat_speaks_for_every_service_of_the_stream() -> None:
    world = World()
    entries = [world.add(service_name=f"s{number}") for number in range(3)]
    session = world.stream("agent", *(ask(entry) for entry in entries))
    world.pass_time(3.5)
    assert [state_of(entry) for entry in entries] == [SILENT] * 3
    session.receive(Detach(service_ids=(entries[2].service_id,)), world.now)
    world.beat(session)
    assert [state_of(entry) for entry in entries] == [OPEN, OPEN, ("STARTING", "AWAITING_BEAT")]


def test_an_attach_is_a_beat_for_the_others_and_other_frames_are_not() -> None:
    world = World()
    first, second = world.add(), world.add(service_name="second")
    session = world.live(first)
    world.pass_time(1.6)
    session.receive(CommandAck(nonce=9), world.now)
    assert state_of(first) == LATE
    world.attach(session, ask(second))
    assert state_of(first) == state_of(second) == OPEN


def test_a_silent_service_stays_on_its_stream_until_it_is_removed() -> None:
    world = World()
    entry = world.add(retention_s=5.0)
    session = world.live(entry)
    (removal, *_) = world.pass_time(8.2)
    world.run(removal)
    assert not session.services
    world.beat(session)
    assert world.found() == []


def test_a_ghost_of_an_old_hello_does_not_make_the_live_stream_late() -> None:
    """The newest stream has nobody behind it; whichever stream beats, speaks."""
    world = World()
    entry = world.add()
    first = ref_of(entry)
    current = world.live(entry, epoch=first.epoch)
    world.beat(current)
    world.pass_time(0.9)
    ghost = world.stream("agent", ask(entry))
    world.pass_time(0.9)
    assert len(entry.streams) == 2
    for _ in range(10):
        world.beat(current)
        world.pass_time(0.9)
        assert state_of(entry) == OPEN
    assert ghost in entry.streams
    world.close(current)
    world.pass_time(2 * TICK_S)
    assert state_of(entry) == SILENT, "what is left has been silent for long"


def test_a_late_service_is_opened_by_any_stream_that_carries_it() -> None:
    world = World()
    entry = world.add()
    old = world.live(entry, epoch=ref_of(entry).epoch)
    new = world.live(entry, epoch=entry.epoch)
    world.pass_time(3.1)
    assert state_of(entry) == SILENT
    world.beat(old)
    assert state_of(entry) == OPEN
    world.beat(new)
    assert state_of(entry) == OPEN
    assert list(entry.streams) == [new]


# The pace.


def fill(world: World, streams: int) -> list[HeartbeatSession]:
    return [world.registry.open_stream(LOCAL, lambda: None) for _ in range(streams)]


def test_the_deadline_follows_the_interval_that_the_agent_was_told_last() -> None:
    world = World(beat_budget=2)
    entry = world.add()
    session = world.live(entry)
    others = fill(world, 8)  # 5 s are assigned from now on, which the agent learns with its next beat
    world.pass_time(1.0)
    assert state_of(entry) == OPEN
    world.beat(session)
    assert frames_of(session, Ack)[-1].interval_s == 5.0
    assert changes(world, entry, 16.0) == [(0.0, OPEN), (7.5, LATE), (15.0, SILENT)]
    world.beat(session)
    for other in others:
        world.close(other)
    assert world.registry._fleet.pace.interval_s == 1.0
    assert changes(world, entry, 7.6)[-1] == (7.5, LATE), "it was told 5 s"


def test_one_told_of_a_shorter_interval_may_send_one_beat_at_the_old_pace() -> None:
    world = World(beat_budget=2)
    entry = world.add()
    others = fill(world, 8)
    session = world.live(entry)
    for other in others:
        world.close(other)
    world.pass_time(5.0)
    world.beat(session)
    assert frames_of(session, Ack)[-1].interval_s == 1.0
    world.beat(session)  # one that had been on its way
    world.pass_time(5.0)
    assert state_of(entry) == OPEN
    world.beat(session)
    assert changes(world, entry, 3.2) == [(0.0, OPEN), (1.5, LATE), (3.0, SILENT)], "from now on it knows"


# Overrides.


def test_a_changed_silence_counts_from_now() -> None:
    world = World()
    entry = world.add(silence_timeout_s=60.0)
    world.live(entry)
    world.pass_time(20.0)
    assert state_of(entry) == OPEN
    world.update(ref_of(entry), ("silence_timeout",), silence_timeout_s=4.0)
    assert changes(world, entry, 5.0) == [(0.0, OPEN), (2.0, LATE), (4.0, SILENT)]


# Stalls of the daemon.


def test_a_stall_of_the_daemon_makes_nobody_late_and_the_dead_are_found_in_time() -> None:
    world = World()
    alive, dead = world.add("alive"), world.add("dead")
    session, _ = world.live(alive), world.live(dead)
    world.clock.advance(300.0)
    world.beat(session)  # was waiting to be read
    world.registry.advance(world.now)
    assert state_of(alive) == state_of(dead) == OPEN
    for _ in range(3):
        world.pass_time(1.0)
        world.beat(session)
        assert state_of(alive) == OPEN
    assert state_of(dead) == SILENT
    health = world.registry.self_health()
    assert (health.stalls, health.credited_s) == (1, near(299.9))


def test_a_ttl_is_credited_with_the_stall_too() -> None:
    from orion_registry.core.model import ServiceStatus
    from tests.building import TTL

    world = World()
    entry = world.add(liveness=TTL, liveness_ttl_s=2.0)
    world.registry.beat(ref_of(entry), None, ServiceStatus.UNSPECIFIED, world.now)
    world.pass_time(1.0)
    world.clock.advance(60.0)
    world.registry.advance(world.now)
    assert state_of(entry) == ("HEALTHY", "BEATING")
    world.pass_time(1.0)
    assert state_of(entry) == SILENT
