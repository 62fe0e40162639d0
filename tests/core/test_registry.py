"""core/registry: the front door. What is acknowledged is there; what time and silence do; what a restart keeps."""

from dataclasses import replace

import pytest

from orion_registry.core.commands import Remove, Removed, Unregister
from orion_registry.core.facts import ReserveEpochs
from orion_registry.core.frames import Lost, LostReason
from orion_registry.core.model import Load, RemovalReason, ServiceStatus
from orion_registry.core.registry import REMOVAL_RETRY_S
from orion_registry.core.selector import Selector
from orion_registry.core.watching import WatchKind
from orion_registry.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Reason
from tests.building import (
    ALL,
    LOCAL,
    OTHER_SECRET,
    SECRET,
    STATIC,
    STREAM,
    TTL,
    World,
    ask,
    frames_of,
    make_spec,
    ref_of,
    state_of,
)

UNSPECIFIED = ServiceStatus.UNSPECIFIED


# Reads.


def test_get_and_len() -> None:
    world = World()
    entry = world.add()
    assert world.registry.get(entry.service_id) is entry
    assert len(world.registry) == 1
    with pytest.raises(NotFound, match="'nobody'"):
        world.registry.get("nobody")


def test_discover_answers_the_ready_unless_asked() -> None:
    world = World()
    ready, waiting = world.add("a", liveness=STATIC), world.add("b")
    assert world.found(Selector()) == [ready.service_id]
    assert world.found(ALL) == [ready.service_id, waiting.service_id]
    assert world.found(Selector(statuses=frozenset({ServiceStatus.STARTING}))) == [waiting.service_id]
    with pytest.raises(InvalidArgument):
        world.found(Selector(namespace=""))


# Registering.


def test_a_dead_service_that_is_registered_with_its_secret_is_awaited_again() -> None:
    world = World()
    entry = world.add()
    world.close(world.live(entry))
    world.register()
    assert state_of(entry) == ("STARTING", "AWAITING_BEAT")
    assert world.pass_time(59) == []
    assert state_of(entry) == ("UNHEALTHY", "NOT_SEEN")


@pytest.mark.parametrize("mode", [TTL, STATIC])
def test_another_liveness_mode_is_another_life(mode: object) -> None:
    world = World()
    entry = world.add()
    session, epoch = world.live(entry), entry.epoch
    world.register(liveness=mode)
    assert entry.epoch > epoch
    assert frames_of(session, Lost)[0].reason is LostReason.SUPERSEDED
    assert session.end is not None
    assert session.end.reason is Reason.SUPERSEDED
    assert state_of(entry)[1] == ("STATIC" if mode is STATIC else "AWAITING_BEAT")
    world.close(session)
    assert state_of(entry)[1] == ("STATIC" if mode is STATIC else "AWAITING_BEAT")
    with pytest.raises(FailedPrecondition, match="stale"):
        world.run(Unregister(ref=ref_of(entry, epoch=epoch)))
    after = world.restart()
    with pytest.raises(FailedPrecondition, match="stale"):
        after.run(Unregister(ref=ref_of(entry, epoch=epoch)))


def test_a_takeover_forgets_load_beat_and_self_report() -> None:
    world = World()
    entry = world.add(liveness=TTL)
    world.registry.beat(ref_of(entry), Load(in_flight=4), ServiceStatus.UNHEALTHY, world.now)
    world.register(liveness=TTL, secret=OTHER_SECRET, takeover=True)
    assert (entry.load, entry.last_beat_wall, entry.self_report) == (None, None, UNSPECIFIED)
    assert state_of(entry) == ("STARTING", "AWAITING_BEAT")


def test_a_takeover_leaves_the_other_services_of_the_stream() -> None:
    world = World()
    taken, kept = world.add(), world.add(service_name="kept")
    session = world.stream("agent", ask(taken), ask(kept))
    world.register(secret=OTHER_SECRET, takeover=True)
    assert list(session.services) == [kept.service_id]
    assert not session.ended


# Removing.


def test_unregister_tells_the_stream() -> None:
    world = World()
    entry = world.add()
    session = world.live(entry)
    result = world.run(Unregister(ref=ref_of(entry)))
    assert result == Removed(revision=world.registry.revision)
    assert frames_of(session, Lost)[0].reason is LostReason.UNREGISTERED
    assert not session.ended
    assert world.edges[-1].removal is RemovalReason.UNREGISTERED
    with pytest.raises(NotFound):
        world.run(Unregister(ref=ref_of(entry)))


# Updates.


def test_an_update_of_the_ttl_counts_at_once() -> None:
    """Else a service that told of slower beats would be taken for dead at its old pace."""
    world = World()
    entry = world.add(liveness=TTL, liveness_ttl_s=1.0)
    world.registry.beat(ref_of(entry), None, UNSPECIFIED, world.now)
    world.update(ref_of(entry), ("liveness_ttl",), liveness_ttl_s=60.0)
    world.pass_time(59)
    assert state_of(entry) == ("HEALTHY", "BEATING")
    world.pass_time(1)
    assert state_of(entry) == ("UNHEALTHY", "SILENT")


def test_an_update_of_the_retention_counts_for_the_dead() -> None:
    world = World()
    entry = world.add(retention_s=0.0)
    world.close(world.live(entry))
    world.pass_time(1_000)
    assert world.registry._fleet.deadlines.next() is None or world.pass_time(1_000) == []
    world.update(ref_of(entry), ("retention",), retention_s=5.0)
    assert [removal.service_id for removal in world.pass_time(5)] == [entry.service_id]


def test_an_update_answers_with_its_revision() -> None:
    world = World()
    entry = world.add()
    result = world.update(ref_of(entry), ("port",), port=8)
    assert (result.entry, result.revision) == (entry, entry.snapshot.revision)


# Self reports and unary beats.


def test_a_self_report_never_hides_missing_liveness() -> None:
    world = World()
    entry = world.add()
    world.registry.report_status(ref_of(entry), ServiceStatus.HEALTHY, world.now)
    assert state_of(entry) == ("STARTING", "AWAITING_BEAT")
    world.close(world.live(entry))
    world.registry.report_status(ref_of(entry), ServiceStatus.STARTING, world.now)
    assert state_of(entry) == ("UNHEALTHY", "DISCONNECTED")
    world.live(entry)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")
    world.registry.report_status(ref_of(entry), ServiceStatus.STOPPING, world.now)
    assert state_of(entry) == ("STOPPING", "SELF_REPORTED")
    world.registry.report_status(ref_of(entry), UNSPECIFIED, world.now)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN")


def test_unary_beats_keep_a_ttl_service_alive() -> None:
    world = World()
    entry = world.add(liveness=TTL, liveness_ttl_s=2.0)
    for _ in range(5):
        assert world.registry.beat(ref_of(entry), None, UNSPECIFIED, world.now) is entry
        world.pass_time(1.9)
        assert state_of(entry) == ("HEALTHY", "BEATING")
    world.pass_time(0.1)
    assert state_of(entry) == ("UNHEALTHY", "SILENT")
    world.registry.beat(ref_of(entry), Load(in_flight=2), ServiceStatus.STARTING, world.now)
    assert state_of(entry) == ("STARTING", "SELF_REPORTED")
    world.registry.beat(ref_of(entry), None, ServiceStatus.HEALTHY, world.now)
    assert state_of(entry) == ("HEALTHY", "BEATING")
    assert entry.load == Load(in_flight=2), "a beat without load keeps the last"


@pytest.mark.parametrize("mode", [STREAM, STATIC])
def test_unary_beats_are_for_ttl_mode(mode: object) -> None:
    world = World()
    entry = world.add(liveness=mode)
    with pytest.raises(FailedPrecondition) as caught:
        world.registry.beat(ref_of(entry), None, UNSPECIFIED, world.now)
    assert caught.value.reason is Reason.WRONG_MODE


def test_a_bad_beat_changes_nothing() -> None:
    world = World()
    entry = world.add(liveness=TTL)
    with pytest.raises(InvalidArgument):
        world.registry.beat(ref_of(entry), Load(in_flight=-1), UNSPECIFIED, world.now)
    with pytest.raises(PermissionDenied):
        world.registry.beat(ref_of(entry, OTHER_SECRET), None, UNSPECIFIED, world.now)
    assert state_of(entry) == ("STARTING", "AWAITING_BEAT")


# Time.


def test_who_is_never_seen_is_unhealthy_after_ten_seconds_and_gone_after_the_retention() -> None:
    world = World()
    entry = world.add()
    assert world.registry._fleet.deadlines.next() == world.now.mono + 10
    world.pass_time(9.9)
    assert state_of(entry) == ("STARTING", "AWAITING_BEAT")
    world.pass_time(0.1)
    assert state_of(entry) == ("UNHEALTHY", "NOT_SEEN")
    assert world.pass_time(59.9) == []
    (removal,) = world.pass_time(0.1)
    assert removal == Remove(
        service_id=entry.service_id, reason=RemovalReason.EXPIRED, at_revision=entry.snapshot.revision
    )
    assert world.found() == [entry.service_id], "gone only once that is stored"
    world.run(removal)
    assert world.found() == []


def test_a_removal_that_was_not_stored_is_asked_for_again() -> None:
    world = World()
    entry = world.add()
    world.close(world.live(entry))
    first = world.pass_time(60)
    assert world.pass_time(REMOVAL_RETRY_S - 0.1) == []
    assert world.pass_time(0.1) == first
    assert world.beats(world.live(entry), 100) == []


@pytest.mark.parametrize("own", [0.0, 5.0, None])
def test_retention(own: float | None) -> None:
    world = World(retention_s=60)
    entry = world.add(retention_s=own)
    world.close(world.live(entry))
    seen = [bool(world.pass_time(wait)) for wait in (4.9, 0.2, 54.8, 0.2)]
    assert seen == {0.0: [False] * 4, 5.0: [False, True, True, False], None: [False, False, False, True]}[own]


def test_no_jump_of_the_wall_clock_changes_anything() -> None:
    world = World()
    entry = world.add(liveness=TTL)
    world.registry.beat(ref_of(entry), None, UNSPECIFIED, world.now)
    for wall in (0.0, 4e9):
        world.clock.set_wall(wall)
        assert world.registry.advance(world.now) == []
        assert state_of(entry) == ("HEALTHY", "BEATING")


def test_without_deadlines_there_is_no_next_one() -> None:
    world = World()
    world.add(liveness=STATIC)
    assert world.registry._fleet.deadlines.next() is None


# A restart.


def test_a_restart_declares_nobody_dead() -> None:
    world = World()
    stream, ttl, static = (
        world.add(name, liveness=mode) for name, mode in zip("abc", (STREAM, TTL, STATIC), strict=True)
    )
    world.live(stream)
    world.clock.advance(100_000)
    after = world.restart()
    states = [state_of(after.registry.get(entry.service_id)) for entry in (stream, ttl, static)]
    assert states == [("UNKNOWN", "RESTORED"), ("UNKNOWN", "RESTORED"), ("HEALTHY", "STATIC")]
    after.pass_time(9.9)
    assert state_of(after.registry.get(stream.service_id)) == ("UNKNOWN", "RESTORED")
    back = after.live(after.registry.get(stream.service_id), epoch=stream.epoch)
    assert back.services
    after.pass_time(0.1)
    assert state_of(after.registry.get(stream.service_id)) == ("HEALTHY", "STREAM_OPEN")
    assert state_of(after.registry.get(ttl.service_id)) == ("UNKNOWN", "RESTORED"), "its ttl is 30 s"


def test_epochs_rise_over_a_restart() -> None:
    world = World()
    entry = world.add()
    for _ in range(5):
        world.close(world.live(entry))
    highest = entry.epoch
    after = world.restart()
    restored = after.registry.get(entry.service_id)
    assert restored.used_epoch == 0, "what the store does not know of is not used"
    after.live(restored, epoch=highest)
    assert restored.epoch > highest


def test_epochs_are_reserved_through_the_store() -> None:
    world = World(epoch_block=16_384)
    seen = [world.registry.epochs_wanted]
    for _ in range(8_192):
        world.registry._fleet.epochs.take()
    seen.append(world.registry.epochs_wanted)
    world.reserve()
    seen.append(world.registry.epochs_wanted)
    assert seen == [None, ReserveEpochs(below=16_384 * 2 + 1), None]


# Watches.


def test_a_watch_begins_with_a_snapshot() -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    world.add("waiting")
    batch = world.registry.watch(Selector()).take(10, world.registry.revision)
    assert [event.kind for event in batch.events] == [WatchKind.ADDED, WatchKind.BOOKMARK]
    assert batch.events[0].snapshot is entry.snapshot
    assert batch.revision == world.registry.revision


@pytest.mark.parametrize("history_id", ["", "another life"])
@pytest.mark.parametrize("revision", [1, 2, 99, -1])
def test_a_position_that_means_nothing_here_resyncs(history_id: str, revision: int) -> None:
    world = World()
    world.add(liveness=STATIC)
    batch = world.registry.watch(Selector(), revision, history_id).take(10, 2)
    assert [event.kind.name for event in batch.events] == ["RESYNC", "ADDED", "BOOKMARK"]


def test_a_position_resumes_while_the_ring_reaches_that_far() -> None:
    world = World(history=3)
    for number in range(5):
        world.add(f"a{number}", liveness=STATIC)
    kinds = {
        revision: [
            event.kind.name
            for event in world.registry.watch(ALL, revision, world.registry.history_id).take(9, 6).events
        ]
        for revision in (2, 3, 6, 7)
    }
    assert kinds == {
        2: ["RESYNC", *["ADDED"] * 5, "BOOKMARK"],
        3: [*["ADDED"] * 3, "BOOKMARK"],
        6: ["BOOKMARK"],
        7: ["RESYNC", *["ADDED"] * 5, "BOOKMARK"],
    }


def test_streams_are_counted_for_the_pace() -> None:
    world = World()
    session = world.registry.open_stream(LOCAL, lambda: None)
    assert world.registry._fleet.pace.streams == 1
    world.close(session)
    assert world.registry._fleet.pace.streams == 0


def test_what_get_returned_can_be_registered_again() -> None:
    world = World()
    entry = world.add(port=1, tags=("a",))
    world.register(replace(entry.spec))
    assert entry.spec == replace(make_spec(port=1, tags=("a",)), service_id=entry.service_id, host="127.0.0.1")
    assert SECRET


def test_all_restored_services_get_the_time_that_coming_back_together_takes() -> None:
    """not_seen_s, or as long as admitting all of them takes and 5 s more, if that is longer."""
    for services, allowed_s in ((1, 10.0), (60, 11.0)):
        world = World(admission_rate=10.0)
        entries = [world.add(f"agent-{number}") for number in range(services)]
        after = world.restart(admission_rate=10.0)
        assert {state_of(after.registry.get(entry.service_id)) for entry in entries} == {("UNKNOWN", "RESTORED")}
        after.pass_time(allowed_s - 0.1)
        assert {state_of(after.registry.get(entry.service_id))[1] for entry in entries} == {"RESTORED"}
        after.pass_time(0.1)
        assert {state_of(after.registry.get(entry.service_id)) for entry in entries} == {("UNHEALTHY", "NOT_SEEN")}


def test_restored_services_keep_the_order_of_their_registration() -> None:
    world = World()
    names = ["c", "a", "b"]
    for name in names:
        world.add(name)
        world.pass_time(1.0)
    after = world.restart()
    page = after.registry.discover(Selector(include_not_ready=True))
    assert [entry.spec.agent_id for entry in page.entries] == names
    assert page.entries[0].service_id in after.registry
    assert "nobody" not in after.registry
