"""core/admission: never more than the rate, a turn for everybody else, and nobody dies of waiting for it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orion_registry.core.admission import WAIT_MOST_S, TokenBucket
from orion_registry.core.frames import Sessions, Welcome
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.errors import Reason, ResourceExhausted
from tests.building import OTHER_SECRET, SECRET, World, ask, frames_of, state_of


def test_a_burst_comes_in_and_the_rest_gets_turns_at_the_rate() -> None:
    bucket = TokenBucket(10.0, 20.0)
    waits = [bucket.take(100.0) for _ in range(25)]
    assert waits == pytest.approx([0.0] * 20 + [0.1, 0.2, 0.3, 0.4, 0.5])
    assert [bucket.take(100.1), bucket.take(100.2)] == [0.0, 0.0], "whoever comes at the turn finds a token"


def test_nobody_waits_longer_than_half_a_minute_and_turns_stay_spread() -> None:
    bucket = TokenBucket(10.0, 1.0)
    waits = [bucket.take(100.0) for _ in range(2_000)][1:]
    assert max(waits) <= WAIT_MOST_S
    per_second = [sum(second < wait <= second + 1 for wait in waits) for second in range(30)]
    assert max(per_second) <= 1.2 * min(per_second), "no second gets a herd"


def test_a_rate_below_one_still_lets_one_in() -> None:
    bucket = TokenBucket(0.1, 0.1)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == pytest.approx(10.0)
    assert bucket.take(10.0) == 0.0


@settings(max_examples=200)
@given(
    st.sampled_from([1.0, 7.0, 500.0]),
    st.sampled_from([1.0, 3.0, 40.0]),
    st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.01, 0.3, 5.0, -0.2]), max_size=150),
)
def test_never_more_than_the_rate(rate: float, burst: float, gaps: list[float]) -> None:
    """In every span of time, however calls are spread, and though judged time may step back."""
    bucket, mono, seen, admitted = TokenBucket(rate, burst), 1_000.0, 0.0, []
    for gap in gaps:
        mono += gap
        seen = max(seen, mono)
        wait_s = bucket.take(mono)
        assert 0.0 <= wait_s <= WAIT_MOST_S
        if not wait_s:
            admitted.append(seen)
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - start) + 1e-5


# In the registry.


def refusal(session: HeartbeatSession) -> ResourceExhausted:
    assert isinstance(session.end, ResourceExhausted)
    assert session.end.reason is Reason.RATE_LIMITED
    return session.end


def test_a_hello_beyond_the_rate_is_told_its_turn_and_its_stream_ends() -> None:
    world = World(admission_rate=1.0)
    entries = [world.add(f"agent-{number}") for number in range(5)]
    streams = [world.stream(entry.spec.agent_id, ask(entry)) for entry in entries]
    assert [stream.ended for stream in streams] == [False, False, True, True, True]
    assert [refusal(stream).retry_after_s for stream in streams[2:]] == pytest.approx([1.0, 2.0, 3.0])
    assert not frames_of(streams[2], Welcome)
    assert not frames_of(streams[2], Sessions)
    assert entries[2].epoch == 3, "none was given"
    assert world.registry.refused_hellos == 3
    for stream in streams:
        world.close(stream)
    world.pass_time(1.0)
    world.live(entries[2])
    assert state_of(entries[2]) == ("HEALTHY", "STREAM_OPEN")


def test_a_hello_that_is_wrong_takes_no_turn() -> None:
    world = World(admission_rate=1.0)
    for _ in range(10):
        assert world.stream("no agent!").ended
    assert not world.stream("agent").ended
    assert world.registry.refused_hellos == 0


@pytest.mark.parametrize("secret_is_right", [True, False])
def test_whoever_was_told_to_wait_gets_that_on_top(secret_is_right: bool) -> None:
    restored_s = 21.0 + 5.0  # 21 services, one a second, and 5 s
    world = World()
    entry = world.add()
    world.live(entry)
    others = [world.add(f"crowd-{number}") for number in range(20)]
    after = world.restart(admission_rate=1.0)
    restored = after.registry.get(entry.service_id)
    after.pass_time(restored_s - 1.0)
    for other in others:
        after.stream(other.spec.agent_id, ask(after.registry.get(other.service_id)))
        after.stream("crowd")
    nobody = ask(entry, epoch=10**9)
    secret = SECRET if secret_is_right else OTHER_SECRET
    away = after.stream("agent", ask(restored, secret), nobody)
    wait_s = refusal(away).retry_after_s or 0.0
    assert not secret_is_right or wait_s == pytest.approx(19.0)
    after.pass_time(1.5)
    if not secret_is_right:
        assert state_of(restored) == ("UNHEALTHY", "NOT_SEEN")
        return
    after.pass_time(wait_s + 6.0 - 1.5 - 0.2)
    assert state_of(restored) == ("UNKNOWN", "RESTORED")
    after.pass_time(0.3)
    assert state_of(restored) == ("UNHEALTHY", "NOT_SEEN")


def test_waiting_brings_nobody_back_who_is_dead_nor_those_of_another_agent() -> None:
    world = World(admission_rate=1.0)
    dead, foreign = world.add(), world.add("other")
    world.close(world.live(dead))
    world.close(world.live(world.add("third")))
    deadline = foreign.deadline
    away = world.stream("agent", ask(dead), ask(foreign), ask(dead, epoch=5))
    assert refusal(away).retry_after_s
    assert state_of(dead) == ("UNHEALTHY", "DISCONNECTED")
    assert foreign.deadline == deadline


def test_hellos_for_nothing_keep_no_agent_out() -> None:
    """Whoever may act for no service comes in by a smaller door, and finds it closed all the sooner."""
    world = World(admission_rate=10.0)
    entries = [world.add(f"agent-{number}") for number in range(20)]
    crowd = [world.stream("crowd") for _ in range(50)]
    crowd += [world.stream("agent-0", ask(entries[0], OTHER_SECRET)), world.stream("agent-0", ask(entries[1]))]
    assert [stream.ended for stream in crowd].count(False) == 4, "2 a second"
    for entry in entries:
        world.live(entry)
        assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")


def test_registrations_have_a_door_of_their_own() -> None:
    world = World(registration_rate=3.0, admission_rate=1.0)
    for number in range(3):
        world.add(f"agent-{number}")
    with pytest.raises(ResourceExhausted) as caught:
        world.add("one-more")
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after_s == pytest.approx(1 / 3)
    assert caught.value.message == "more registrations a second than this registry takes; your turn is in 0.3 s"
    assert not world.stream("agent").ended
    world.pass_time(0.4)
    world.add("one-more")


def test_a_restart_of_a_big_fleet_lets_all_in_before_anybody_is_given_up() -> None:
    """Agents come at once, honour the turn that they are told, and come again."""
    world = World(admission_rate=1_000_000.0, beat_budget=1_000_000.0)
    for number in range(600):
        world.add(f"agent-{number}")
    after = world.restart(admission_rate=20.0)
    entries = [after.registry.get(entry_id) for entry_id in after.found()]
    due = {entry.service_id: after.now.mono for entry in entries}
    sessions = []
    for _ in range(600):
        for entry in entries:
            if due.get(entry.service_id, 1e9) <= after.now.mono:
                session = after.stream(entry.spec.agent_id, ask(entry))
                if session.ended:
                    due[entry.service_id] = after.now.mono + (refusal(session).retry_after_s or 0.0)
                else:
                    del due[entry.service_id]
                    sessions.append(session)
        after.pass_time(0.1)
        if not due:
            break
        for session in sessions:
            after.beat(session)
    assert not due
    assert not any(edge.after and edge.after.status.name == "UNHEALTHY" for edge in after.edges)
