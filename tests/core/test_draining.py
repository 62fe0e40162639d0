"""core/draining: who is asked to take nothing new, and when it is safe to stop."""

from typing import Any

import pytest

from orion_registry.core import draining as draining_rules
from orion_registry.core.entry import Entry
from orion_registry.core.events import StatusChanged, events_of
from orion_registry.core.frames import Drain, Goodbye, GoodbyeReason, ServiceBeat
from orion_registry.core.model import Load, ServiceStatus
from orion_registry.core.overlay import OverlayMode
from orion_registry.core.selector import Selector
from orion_registry.core.sessions import HeartbeatSession
from tests.building import OTHER_SECRET, STATIC, TTL, World, ask, frames_of, ref_of, state_of

NONE, DRAIN, MAINTENANCE, _ = OverlayMode


def told(entry: Entry, **load: Any) -> ServiceBeat:
    return ServiceBeat(service_id=entry.service_id, load=Load(**load))


def draining(world: World, deadline_s: float | None = None, **load: Any) -> tuple[Entry, HeartbeatSession]:
    """A live service with some load that is to drain."""
    entry = world.add()
    session = world.live(entry)
    if load:
        world.beat(session, told(entry, **load))
    world.pass_time(0.1)
    world.overlay(entry, DRAIN, deadline_s=deadline_s)
    return entry, session


def worst(entry: Entry) -> str:
    return state_of(entry)[1]


# When it is drained.


@pytest.mark.parametrize("left", [{"in_flight": 1}, {"queue_depth": 1}])
def test_it_is_drained_once_nothing_is_left(left: dict[str, int]) -> None:
    world = World()
    entry, session = draining(world, **left)
    world.beats(session, 5.0)
    assert state_of(entry) == ("STOPPING", "DRAINING")
    world.beat(session, told(entry, in_flight=0))
    world.pass_time(0.1)
    assert state_of(entry) == ("STOPPING", "DRAINED")


def test_what_was_said_before_draining_began_does_not_count() -> None:
    """A call may have been on its way. The next beat counts, whether it tells the load again or not."""
    world = World()
    entry, session = draining(world, in_flight=0, queue_depth=0)
    world.beat(session, told(entry))
    world.overlay(entry, DRAIN)
    world.pass_time(0.5)
    assert worst(entry) == "DRAINING"
    world.beat(session)
    world.pass_time(0.1)
    assert worst(entry) == "DRAINED"


def test_an_agent_that_never_told_its_load_is_waited_for() -> None:
    world = World()
    entry, session = draining(world, deadline_s=3.0)
    world.beats(session, 2.5, every_s=0.5)
    assert worst(entry) == "DRAINING"
    world.beats(session, 1.0, every_s=0.5)
    assert worst(entry) == "DRAINED"


def test_leases_hold_it() -> None:
    world = World()
    leases = {"left": 2}
    world.registry._fleet.leases_left = lambda _: leases["left"]
    entry = world.add(liveness=STATIC)
    world.overlay(entry, DRAIN)
    world.pass_time(60.0)
    assert worst(entry) == "DRAINING"
    assert [row.leases_left for row in world.overlay_rows()] == [2]
    leases["left"] = 0
    world.pass_time(0.1)
    assert worst(entry) == "DRAINED"
    assert [row.drained for row in world.overlay_rows()] == [True]


def test_the_deadline_ends_it_whatever_is_left() -> None:
    world = World()
    entry, session = draining(world, deadline_s=3.0, in_flight=1)
    world.registry._fleet.leases_left = lambda _: 1
    world.beats(session, 2.5, every_s=0.5)
    assert worst(entry) == "DRAINING"
    (row,) = world.overlay_rows()
    assert row.left_s == pytest.approx(0.5)
    world.beats(session, 0.5, every_s=0.5)
    assert worst(entry) == "DRAINED"
    world.beats(session, 1.0, every_s=0.5)
    assert [row.left_s for row in world.overlay_rows()] == [0.0]


def test_where_nobody_is_nothing_is_left() -> None:
    """A static service has no session; a dead one that told last of no work has none any more."""
    world = World()
    static = world.add("s", liveness=STATIC)
    entry, session = draining(world, in_flight=1)
    world.overlay(static, DRAIN)
    world.pass_time(0.1)
    assert (worst(static), worst(entry)) == ("DRAINED", "DRAINING")
    world.beat(session, told(entry, in_flight=0))
    world.close(session)
    world.pass_time(0.1)
    assert [reason.code.name for reason in entry.snapshot.reasons] == ["DISCONNECTED", "DRAINED"]


@pytest.mark.parametrize("load", [{"in_flight": 1}, {}])
def test_the_end_of_a_stream_ends_no_call(load: dict[str, int]) -> None:
    """One whose connection broke, or whose event loop is blocked, works on; one that is gone for long does not."""
    world = World()
    entry, session = draining(world, **load)
    if load:
        world.beat(session, told(entry, **load))
    world.close(session)
    world.pass_time(draining_rules.GONE_S - 0.5)
    assert [reason.code.name for reason in entry.snapshot.reasons] == ["DISCONNECTED", "DRAINING"]
    world.pass_time(0.6)
    assert [reason.code.name for reason in entry.snapshot.reasons] == ["DISCONNECTED", "DRAINED"]


def test_one_that_comes_back_busy_is_not_drained_any_more() -> None:
    world = World()
    entry, session = draining(world, in_flight=3)
    world.close(session)
    world.pass_time(draining_rules.GONE_S + 0.1)
    assert worst(entry) == "DISCONNECTED"
    again = world.live(entry)
    (drain,) = frames_of(again, Drain)
    assert drain.service_ids == (entry.service_id,)
    world.beat(again, told(entry, in_flight=3))
    world.pass_time(0.1)
    assert state_of(entry) == ("STOPPING", "DRAINING")
    world.beat(again, told(entry, in_flight=0))
    world.pass_time(0.1)
    assert state_of(entry) == ("STOPPING", "DRAINED")


def test_what_an_earlier_process_told_says_nothing_of_this_one() -> None:
    world = World()
    entry, session = draining(world, in_flight=1)
    world.pass_time(0.1)
    world.beat(session, told(entry, in_flight=0))
    world.pass_time(0.1)
    assert worst(entry) == "DRAINED"
    world.close(session)
    world.beats(world.live(entry), 2.0)
    assert worst(entry) == "DRAINING", "the new process has not told of its load"


def test_many_are_judged_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining_rules, "JUDGED_AT_ONCE", 2)
    world = World()
    entries = [world.add(f"s-{number}", liveness=STATIC) for number in range(5)]
    world.overlay(Selector(), DRAIN)
    done = []
    for _ in range(3):
        world.registry.advance(world.now)
        done.append(sum(worst(entry) == "DRAINED" for entry in entries))
    assert done == [2, 4, 5]


def test_one_that_is_about_to_return_is_waited_for() -> None:
    world = World()
    entry, session = draining(world, in_flight=1)
    session.receive(Goodbye(reason=GoodbyeReason.MOVING), world.now)
    world.pass_time(1.0)
    assert [reason.code.name for reason in entry.snapshot.reasons] == ["DRAINING", "RECONNECT_GRACE"]


def test_unary_beats_count_as_well() -> None:
    world = World()
    entry = world.add(liveness=TTL)
    world.registry.beat(ref_of(entry), Load(in_flight=1), ServiceStatus.UNSPECIFIED, world.now)
    world.overlay(entry, DRAIN)
    world.pass_time(0.1)
    assert worst(entry) == "DRAINING"
    world.registry.beat(ref_of(entry), Load(), ServiceStatus.UNSPECIFIED, world.now)
    world.pass_time(0.1)
    assert worst(entry) == "DRAINED"


# What does not undo it, and what does.


def test_drained_is_said_while_it_is_true() -> None:
    world = World()
    entry, session = draining(world, in_flight=0, queue_depth=1)
    world.pass_time(0.1)
    world.beat(session, told(entry))
    world.pass_time(0.1)
    world.overlay(entry, weight=2.0)
    world.pass_time(0.5)
    assert worst(entry) == "DRAINED"
    world.beat(session, told(entry, in_flight=3))
    world.pass_time(0.1)
    assert worst(entry) == "DRAINING"
    world.overlay(entry, MAINTENANCE)
    world.overlay(entry, DRAIN)
    assert worst(entry) == "DRAINING"
    world.overlay(entry, NONE)
    world.beat(session, told(entry))
    world.pass_time(0.1)
    assert worst(entry) == "STREAM_OPEN"


def test_setting_the_weight_gives_no_more_time() -> None:
    world = World()
    entry, session = draining(world, deadline_s=3.0, in_flight=1)
    world.beats(session, 2.0)
    world.overlay(entry, weight=2.0)
    world.beats(session, 1.0)
    assert worst(entry) == "DRAINED"


def test_setting_it_again_gives_the_whole_time_again() -> None:
    world = World()
    entry, session = draining(world, deadline_s=3.0, in_flight=1)
    world.beats(session, 2.0)
    world.overlay(entry, DRAIN, deadline_s=3.0)
    world.beats(session, 2.0)
    assert worst(entry) == "DRAINING"


def test_a_restart_gives_the_whole_time_again_and_judges_anew() -> None:
    world = World()
    entry, session = draining(world, deadline_s=20.0, in_flight=1)
    world.pass_time(0.1)
    world.beat(session, told(entry))
    world.beats(session, 19.0)
    assert worst(entry) == "DRAINED"
    after = world.restart()
    there = after.registry.get(entry.service_id)
    after.pass_time(5.0)
    assert [reason.code.name for reason in there.snapshot.reasons] == ["DRAINING", "RESTORED"]
    after.pass_time(15.0)
    assert [reason.code.name for reason in there.snapshot.reasons] == ["NOT_SEEN", "DRAINED"]


def test_one_that_is_removed_is_not_judged() -> None:
    world = World()
    entry, _ = draining(world, in_flight=1)
    world.remove(entry.service_id)
    assert world.registry._fleet.overlays.draining == {}
    world.edges.clear()
    world.pass_time(1.0)
    assert world.edges == []


# Who is asked.


def test_every_stream_is_asked_once_for_all_its_services() -> None:
    world = World()
    one, two = world.add(service_name="one"), world.add(service_name="two")
    session = world.stream("agent", ask(one), ask(two))
    world.beat(session)
    ghost = world.stream("agent", ask(one))
    world.overlay(Selector(), DRAIN, deadline_s=7.0)
    (drain,) = frames_of(session, Drain)
    assert (set(drain.service_ids), drain.deadline_s) == ({one.service_id, two.service_id}, 7.0)
    assert [frame.service_ids for frame in frames_of(ghost, Drain)] == [(one.service_id,)]
    world.overlay(Selector(), weight=2.0)
    assert len(frames_of(session, Drain)) == 1


def test_who_comes_while_it_is_to_drain_is_asked_with_the_time_that_is_left() -> None:
    world = World()
    entry, session = draining(world, deadline_s=10.0, in_flight=1)
    other = world.add("other")
    assert frames_of(world.stream("other", ask(other)), Drain) == []
    world.beats(session, 4.0)
    again = world.stream("agent", ask(entry), ask(entry))
    (drain,) = frames_of(again, Drain)
    assert drain.service_ids == (entry.service_id,)
    assert drain.deadline_s == pytest.approx(6.0)
    world.overlay(entry, NONE)
    assert frames_of(world.stream("agent", ask(entry)), Drain) == []


def test_one_that_is_refused_is_asked_nothing() -> None:
    world = World()
    entry, _ = draining(world)
    assert frames_of(world.stream("agent", ask(entry, OTHER_SECRET)), Drain) == []


def test_a_refused_attach_of_one_on_the_stream_asks_nothing() -> None:
    """It changes nothing, so it is charged for nothing: it must cost nothing."""
    world = World()
    entry, session = draining(world)
    world.attach(session, ask(entry, OTHER_SECRET))
    assert len(frames_of(session, Drain)) == 1


def test_an_agent_that_acknowledges_nothing_holds_no_more_and_more() -> None:
    world = World()
    entry, session = draining(world)
    for _ in range(1_500):
        session.drain((entry.service_id,), None)
    assert len(session.pending_commands) == 1_000


def test_other_modes_ask_nobody() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    world.overlay(entry, MAINTENANCE)
    assert frames_of(session, Drain) == []


# Events.


def test_becoming_drained_is_told() -> None:
    """Status and readiness stay as they are, and yet it is what everybody waits for."""
    world = World()
    entry, session = draining(world, in_flight=1)
    world.pass_time(0.1)
    world.beat(session, told(entry))
    world.edges.clear()
    world.pass_time(0.1)
    (event,) = [event for edge in world.edges for event in events_of(edge)]
    assert isinstance(event, StatusChanged)
    assert [code.name for code in event.reasons] == ["DRAINED", "STREAM_OPEN"]
    world.edges.clear()
    world.overlay(entry, weight=3.0)
    assert [event for edge in world.edges for event in events_of(edge)] == []
