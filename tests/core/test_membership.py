"""core/membership: what is another member's is shown as it says, and who has no owner is not dead at once."""

from dataclasses import replace

import pytest

from orion_registry.core.checks.spec import CheckSpec, TcpProbe
from orion_registry.core.frames import Lost, LostReason
from orion_registry.core.liveness import Event
from orion_registry.core.membership import LOST_GRACE_S, Member
from orion_registry.core.model import LivenessMode, Load, RemovalReason, ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.core.overlay import Overlay, OverlayMode, ServiceKey
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selector import Selector
from orion_registry.core.standing import Standing, standing_of
from orion_registry.errors import AlreadyExists, FailedPrecondition, Reason, ResourceExhausted, Unavailable
from tests.building import (
    OTHER_SECRET,
    SECRET,
    STATIC,
    TTL,
    ask,
    frames_of,
    last_sessions,
    make_record,
    make_spec,
    ref_of,
    state_of,
)
from tests.core.joined import Joined, two, two_with_a_service

OPEN, LOST = ("HEALTHY", "STREAM_OPEN"), ("UNKNOWN", "OWNER_LOST")


# What others say.


def test_a_service_is_shown_as_its_owner_says() -> None:
    one, other = two()
    entry = one.add(tags=("x",))
    here = other.hears(one, entry.service_id)
    assert state_of(here) == ("STARTING", "AWAITING_BEAT")
    one.live(entry)
    other.hears(one, entry.service_id)
    assert state_of(here) == OPEN
    assert (here.epoch, here.used_epoch) == (entry.epoch, entry.used_epoch)
    assert here.owner == one.me.life
    assert other.membership.owner_of(entry.service_id) == one.me
    assert one.membership.owner_of(entry.service_id) is None
    assert other.found() == [entry.service_id]


def test_nothing_that_happens_here_changes_it() -> None:
    _, other, _, here = two_with_a_service()
    edges = len(other.edges)
    fleet = other.registry.fleet
    for event in (Event.ENDED, Event.DETACHED, Event.BEAT):
        fleet.happened(here, event, other.now)
    fleet.reported(here, ServiceStatus.UNHEALTHY, other.now)
    fleet.loaded(here, Load(in_flight=3))
    fleet.worked(here, 1, 5.0, other.now)
    fleet.rejudge(here)
    other.advance(600)
    assert (len(other.edges), here.load, here.task) == (edges, None, None)


def test_what_holds_at_the_owner_holds_here_and_overlays_are_made_here() -> None:
    one, other, entry, here = two_with_a_service(stuck_after_s=5.0)
    (stream,) = entry.streams
    one.overlay(entry, OverlayMode.DRAIN)
    other.membership.set_overlay(one.overlays[next(iter(one.overlays))], other.now)
    assert state_of(here) == ("STOPPING", "DRAINING")
    one.registry.fleet.loaded(entry, Load())
    one.pass_time(1.0)
    one.beat(stream)
    one.pass_time(0.2)
    assert state_of(entry) == ("STOPPING", "DRAINED")
    other.hears(one, entry.service_id)
    other.advance(5.0)
    assert state_of(here) == ("STOPPING", "DRAINED"), "only its owner can tell"
    one.registry.fleet.reported(entry, ServiceStatus.UNHEALTHY, one.now)
    other.hears(one, entry.service_id)
    assert here.self_report is ServiceStatus.UNHEALTHY
    key = next(iter(one.overlays))
    other.membership.clear_overlay(key)
    other.membership.clear_overlay(key)
    assert StatusReasonCode.DRAINED not in here.conditions


def test_an_overlay_that_changed_its_weight_alone_goes_on_draining() -> None:
    one, other = two()
    held = Overlay(namespace="default", agent_id="agent", service_name="calc", service_id="s", mode=OverlayMode.DRAIN)
    other.membership.set_overlay(held, other.now)
    began = other.registry.fleet.overlays.get(held.key)
    assert began is not None
    other.advance(3.0)
    other.membership.set_overlay(replace(held, weight=2.0), other.now)
    after = other.registry.fleet.overlays.get(held.key)
    assert after is not None
    assert (after.began, after.overlay.weight) == (began.began, 2.0)
    assert one.membership.others == (other.me,)


def test_a_service_that_comes_drained_and_reported_is_shown_so_from_its_first_edge() -> None:
    _, other = two()
    overlay = Overlay(
        namespace="default", agent_id="agent", service_name="calc", service_id="s", mode=OverlayMode.DRAIN, weight=2.0
    )
    other.membership.set_overlay(overlay, other.now)
    standing = Standing(
        owner="life of one",
        epoch=5,
        liveness=StatusReason(code=StatusReasonCode.STREAM_OPEN, since_wall=1.0),
        conditions=tuple(
            StatusReason(code=code, since_wall=2.0) for code in (StatusReasonCode.DRAINED, StatusReasonCode.STUCK)
        ),
        self_report=ServiceStatus.STARTING,
        self_report_wall=3.0,
    )
    other.membership.changed(make_record(make_spec(service_id="s")), standing, other.now)
    entry = other.registry.get("s")
    assert {reason.code.name for reason in entry.snapshot.reasons} == {
        "DRAINED", "STREAM_OPEN", "STUCK", "SELF_REPORTED",
    }  # fmt: skip
    assert (entry.snapshot.weight, entry.epoch) == (2.0, 5)


def test_a_record_without_a_word_of_its_owner_is_nobodys() -> None:
    _, other = two()
    other.membership.changed(make_record(make_spec(service_id="s")), None, other.now)
    assert state_of(other.registry.get("s")) == LOST
    other.membership.stands("unknown", Standing(owner="x", liveness=other.registry.get("s").liveness), other.now)
    assert other.found() == ["s"]


def test_a_change_of_another_member_is_taken_over_and_its_removal_too() -> None:
    one, other, entry, here = two_with_a_service()
    (session,) = entry.streams
    other.membership.changed(replace(one.record_of(entry.service_id), generation=2, used_epoch=0), None, other.now)
    assert here.snapshot.record.generation == 2
    one.membership.changed(replace(one.record_of(entry.service_id), generation=3), None, one.now)
    assert (state_of(entry), entry.owner) == (OPEN, None), "who changes it does not own it for that"
    other.membership.removed(entry.service_id)
    one.membership.removed(entry.service_id)
    one.membership.removed(entry.service_id)
    assert (other.found(), one.found()) == ([], [])
    assert frames_of(session, Lost)[-1].reason is LostReason.REMOVED
    assert other.edges[-1].removal is RemovalReason.REMOVED


def test_a_claim_anew_elsewhere_ends_the_session_here() -> None:
    one, other, entry, _ = two_with_a_service()
    (session,) = entry.streams
    other.reserve_above(entry.epoch)
    with pytest.raises(AlreadyExists):
        other.register(secret=OTHER_SECRET)
    other.register(secret=OTHER_SECRET, takeover=True)
    claimed = other.registry.get(entry.service_id)
    assert claimed.owner is None
    assert claimed.epoch > entry.epoch
    one.hears(other, entry.service_id)
    assert entry.owner == other.me.life
    assert frames_of(session, Lost)[-1].reason is LostReason.SUPERSEDED
    assert session.ended


# Taking.


def test_a_service_that_is_taken_is_not_ready_until_its_agent_speaks() -> None:
    _, other, entry, here = two_with_a_service()
    stored = other.takes(entry.service_id)
    assert stored.owner == other.me.life
    assert state_of(here) == ("UNKNOWN", "RECONNECT_GRACE")
    assert other.adopted == [entry.service_id]
    other.membership.take(entry.service_id, other.now)
    other.live(here)
    assert state_of(here) == OPEN
    assert here.epoch > entry.epoch
    assert other.membership.standing_to_take(entry.service_id, other.now) is None


def test_a_stream_may_not_carry_what_is_anothers() -> None:
    one, other = two()
    entry = one.add()
    here = other.hears(one, entry.service_id)
    session = other.stream("agent", ask(here))
    (result,) = last_sessions(session).results
    assert isinstance(result.error, Unavailable)
    assert result.error.retry_after_s


def test_the_old_stream_is_superseded_once_the_new_session_has_spoken() -> None:
    one, other, entry, here = two_with_a_service()
    (old,) = entry.streams
    other.takes(entry.service_id)
    session = other.stream("agent", ask(here))
    one.hears(other, entry.service_id)
    assert not frames_of(old, Lost), "a hello that nobody is behind fences nobody off"
    assert not old.ended
    other.beat(session)
    one.hears(other, entry.service_id)
    assert frames_of(old, Lost)[-1].reason is LostReason.SUPERSEDED
    assert old.ended


def test_a_member_whose_stream_lives_takes_back_what_a_ghost_has_taken() -> None:
    one, other, entry, here = two_with_a_service()
    (old,) = entry.streams
    other.takes(entry.service_id)
    ghost = other.stream("agent", ask(here))
    one.hears(other, entry.service_id)
    assert not one.membership.wanted
    other.close(ghost)
    one.hears(other, entry.service_id)
    assert list(one.membership.wanted) == [entry.service_id]
    one.takes(entry.service_id)
    one.membership.speaks_here(entry.service_id, one.now)
    assert state_of(entry) == OPEN
    one.beats(old, 5.0)
    assert state_of(entry) == OPEN
    other.membership.speaks_here(entry.service_id, other.now)
    assert not one.membership.wanted


def test_what_timers_held_at_the_old_owner_does_not_stay_for_ever() -> None:
    one, other = two()
    entry = one.add()
    for _ in range(4):
        one.close(one.live(entry))
    one.live(entry)
    assert StatusReasonCode.PROBATION in entry.conditions
    here = other.hears(one, entry.service_id)
    assert StatusReasonCode.PROBATION in here.conditions
    other.takes(entry.service_id)
    assert StatusReasonCode.PROBATION not in here.conditions
    one.hears(other, entry.service_id)
    assert entry.flaps is None
    other.register(secret=OTHER_SECRET)
    assert other.registry.get(entry.service_id).owner is None


def test_what_is_stored_with_a_record() -> None:
    one, other = two()
    entry = one.add()
    record = one.record_of(entry.service_id)
    assert one.membership.standing_with(record, one.now) is None
    fresh = other.membership.standing_with(record, other.now)
    assert fresh is not None
    assert fresh.owner == other.me.life
    other.hears(one, entry.service_id)
    assert other.membership.standing_with(replace(record, generation=2), other.now) is None
    assert other.membership.standing_with(replace(record, secret_hash="x"), other.now) is not None


# Losing.


def test_services_of_a_lost_member_are_unknown_and_dead_only_after_their_time() -> None:
    one, other, entry, here = two_with_a_service()
    other.loses(one)
    assert state_of(here) == LOST
    other.advance(9.0)
    assert state_of(here) == LOST
    other.advance(10.0)
    assert state_of(here) == ("UNHEALTHY", "NOT_SEEN")
    assert other.membership.is_chosen(entry.service_id)
    due, *_ = other.pass_time(61.0)
    assert due.service_id == entry.service_id


def test_a_lost_member_that_comes_back_has_its_services_again() -> None:
    one, other, _, here = two_with_a_service()
    other.loses(one)
    other.sees(one)
    assert (state_of(here), here.owner) == (OPEN, one.me.life)
    other.advance(60.0)
    assert state_of(here) == OPEN


def test_a_member_that_still_answers_gets_a_moment() -> None:
    one, other, _, here = two_with_a_service()
    other.loses(one, reachable=True)
    other.advance(LOST_GRACE_S / 2)
    assert state_of(here) == OPEN
    other.sees(one)
    other.advance(2 * LOST_GRACE_S)
    assert state_of(here) == OPEN
    other.loses(one, reachable=True)
    other.advance(2 * LOST_GRACE_S)
    assert state_of(here) == LOST
    other.loses(one)
    other.membership.missing(other.me.name, other.now, reachable=False)
    assert other.membership.members == (other.me,)


def test_who_is_held_off_is_not_dead_and_has_all_its_time_afterwards() -> None:
    _, other, entry, here = two_with_a_service()
    other.membership.take(entry.service_id, other.now)
    other.membership.hold_off(entry.service_id, True, other.now)
    with pytest.raises(Unavailable) as refused:
        other.registry.beat(ref_of(here), None, ServiceStatus.UNSPECIFIED, other.now)
    assert refused.value.reason is Reason.STORE_DOWN
    grace_s = other.registry.config.reconnect_grace_s
    other.advance(3 * grace_s)
    assert state_of(here) == ("UNKNOWN", "RECONNECT_GRACE")
    other.membership.hold_off(entry.service_id, False, other.now)
    other.advance(grace_s - 1.0)
    assert state_of(here) == ("UNKNOWN", "RECONNECT_GRACE")
    other.advance(2.0)
    assert state_of(here) == ("UNHEALTHY", "NOT_SEEN")


def test_who_is_held_off_and_goes_to_another_member_is_not_held_off_there() -> None:
    one, other, entry, here = two_with_a_service()
    other.membership.take(entry.service_id, other.now)
    other.membership.hold_off(entry.service_id, True, other.now)
    other.membership.hold_off("gone", True, other.now)
    other.hears(one, entry.service_id)
    assert not here.held_off


def test_one_that_was_lost_while_it_was_missing_is_lost_once() -> None:
    one, other = two()
    other.loses(one, reachable=True)
    other.membership._lives.pop(one.me.life)
    other.advance(2 * LOST_GRACE_S)


def test_another_life_of_a_member_takes_the_place_of_the_one_before() -> None:
    one, other, _, here = two_with_a_service()
    again = replace(one.me, life="another life of one")
    other.membership.present(again, other.now)
    assert state_of(here) == LOST
    assert other.membership.members == (again, other.me)
    assert other.membership.member(again.life) == again
    assert other.membership.holder_of("another ") == again
    assert other.membership.holder_of("life of two") is None


def test_while_etcd_is_lost_nobody_is_given_up_for_a_lost_owner() -> None:
    one, other, _, here = two_with_a_service()
    other.loses(one)
    other.registry.fleet.cut_off = True
    other.advance(120.0)
    assert state_of(here) == LOST
    other.registry.fleet.cut_off = False
    other.advance(2.0)
    assert state_of(here) == ("UNHEALTHY", "NOT_SEEN")


def test_while_a_lost_owner_answers_nobody_is_given_up() -> None:
    one, other, _, here = two_with_a_service()
    other.loses(one)
    heard = {here}
    other.registry.fleet.still_heard = lambda lost: lost in heard
    other.advance(120.0)
    assert state_of(here) == LOST
    assert other.membership.last_owner(here.service_id) == one.me.life
    heard.clear()
    other.advance(2.0)
    assert state_of(here) == ("UNHEALTHY", "NOT_SEEN")


def test_a_service_whose_agent_has_left_is_let_go_on_its_new_owners_word() -> None:
    one, other = two()
    entry = one.add()
    session = one.live(entry)
    assert not one.membership.is_left(entry.service_id)
    one.close(session)
    assert one.membership.is_left(entry.service_id)
    one.sees(other)
    one.membership.let_go(entry.service_id, other.me.life, one.now)
    assert (state_of(entry), entry.owner) == (("UNKNOWN", "RECONNECT_GRACE"), other.me.life)
    assert one.membership.owned_by(other.me.life) == {entry.service_id}
    one.membership.let_go(entry.service_id, "another", one.now)  # it is not ours to give any more
    assert entry.owner == other.me.life
    one.advance(60.0)
    assert state_of(entry) == ("UNKNOWN", "RECONNECT_GRACE")
    assert one.membership.is_left("unknown")
    assert one.membership.last_owner("unknown") == ""


def test_one_whose_agent_says_nothing_is_never_left() -> None:
    one, _ = two()
    entry = one.add(liveness=LivenessMode.STATIC)
    assert not one.membership.is_left(entry.service_id)


def test_the_dead_of_a_lost_member_are_removed_by_another() -> None:
    one, other = two()
    entry = one.add()
    one.close(one.live(entry))
    here = other.hears(one, entry.service_id)
    assert not other.pass_time(120.0)
    other.loses(one)
    assert state_of(here) == ("UNHEALTHY", "DISCONNECTED")
    (due,) = other.pass_time(61.0)
    assert due.reason is RemovalReason.EXPIRED
    other.membership.removed(entry.service_id)
    assert other.edges[-1].removal is RemovalReason.EXPIRED


def test_services_whose_agents_say_nothing_go_to_a_member_that_is_chosen() -> None:
    one, other = two()
    third = Joined("three")
    third.sees(one, other)
    other.sees(third)
    ids = [one.add(f"agent-{number}", liveness=STATIC).service_id for number in range(20)]
    for service_id in ids:
        other.hears(one, service_id)
        third.hears(one, service_id)
    other.loses(one)
    third.loses(one)
    assert set(other.membership.wanted) | set(third.membership.wanted) == set(ids)
    assert not set(other.membership.wanted) & set(third.membership.wanted)
    service_id = next(iter(other.membership.wanted))
    other.takes(service_id)
    assert state_of(other.registry.get(service_id)) == ("HEALTHY", "STATIC")
    assert service_id not in other.membership.wanted


def test_checks_run_at_the_owner_alone() -> None:
    one, other = two()
    check = CheckSpec(name="up", probes=(TcpProbe(port=9),))
    entry = one.add(liveness=LivenessMode.CHECK, host="127.0.0.1", port=9, checks=(check,))
    other.hears(one, entry.service_id)
    assert one.registry.monitoring.stats().checks == 1
    assert other.registry.monitoring.stats().checks == 0
    other.membership.changed(replace(one.record_of(entry.service_id), generation=2), None, other.now)
    assert other.registry.monitoring.stats().checks == 0
    other.takes(entry.service_id)
    one.hears(other, entry.service_id)
    assert one.registry.monitoring.stats().checks == 0
    assert other.registry.monitoring.stats().checks == 1


def test_whoever_joins_takes_in_what_is_there() -> None:
    one, _ = two()
    live, gone = one.add("live"), one.add("gone")
    one.live(live)
    late = Joined("late")
    late.sees(one)
    standings = {
        live.service_id: one.says(live.service_id),
        gone.service_id: replace(one.says(gone.service_id), owner="a life that is over"),
    }
    records = [one.record_of(entry.service_id) for entry in (live, gone)]
    late.membership.restore(records, standings, (), late.now)
    assert state_of(late.registry.get(live.service_id)) == OPEN
    assert state_of(late.registry.get(gone.service_id)) == LOST


# Epochs.


def test_what_is_given_here_is_above_what_another_gave_for_the_same_service() -> None:
    one, other = two()
    one.registry.fleet.epochs.granted(5_000_000, 6_000_000)
    entry = one.add()
    one.live(entry)
    here = other.hears(one, entry.service_id)
    assert not other.registry.fleet.epochs.is_above(entry.epoch)
    assert other.registry.fleet.epochs.was_given(entry.epoch)
    other.takes(entry.service_id)
    other.live(here)
    assert here.epoch > entry.epoch
    with pytest.raises(FailedPrecondition) as refused:
        other.update(ask(here, epoch=entry.epoch).ref, ("tags",), tags=("x",))
    assert refused.value.reason is Reason.STALE_EPOCH


def test_what_is_registered_after_a_removal_gets_a_higher_epoch() -> None:
    one, other = two()
    one.registry.fleet.epochs.granted(5_000_000, 6_000_000)
    entry = one.add()
    other.hears(one, entry.service_id)
    assert other.registry.fleet.epochs.is_above()
    other.membership.removed(entry.service_id)
    assert not other.registry.fleet.epochs.is_above()


# Slots.


def test_a_slot_is_reserved_on_one_service_and_no_other() -> None:
    one, _ = two()
    entry, rest = one.add("a", max_concurrency=1), one.add("b", max_concurrency=1)
    one.live(entry)
    one.live(rest)
    balancing = one.registry.balancing
    wanted = SelectionRequest(caller="/me", request_id="r", payload="p")
    lease = balancing.reserve(entry.service_id, wanted, one.now)
    assert lease.service_id == entry.service_id
    assert balancing.reserve(entry.service_id, replace(wanted, stream="b/r1"), one.now) is lease, "asked again"
    assert lease.stream == "b/r1"
    other_lease = balancing.reserve(rest.service_id, wanted, one.now)
    assert other_lease.service_id == rest.service_id
    with pytest.raises(ResourceExhausted) as refused:
        balancing.reserve(entry.service_id, SelectionRequest(caller="/me"), one.now)
    assert refused.value.reason is Reason.NO_FREE_SLOT
    assert balancing.granted_here(entry.service_id) == (lease,)
    assert {entry.service_id for entry, _ in balancing.services()} == {entry.service_id, rest.service_id}


def test_leases_are_bounded_for_other_members_too() -> None:
    from orion_registry.core.selection.config import BalancerConfig

    one = Joined("one", balancer=BalancerConfig(leases=1))
    entry = one.add()
    one.live(entry)
    one.registry.balancing.reserve(entry.service_id, SelectionRequest(), one.now)
    with pytest.raises(ResourceExhausted):
        one.registry.balancing.reserve(entry.service_id, SelectionRequest(), one.now)


def test_leases_of_the_old_owner_count_at_the_new_one() -> None:
    one, other = two()
    entry = one.add(max_concurrency=2)
    one.live(entry)
    here = other.hears(one, entry.service_id)
    balancing = other.registry.balancing
    balancing.told_elsewhere(entry.service_id, 2, 0.5, other.now)
    with pytest.raises(ResourceExhausted):
        balancing.select(balancing.pool(Selector()), SelectionRequest(), other.now)
    other.takes(entry.service_id)
    balancing.held_elsewhere(entry.service_id, "one", (30.0, 0.0), other.now)
    other.live(here)
    assert balancing.slots_of(entry.service_id).in_flight == 1
    assert not balancing.granted_here(entry.service_id)
    balancing.select(balancing.pool(Selector()), SelectionRequest(caller="/me"), other.now)
    with pytest.raises(ResourceExhausted):
        balancing.select(balancing.pool(Selector()), SelectionRequest(), other.now)
    balancing.still_elsewhere(entry.service_id, "one", 0, other.now)
    balancing.still_elsewhere("gone", "one", 0, other.now)
    assert balancing.slots_of(entry.service_id).in_flight == 1
    balancing.told_elsewhere(entry.service_id, 9, 0.5, other.now)
    assert balancing.slots_of(entry.service_id).in_flight == 1, "it is ours: nobody else says how full it is"
    assert not balancing.shaken
    assert balancing.latest > 0


def test_a_standing_is_what_others_need_to_know() -> None:
    one, _ = two()
    entry = one.add(liveness=TTL)
    one.overlay(ServiceKey(service_id=entry.service_id), OverlayMode.QUARANTINE)
    standing = standing_of(entry, "me")
    assert standing.conditions == ()
    assert standing.liveness is entry.liveness
    assert one.membership.standing_of("unknown") is None
    assert not one.membership.is_ours("unknown")
    assert one.membership.is_ours(entry.service_id)
    assert SECRET not in repr(standing)
    assert "t0ken" not in repr(Member(name="m", life="l", token="t0ken"))


def test_a_span_that_is_changed_elsewhere_sets_no_deadline_here() -> None:
    one, other, entry, here = two_with_a_service()
    record = one.record_of(entry.service_id)
    other.membership.changed(replace(record, generation=2, spec=replace(record.spec, retention_s=1.0)), None, other.now)
    assert here.deadline is None


def test_a_standing_of_an_owner_that_is_not_there_makes_an_orphan() -> None:
    one, other, entry, here = two_with_a_service()
    other.membership.stands(entry.service_id, replace(one.says(entry.service_id), owner="nobody"), other.now)
    assert state_of(here) == LOST


def test_members_are_told_apart_for_people() -> None:
    one, other = two()
    one.add()
    other.hears(one, one.found()[0])
    mine, theirs = one.membership.sights((), {one.me.life: 3})
    assert (mine.own, mine.reachable, mine.services, mine.streams) == (True, True, 1, 3)
    assert (theirs.own, theirs.reachable, theirs.services, theirs.streams) == (False, False, 0, None)
    assert other.membership.sights((one.me.life,), {})[0].services == 1
