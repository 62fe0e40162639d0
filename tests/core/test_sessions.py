"""core/sessions: one stream as a pure object; old handlers, delayed hellos and lost welcomes harm nobody."""

import pytest

from orion_registry.core import limits
from orion_registry.core.authority import EPOCHS_KEPT
from orion_registry.core.entry import Entry
from orion_registry.core.frames import (
    Ack,
    AgentFrame,
    Attach,
    Beat,
    CommandAck,
    Detach,
    Drain,
    GoAway,
    GoAwayReason,
    Goodbye,
    GoodbyeReason,
    Hello,
    Lost,
    LostReason,
    ServiceBeat,
    SessionRequest,
    SessionResult,
    Welcome,
)
from orion_registry.core.model import Load, ServiceStatus, SessionRef, StatusReasonCode
from orion_registry.core.sessions import CHANGES_AT_ONCE, CHANGES_PER_S, CHANGES_RETRY_S, HeartbeatSession
from orion_registry.errors import Reason, ResourceExhausted
from tests.building import (
    LOCAL,
    OTHER_SECRET,
    STATIC,
    TTL,
    World,
    ask,
    frames_of,
    last_sessions,
    ref_of,
    state_of,
)

NEWS = ServiceStatus


def result_of(session: HeartbeatSession) -> SessionResult:
    return last_sessions(session).results[-1]


def refusal(session: HeartbeatSession) -> Reason:
    error = result_of(session).error
    assert error is not None
    return error.reason


# Hello.


def test_hello_is_the_first_sign_of_life() -> None:
    world = World()
    entry = world.add()
    session = world.stream("agent", ask(entry))
    assert isinstance(session.outbox[0], Welcome)
    assert (session.outbox[0].interval_s, session.outbox[0].timeout_s) == (1.0, 3.0)
    result = result_of(session)
    assert (result.service_id, result.epoch, result.error) == (entry.service_id, 2, None)
    assert (result.previous_status, result.previous_reason) == (NEWS.STARTING, StatusReasonCode.AWAITING_BEAT)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")
    assert entry.snapshot.epoch == entry.epoch == 2
    assert entry.last_beat_wall == world.now.wall


def test_hello_brings_load_and_self_status_and_is_never_ready_in_between() -> None:
    world = World()
    entry = world.add()
    request = SessionRequest(ref=ref_of(entry), load=Load(in_flight=3), self_status=NEWS.STARTING)
    world.stream("agent", request)
    assert entry.load == Load(in_flight=3)
    assert state_of(entry) == ("STARTING", "SELF_REPORTED")
    assert not any(edge.after and edge.after.ready for edge in world.edges)
    world.stream("agent", ask(entry))
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN"), "unset clears the last self-report"


def test_a_bad_service_is_refused_alone() -> None:
    world = World()
    mine, foreign = world.add("agent"), world.add("other")
    ttl = world.add(service_name="ttl", liveness=TTL)
    static = world.add(service_name="static", liveness=STATIC)
    nobody = SessionRequest(ref=SessionRef(service_id="nobody", epoch=0, secret=""))
    session = world.stream(
        "agent", ask(foreign), nobody, ask(ttl), ask(static), ask(mine, OTHER_SECRET), ask(mine, epoch=99), ask(mine)
    )
    errors = [result.error and result.error.reason for result in last_sessions(session).results]
    assert errors == [
        Reason.NOT_OWNER,
        Reason.NO_SUCH_SERVICE,
        Reason.WRONG_MODE,
        Reason.WRONG_MODE,
        Reason.WRONG_SECRET,
        Reason.BAD_FIELD,
        None,
    ]
    assert list(session.services) == [mine.service_id]
    assert not session.ended


def test_a_stale_hello_is_refused() -> None:
    world = World()
    entry = world.add()
    world.live(entry)
    late = world.live(entry, epoch=1)
    assert refusal(late) is Reason.STALE_EPOCH
    assert len(entry.streams) == 1


def test_a_lost_welcome_locks_nobody_out() -> None:
    """The agent never learned its epoch, so it comes again with the one it knows, any number of times."""
    world = World(probation_s=0.0)
    entry = world.add()
    known = ref_of(entry)
    for _ in range(5):
        world.close(world.live(entry, epoch=known.epoch))
        assert state_of(entry) == ("UNHEALTHY", "DISCONNECTED")
    back = world.live(entry, epoch=known.epoch)
    world.beat(back)
    assert entry.used_epoch == entry.epoch
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")


def test_a_delayed_old_hello_fences_nobody_off() -> None:
    world = World()
    entry = world.add()
    first = ref_of(entry)
    current = world.live(entry, epoch=first.epoch)
    held = entry.epoch
    late = world.live(entry, epoch=first.epoch)  # sent before, arrives now; nobody is behind it
    assert entry.epoch > held
    world.beat(current)
    assert list(current.services) == [entry.service_id]
    world.registry.report_status(ref_of(entry, epoch=held), NEWS.HEALTHY, world.now)
    world.close(late)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")
    assert not current.ended


def test_the_first_beat_fences_older_streams_off() -> None:
    world = World()
    entry = world.add()
    old = world.live(entry)
    new = world.live(entry, epoch=entry.epoch)
    assert not old.ended
    world.beat(new)
    assert old.end is not None
    assert old.end.reason is Reason.SUPERSEDED
    assert frames_of(old, Lost)[0].reason is LostReason.SUPERSEDED
    world.close(old)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN"), "late clean-up changes nothing"
    assert world.edges[-1].after is entry.snapshot


def test_an_older_stream_takes_over_when_the_newer_one_ends() -> None:
    world = World()
    entry = world.add()
    old = world.live(entry)
    new = world.live(entry, epoch=entry.epoch)
    world.close(new)
    world.clock.advance(1)
    world.beat(old)
    assert entry.last_beat_wall == world.now.wall, "its beats count again"


def test_attaching_again_on_the_same_stream_supersedes_nobody() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    elsewhere = world.live(entry, epoch=entry.epoch)
    newest = entry.epoch
    world.close(elsewhere)
    world.attach(session, ask(entry, epoch=newest))
    assert not session.ended
    assert entry.streams == {session: entry.epoch}
    assert entry.epoch > newest


def test_hellos_stop_before_epochs_run_out() -> None:
    world = World(epoch_block=16_384)
    entry = world.add()
    epochs = world.registry._fleet.epochs
    while epochs.left > EPOCHS_KEPT:
        epochs.take()
    assert refusal(world.live(entry, epoch=1)) is Reason.STORE_DOWN
    assert state_of(entry) == ("STARTING", "AWAITING_BEAT")


# Beats.


def test_a_beat_counts_for_all_services_of_the_stream() -> None:
    world = World()
    entries = [world.add(service_name=name) for name in ("x", "y")]
    session = world.stream("agent", *(ask(entry) for entry in entries))
    world.clock.advance(1)
    world.beat(session, ServiceBeat(service_id=entries[0].service_id, load=Load(in_flight=1)))
    assert [entry.last_beat_wall for entry in entries] == [world.now.wall] * 2
    assert [entry.load for entry in entries] == [Load(in_flight=1), None]


def test_a_beat_without_news_makes_no_edge() -> None:
    world = World()
    session = world.live(world.add())
    before = len(world.edges)
    for seq in range(100):
        world.pass_time(1)
        world.beat(session, seq=seq)
    assert len(world.edges) == before
    assert len(world.registry._fleet.deadlines) <= 1


def test_beats_are_acked_first_then_every_tenth_and_when_the_pace_changes() -> None:
    world = World(beat_budget=2)
    session = world.live(world.add())
    session.outbox.clear()
    for seq in range(2, 25):
        world.beat(session, seq=seq)
    assert [ack.seq for ack in frames_of(session, Ack)] == [11, 21]
    others = [world.registry.open_stream(LOCAL, lambda: None) for _ in range(3)]
    session.outbox.clear()
    world.beat(session, seq=30)
    assert frames_of(session, Ack) == [Ack(seq=30, interval_s=2.0, timeout_s=6.0)]
    world.beat(session, seq=31)
    assert len(frames_of(session, Ack)) == 1
    for other in others:
        world.close(other)
    world.beat(session, seq=32)
    assert frames_of(session, Ack)[-1].interval_s == 1.0


def test_a_beat_reports_and_clears_a_self_status() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    for status, expected in [
        (NEWS.STARTING, ("STARTING", "SELF_REPORTED")),
        (NEWS.UNSPECIFIED, ("STARTING", "SELF_REPORTED")),  # no news
        (NEWS.UNHEALTHY, ("UNHEALTHY", "SELF_REPORTED")),
        (NEWS.HEALTHY, ("HEALTHY", "STREAM_OPEN")),
    ]:
        world.beat(session, ServiceBeat(service_id=entry.service_id, self_status=status))
        assert state_of(entry) == expected


def test_news_of_a_service_that_was_lost_on_the_way_is_ignored() -> None:
    world = World()
    session = world.live(world.add())
    foreign = world.add("other")
    world.beat(session, ServiceBeat(service_id=foreign.service_id, load=Load(in_flight=9)))
    assert foreign.load is None
    assert not session.ended


# Attach, detach.


def test_attach_and_detach() -> None:
    world = World()
    first, second = world.add(), world.add(service_name="second")
    session = world.live(first)
    world.attach(session, ask(second))
    assert set(session.services) == {first.service_id, second.service_id}
    session.receive(Detach(service_ids=(first.service_id, "nobody")), world.now)
    assert list(session.services) == [second.service_id]
    assert state_of(first) == ("STARTING", "AWAITING_BEAT")
    assert not first.streams
    world.beats(session, 10)
    assert state_of(first) == ("UNHEALTHY", "NOT_SEEN")
    assert state_of(second) == ("HEALTHY", "STREAM_OPEN")


def test_one_stream_carries_a_bounded_number_of_services() -> None:
    world = World()
    entries = [world.add(service_name=f"s{number}") for number in range(limits.SESSIONS + 1)]
    session = world.stream("agent", *(ask(entry) for entry in entries[:-1]))
    world.attach(session, ask(entries[-1]))
    assert refusal(session) is Reason.TOO_LARGE
    world.attach(session, ask(entries[0]))
    assert result_of(session).error is None, "one that it carries already may attach again"


def test_attaching_over_and_over_takes_no_memory() -> None:
    world = World()
    entry = world.add()
    session = world.stream("agent")
    for _ in range(100):
        world.attach(session, ask(entry))
    assert len(session._unused) == 1
    session.receive(Detach(service_ids=(entry.service_id,)), world.now)
    assert not session._unused


def test_a_removed_service_leaves_the_stream() -> None:
    world = World()
    entry = world.add()
    session = world.stream("agent", ask(entry))
    world.remove(entry.service_id)
    assert frames_of(session, Lost) == [Lost(service_id=entry.service_id, reason=LostReason.REMOVED)]
    assert not session.ended, "the agent may attach others"
    assert not session._unused


# The end.


def test_a_stream_that_ends_without_goodbye_is_a_crash() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    world.close(session)
    assert state_of(entry) == ("UNHEALTHY", "DISCONNECTED")
    assert not entry.streams


def test_moving_gets_a_grace() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    session.receive(Goodbye(reason=GoodbyeReason.MOVING), world.now)
    assert state_of(entry) == ("UNKNOWN", "RECONNECT_GRACE")
    world.close(session)
    world.pass_time(6.4)
    assert state_of(entry) == ("UNKNOWN", "RECONNECT_GRACE")
    world.pass_time(0.1)
    assert state_of(entry) == ("UNHEALTHY", "NOT_SEEN")


def test_go_away_gets_a_grace_too() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    session.go_away(GoAway(reason=GoAwayReason.REBALANCE, reconnect_after_s=0.5))
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")
    world.close(session)
    assert state_of(entry) == ("UNKNOWN", "RECONNECT_GRACE")


def test_stopping_is_not_ready_at_once() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    session.receive(Goodbye(reason=GoodbyeReason.STOPPING), world.now)
    assert state_of(entry) == ("STOPPING", "SELF_REPORTED")
    assert list(session.services) == [entry.service_id], "the shell unregisters these"
    world.close(session)
    assert entry.liveness.code is StatusReasonCode.AWAITING_BEAT


def test_stopping_of_an_old_stream_says_nothing_of_a_newer_session() -> None:
    world = World()
    entry = world.add()
    old = world.live(entry)
    world.live(entry, epoch=entry.epoch)
    old.receive(Goodbye(reason=GoodbyeReason.STOPPING), world.now)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")


def test_after_goodbye_nothing_is_heard() -> None:
    world = World()
    session = world.live(world.add())
    session.receive(Goodbye(reason=GoodbyeReason.STOPPING), world.now)
    before = len(session.outbox)
    world.beat(session)
    session.receive(Goodbye(reason=GoodbyeReason.MOVING), world.now)
    assert session.goodbye is GoodbyeReason.STOPPING
    assert len(session.outbox) == before


def test_ends_that_the_registry_caused_say_nothing() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    world.registry.stop_judging()
    world.close(session)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")


def test_the_first_reason_to_end_stands_and_wakes_the_shell() -> None:
    world, woken = World(), []
    session = world.registry.open_stream(LOCAL, lambda: woken.append(1))
    session.finish(None)
    session.receive(Beat(seq=1), world.now)
    session.finish(None)
    assert (session.ended, session.end, len(woken)) == (True, None, 1)


# Commands.


def test_drain_is_sent_and_acked() -> None:
    world = World()
    session = world.live(world.add())
    session.drain((), 5.0)
    (drain,) = frames_of(session, Drain)
    assert (drain.nonce, drain.deadline_s) == (1, 5.0)
    assert session.pending_commands == {1}
    session.receive(CommandAck(nonce=7), world.now)
    session.receive(CommandAck(nonce=1), world.now)
    assert not session.pending_commands


# What breaks the protocol or a limit ends the stream, and nothing of it is applied.

MANY = limits.SESSIONS + 1
NOBODY = SessionRequest(ref=SessionRef(service_id="s", epoch=0, secret=""))

BAD_FIRST: list[tuple[AgentFrame, Reason]] = [
    (Beat(seq=1), Reason.WRONG_MODE),
    (Attach(sessions=()), Reason.WRONG_MODE),
    (Goodbye(reason=GoodbyeReason.MOVING), Reason.WRONG_MODE),
    (Hello(agent_id=""), Reason.BAD_FIELD),
    (Hello(agent_id="a", instance_id="i" * 129), Reason.BAD_FIELD),
    (Hello(agent_id="a", sdk="\n"), Reason.BAD_FIELD),
    (Hello(agent_id="a", features=("",)), Reason.BAD_FIELD),
    (Hello(agent_id="a", sessions=(NOBODY,) * MANY), Reason.BAD_FIELD),
]
BAD_LATER: list[tuple[AgentFrame, Reason]] = [
    (Hello(agent_id="agent"), Reason.WRONG_MODE),
    (Beat(seq=-1), Reason.BAD_FIELD),
    (Beat(seq=1, services=(ServiceBeat(service_id="s"),) * MANY), Reason.BAD_FIELD),
    (Beat(seq=1, services=(ServiceBeat(service_id="s", load=Load(in_flight=-1)),)), Reason.BAD_FIELD),
    (Attach(sessions=(NOBODY,) * MANY), Reason.BAD_FIELD),
    (
        Attach(sessions=(SessionRequest(ref=NOBODY.ref, load=Load(utilization=float("nan"))),)),
        Reason.BAD_FIELD,
    ),
    (Detach(service_ids=("s",) * MANY), Reason.BAD_FIELD),
]


@pytest.mark.parametrize(("frame", "reason"), BAD_FIRST, ids=lambda case: str(case)[:40])
def test_bad_first_frames(frame: AgentFrame, reason: Reason) -> None:
    world = World()
    session = world.registry.open_stream(LOCAL, lambda: None)
    session.receive(frame, world.now)
    assert session.ended
    assert session.end is not None
    assert session.end.reason is reason
    assert not session.outbox
    assert session.agent_id == ""


@pytest.mark.parametrize(("frame", "reason"), BAD_LATER, ids=lambda case: str(case)[:40])
def test_bad_later_frames(frame: AgentFrame, reason: Reason) -> None:
    world = World()
    entry: Entry = world.add()
    session = world.live(entry)
    revision = world.registry.revision
    session.receive(frame, world.now)
    assert session.end is not None
    assert session.end.reason is reason
    assert world.registry.revision == revision


def test_a_stream_that_changes_its_services_with_every_beat_ends() -> None:
    """All may change at once, now and then; each change goes to watchers, history and log."""
    world = World()
    entry = world.add()
    session = world.live(entry)
    beats = 0
    while not session.ended:
        status = NEWS.UNHEALTHY if beats % 2 else NEWS.STARTING
        session.receive(
            Beat(seq=beats, services=(ServiceBeat(service_id=entry.service_id, self_status=status),)), world.now
        )
        beats += 1
    assert CHANGES_AT_ONCE <= beats <= CHANGES_AT_ONCE + 2
    assert isinstance(session.end, ResourceExhausted)
    assert (session.end.reason, session.end.retry_after_s) == (Reason.RATE_LIMITED, CHANGES_RETRY_S)
    slow = world.live(entry)
    for number in range(3 * int(CHANGES_AT_ONCE)):
        world.clock.advance(1.0 / CHANGES_PER_S)
        status = NEWS.UNHEALTHY if number % 2 else NEWS.STARTING
        slow.receive(Beat(seq=1, services=(ServiceBeat(service_id=entry.service_id, self_status=status),)), world.now)
    assert not slow.ended


def test_nor_may_it_take_its_services_on_and_off_without_end() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    for _ in range(int(CHANGES_AT_ONCE)):
        session.receive(Detach(service_ids=(entry.service_id,)), world.now)
        session.receive(Attach(sessions=(SessionRequest(ref=ref_of(entry)),)), world.now)
    assert isinstance(session.end, ResourceExhausted)
