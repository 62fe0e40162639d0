"""core/checks/monitoring: what verdicts mean for services, and when checks run, on a real registry."""

from itertools import pairwise
from typing import Any

import pytest

from orion_registry.core.checks.active import RESULTS
from orion_registry.core.checks.schedule import Run
from orion_registry.core.checks.spec import CheckSpec, CustomProbe, HttpProbe, ProbeKind, TcpProbe
from orion_registry.core.checks.threshold import CheckState
from orion_registry.core.checks.verdict import Verdict
from orion_registry.core.entry import Entry
from orion_registry.core.events import CheckNotRun
from orion_registry.core.facts import Stored
from orion_registry.core.frames import Attach
from orion_registry.core.model import Actor, LivenessMode, ServiceStatus, SessionRef
from orion_registry.core.overlay import OverlayMode
from orion_registry.errors import FailedPrecondition, InvalidArgument, NotFound, Reason, ResourceExhausted
from tests.building import OTHER_SECRET, SECRET, STATIC, STREAM, TTL, ask, ref_of, state_of
from tests.core.checking import (
    CHECK,
    DENIED,
    FAILED,
    PASSED,
    UNAVAILABLE,
    Bench,
    answering,
    codes_of,
    make_check,
    make_outcome,
)

# CHECK mode.


def test_check_mode_from_registration_to_failing_to_recovery() -> None:
    bench = Bench()
    entry = bench.add("a", make_check())
    assert state_of(entry) == ("STARTING", "AWAITING_CHECK")
    bench.say(PASSED)
    assert state_of(entry) == ("HEALTHY", "CHECK_OK")
    assert entry.snapshot.ready
    bench.say(FAILED, FAILED)
    assert state_of(entry) == ("HEALTHY", "CHECK_OK")
    bench.say(FAILED)
    assert state_of(entry) == ("UNHEALTHY", "CHECK_FAILED")
    bench.say(PASSED)
    assert state_of(entry) == ("UNHEALTHY", "CHECK_FAILED")
    bench.say(PASSED)
    assert state_of(entry) == ("HEALTHY", "CHECK_OK")
    assert codes_of(entry) == {"CHECK_OK"}


def test_check_mode_waits_for_all_its_checks_and_fails_with_one() -> None:
    bench = Bench(lambda run: PASSED if run.spec.name == "a" else None)
    entry = bench.add("x", make_check("a"), make_check("b", fall=1))
    bench.pass_time(6.0)
    assert codes_of(entry) == {"AWAITING_CHECK"}
    bench.finish(bench.under_way[0], FAILED)
    assert codes_of(entry) == {"CHECK_FAILED"}
    bench.answer = lambda _: PASSED
    bench.pass_time(70.0)
    assert codes_of(entry) == {"CHECK_OK"}


def test_check_mode_is_stale_without_a_verdict_whatever_the_reason() -> None:
    bench = Bench()
    entry = bench.add("a", make_check(interval_s=10.0))
    bench.say(PASSED)
    bench.answer = lambda run: DENIED if len(bench.started) % 2 else UNAVAILABLE
    bench.pass_time(29.8)
    assert codes_of(entry) == {"CHECK_OK"}
    bench.pass_time(0.3)
    assert codes_of(entry) == {"CHECK_STALE"}
    assert (entry.snapshot.status, entry.snapshot.ready, entry.snapshot.tier) == (ServiceStatus.HEALTHY, True, 1)
    assert bench.of(entry).stale
    assert bench.monitoring.stats().stale == 1
    bench.say(PASSED)
    assert codes_of(entry) == {"CHECK_OK"}
    assert bench.monitoring.stats().stale == 0


def test_a_stale_check_that_awaits_or_fails_says_only_that() -> None:
    bench = Bench(lambda _: UNAVAILABLE)
    entry = bench.add("a", make_check(fall=1))
    bench.pass_time(100.0)
    assert codes_of(entry) == {"AWAITING_CHECK"}
    assert bench.of(entry).stale
    bench.say(FAILED)
    bench.say(UNAVAILABLE)
    bench.pass_time(100.0)
    assert codes_of(entry) == {"CHECK_FAILED"}


def test_check_failed_is_removed_only_where_the_service_asked_for_it() -> None:
    bench = Bench(lambda _: FAILED)
    kept = [bench.add("kept", make_check(fall=1)), bench.add("zero", make_check(fall=1), retention_s=0.0)]
    goes = bench.add("goes", make_check(fall=1), retention_s=20.0)
    bench.pass_time(6.0)
    assert {state_of(entry) for entry in (*kept, goes)} == {("UNHEALTHY", "CHECK_FAILED")}
    (failed_at,) = bench.starts_of("goes") or [bench.starts_of(goes.service_id)[0]]
    left_s = failed_at + 20.0 - bench.world.now.mono
    assert bench.world.pass_time(left_s - 0.2) == []
    (removal,) = bench.world.pass_time(0.4)
    assert removal.service_id == goes.service_id
    assert bench.world.pass_time(1_000.0 - 20.0)  # tried again, for nobody obeyed
    bench.world.remove(goes.service_id)
    assert bench.world.pass_time(1_000.0) == []


def test_registering_again_gives_a_failed_check_service_its_retention_again() -> None:
    bench = Bench(lambda _: FAILED)
    entry = bench.add("a", make_check(fall=1), retention_s=20.0)
    bench.pass_time(6.0)
    assert state_of(entry) == ("UNHEALTHY", "CHECK_FAILED")
    bench.world.pass_time(13.0)
    assert bench.add("a", make_check(fall=1), retention_s=20.0) is entry
    assert state_of(entry) == ("UNHEALTHY", "CHECK_FAILED"), "its checks alone decide"
    assert bench.world.pass_time(19.0) == []
    assert len(bench.world.pass_time(1.2)) == 1


def test_no_stream_and_no_beat_speaks_for_check_mode() -> None:
    bench = Bench()
    entry = bench.add("a", make_check())
    session = bench.world.stream("a")
    (refused,) = bench.world.attach(session, ask(entry)).results
    assert refused.error is not None
    assert refused.error.reason is Reason.WRONG_MODE
    with pytest.raises(FailedPrecondition, match="unary beats need LIVENESS_MODE_TTL"):
        bench.world.registry.beat(ref_of(entry), None, ServiceStatus.UNSPECIFIED, bench.world.now)


def test_after_a_restart_check_mode_waits_for_a_pass() -> None:
    bench = Bench()
    entry = bench.add("a", make_check())
    stream = bench.add("b", make_check(fall=1), liveness=STATIC)
    bench.pass_time(6.0)
    bench.world = bench.world.restart()
    assert state_of(bench.world.registry.get(entry.service_id)) == ("STARTING", "AWAITING_CHECK")
    assert codes_of(bench.world.registry.get(stream.service_id)) == {"STATIC"}, "nothing is held against it"
    bench.pass_time(6.0)
    assert state_of(bench.world.registry.get(entry.service_id)) == ("HEALTHY", "CHECK_OK")


def test_draining_ends_when_no_lease_is_held_for_nobody_can_tell() -> None:
    bench = Bench()
    entry = bench.add("a", make_check())
    bench.world.overlay(entry, OverlayMode.DRAIN)
    bench.pass_time(6.0)
    assert codes_of(entry) == {"DRAINED", "CHECK_OK"}


# Beside another liveness.


@pytest.mark.parametrize("mode", [STREAM, TTL, STATIC])
def test_checks_never_hold_back_who_comes_and_route_around_who_fails(mode: LivenessMode) -> None:
    bench = Bench()
    entry = bench.add("a", make_check(), liveness=mode, liveness_ttl_s=3_600.0)
    if mode is STREAM:
        session = bench.world.live(entry)
    elif mode is TTL:
        bench.world.registry.beat(ref_of(entry), None, ServiceStatus.UNSPECIFIED, bench.world.now)
    alive = codes_of(entry)
    assert entry.snapshot.ready

    def say(*verdicts: Verdict) -> None:
        for verdict in verdicts:
            bench.answer = answering(verdict)
            count = len(bench.started)
            while len(bench.started) == count:
                bench.pass_time(0.9)
                if mode is STREAM:
                    bench.world.beat(session)

    say(FAILED, FAILED, UNAVAILABLE, DENIED)
    assert codes_of(entry) == alive
    say(FAILED)
    assert codes_of(entry) == alive | {"CHECK_FAILED"}
    assert state_of(entry) == ("UNHEALTHY", "CHECK_FAILED")
    say(PASSED)
    assert codes_of(entry) == alive | {"CHECK_FAILED"}
    say(PASSED)
    assert codes_of(entry) == alive


def test_what_cannot_be_looked_at_never_marks_a_stream() -> None:
    bench = Bench(lambda run: (UNAVAILABLE, DENIED)[len(bench.started) % 2])
    entry = bench.add("a", make_check(interval_s=10.0), liveness=STATIC)
    bench.pass_time(200.0)
    assert len(bench.started) > 15
    assert codes_of(entry) == {"STATIC"}
    assert bench.of(entry).state is CheckState.AWAITING


def test_a_check_that_the_registry_does_not_come_to_is_stale() -> None:
    bench = Bench(lambda _: None, check_runs=1)
    bench.add("hog", make_check(interval_s=10.0), liveness=STATIC)
    (hog,) = bench.pass_time(6.0)
    entry = bench.add("a", make_check(interval_s=10.0), liveness=STATIC)
    bench.pass_time(29.8)
    assert codes_of(entry) == {"STATIC"}
    assert bench.monitoring.stats().waiting == 1
    bench.pass_time(0.3)
    assert codes_of(entry) == {"CHECK_STALE", "STATIC"}
    assert (entry.snapshot.ready, entry.snapshot.tier) == (True, 1)
    bench.finish(hog)
    (run,) = [run for run in bench.start() if run.service_id == entry.service_id]
    assert codes_of(entry) == {"CHECK_STALE", "STATIC"}
    bench.finish(run, UNAVAILABLE)
    assert codes_of(entry) == {"STATIC"}


def test_a_stall_of_the_daemon_makes_nothing_stale() -> None:
    bench = Bench()
    entry = bench.add("a", make_check(interval_s=10.0), liveness=STATIC)
    bench.pass_time(6.0)
    bench.world.clock.advance(300.0)
    bench.world.registry.advance(bench.world.now)
    assert codes_of(entry) == {"STATIC"}


# What runs say.


def test_the_timeline_keeps_the_last_20() -> None:
    bench = Bench()
    entry = bench.add("a", make_check(interval_s=10.0))
    ahead_s = bench.world.now.wall - bench.world.now.mono
    bench.say(FAILED)
    details = [f"no. {number}" for number in range(RESULTS)]
    bench.answer = lambda _: None
    for detail in details:
        bench.until_run()
        bench.finish(bench.under_way[0], PASSED, detail=detail, latency_s=0.25)
    health = bench.of(entry)
    assert [result.outcome.detail for result in health.results] == details
    assert {result.check for result in health.results} == {"tcp"}
    assert [result.wall for result in health.results] == pytest.approx([at + ahead_s for at, _ in bench.started[1:]])
    assert (health.passes, health.failures, health.state) == (RESULTS, 0, CheckState.PASSING)
    assert health.since_wall == health.results[0].wall
    assert (health.name, health.interval_s, health.stale) == ("tcp", 10.0, False)
    assert 9.0 <= health.next_run_s <= 11.0


def test_health_while_it_runs_and_of_nothing() -> None:
    bench = Bench(lambda _: None)
    entry, bare = bench.add("a", make_check()), bench.world.add("bare")
    assert 0 <= bench.of(entry).next_run_s <= 5.0
    bench.pass_time(6.0)
    assert bench.of(entry).next_run_s == 0.0
    assert bench.monitoring.health(bare.service_id) == ()
    with pytest.raises(NotFound):
        bench.monitoring.health("nobody")


def test_stats_count_all_there_is() -> None:
    bench = Bench(lambda run: {"p": PASSED, "f": FAILED}.get(run.spec.name))
    bench.add("a", *(make_check(name, port=port, fall=1) for port, name in enumerate("pfr", 1)))
    bench.pass_time(6.0)
    stats = bench.monitoring.stats()
    assert (stats.checks, stats.awaiting, stats.passing, stats.failing) == (3, 1, 1, 1)
    assert (stats.running, stats.waiting, stats.stale) == (1, 0, 0)
    assert (stats.total.runs, stats.total.passed, [one.kind for one in stats.kinds]) == (2, 1, [ProbeKind.TCP])
    bench.world.remove(bench.world.found()[0])
    stats = bench.monitoring.stats()
    assert (stats.checks, stats.awaiting, stats.passing, stats.failing, stats.running) == (0, 0, 0, 0, 1)


def test_that_the_registry_cannot_look_is_told_once() -> None:
    bench = Bench()
    entry = bench.add("a", make_check())
    bench.say(PASSED, DENIED, DENIED, UNAVAILABLE, UNAVAILABLE, PASSED, DENIED, FAILED)
    told = [event for event in bench.world.told if isinstance(event, CheckNotRun)]
    assert [event.verdict for event in told] == [DENIED, UNAVAILABLE, DENIED]
    assert {(event.service_id, event.agent_id, event.check) for event in told} == {(entry.service_id, "a", "tcp")}


def test_ends_are_told_once_the_service_shows_them() -> None:
    bench = Bench()
    entry = bench.add("a", make_check())
    seen: list[Any] = []
    bench.monitoring.ended = lambda check, result: seen.append((check.name, result.outcome.verdict, codes_of(entry)))
    bench.say(PASSED)
    assert seen == [("tcp", PASSED, {"CHECK_OK"})]


def test_a_run_ends_once() -> None:
    bench = Bench(lambda _: None)
    entry = bench.add("a", make_check())
    run = bench.until_run()
    bench.finish(run, PASSED)
    bench.monitoring.finish(run, make_outcome(FAILED), bench.world.now)
    assert [result.outcome.verdict for result in bench.of(entry).results] == [PASSED]
    assert bench.monitoring.stats().total.runs == 1


# Now.


def test_check_now_makes_it_due_at_once() -> None:
    bench = Bench(lambda _: None)
    entry = bench.add("a", make_check("x"), make_check("y", port=1))
    bench.pass_time(6.0)
    for run in list(bench.under_way):
        bench.finish(run)
    bench.pass_time(1.5)
    assert bench.start() == []
    (asked,) = bench.monitoring.check_now(entry.service_id, "y", bench.world.now)
    (run,) = bench.start()
    assert run.check is asked
    assert bench.monitoring.check_now(entry.service_id, "y", bench.world.now) == (asked,), "it runs already"
    assert bench.start() == []
    bench.finish(run)
    with pytest.raises(ResourceExhausted, match="a run of 'y' ended less than 1 s ago") as caught:
        bench.monitoring.check_now(entry.service_id, "", bench.world.now)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after_s == pytest.approx(1.0)
    bench.pass_time(0.5)
    with pytest.raises(ResourceExhausted) as caught:
        bench.monitoring.check_now(entry.service_id, "y", bench.world.now)
    assert caught.value.retry_after_s == pytest.approx(0.5)
    bench.pass_time(0.6)
    assert [check.name for check in bench.monitoring.check_now(entry.service_id, "", bench.world.now)] == ["x", "y"]
    assert len(bench.start()) == 2


def test_check_now_bypasses_no_cap() -> None:
    bench = Bench(lambda _: None, check_runs_per_target=1)
    entry = bench.add("a", make_check("x"), make_check("y"))
    bench.pass_time(6.0)
    bench.monitoring.check_now(entry.service_id, "", bench.world.now)
    assert bench.start() == []
    assert (bench.monitoring.stats().running, bench.monitoring.stats().waiting) == (1, 1)


def test_what_check_now_refuses() -> None:
    bench = Bench()
    entry, bare = bench.add("a", make_check("x"), make_check("y")), bench.world.add("bare")
    with pytest.raises(NotFound):
        bench.monitoring.check_now("nobody", "", bench.world.now)
    with pytest.raises(InvalidArgument, match=r"^BAD_FIELD: check: must be one of x, y, got 'z'"):
        bench.monitoring.check_now(entry.service_id, "z", bench.world.now)
    with pytest.raises(FailedPrecondition, match=r"has no checks: set service.checks") as caught:
        bench.monitoring.check_now(bare.service_id, "", bench.world.now)
    assert caught.value.reason is Reason.WRONG_MODE


# Changes.


def test_an_update_remakes_the_checks_that_changed_and_keeps_the_others() -> None:
    bench = Bench()
    entry = bench.add("a", make_check("same"), make_check("other", port=1), make_check("gone", port=2))
    bench.pass_time(6.0)
    before = len(bench.world.edges)
    bench.world.update(
        ref_of(entry), ("checks",), checks=(make_check("same"), make_check("other", port=3), make_check("new", port=4))
    )
    assert len(bench.world.edges) == before + 1, "one edge shows it all"
    same, other, new = bench.monitoring.health(entry.service_id)
    assert (same.state, other.state, new.state) == (CheckState.PASSING, CheckState.AWAITING, CheckState.AWAITING)
    assert len(same.results) == 1
    assert codes_of(entry) == {"AWAITING_CHECK"}
    assert [(check.name, result) for check, result in bench.ends[-2:]] == [("other", None), ("gone", None)]
    assert bench.monitoring.stats().checks == 3
    bench.pass_time(6.0)
    assert codes_of(entry) == {"CHECK_OK"}


def test_checks_without_a_place_of_their_own_move_with_their_service() -> None:
    bench = Bench()
    own = CheckSpec(name="own", probes=(TcpProbe(host="10.0.0.9", port=1),))
    entry = bench.add("a", own, CheckSpec(name="its", probes=(TcpProbe(),)))
    bench.pass_time(6.0)
    bench.world.update(ref_of(entry), ("port",), port=81)
    assert [check.state.name for check in bench.monitoring.health(entry.service_id)] == ["PASSING", "AWAITING"]
    assert [run.spec.probes[0] for run in bench.pass_time(6.0)] == [TcpProbe(host="10.0.0.1", port=81)]


def test_a_custom_check_moves_with_its_service() -> None:
    bench = Bench(custom_checks=frozenset({"db"}))
    entry = bench.add("a", make_check("c", CustomProbe(name="db")))
    bench.pass_time(6.0)
    bench.world.update(ref_of(entry), ("port",), port=81)
    assert bench.of(entry).state is CheckState.AWAITING


def test_taking_the_checks_away_lifts_what_they_said() -> None:
    bench = Bench(lambda _: FAILED)
    entry = bench.add("a", make_check(fall=1), liveness=STATIC)
    bench.pass_time(6.0)
    assert codes_of(entry) == {"STATIC", "CHECK_FAILED"}
    before = len(bench.world.edges)
    bench.world.update(ref_of(entry), ("checks",))
    assert len(bench.world.edges) == before + 1
    assert codes_of(entry) == {"STATIC"}
    assert bench.monitoring.health(entry.service_id) == ()
    assert bench.pass_time(60.0) == []


def test_setting_a_url_sets_a_check() -> None:
    bench = Bench()
    entry = bench.world.add("a", liveness=STATIC)
    bench.world.update(ref_of(entry), ("health_check_url",), health_check_url="http://h/up")
    (run,) = bench.pass_time(6.0)
    assert run.spec.name == "health_check_url"
    assert run.spec.probes == (HttpProbe(host="h", port=80, path="/up"),)


def test_mending_the_check_of_a_failed_service_spares_it() -> None:
    bench = Bench(lambda _: FAILED)
    entry = bench.add("a", make_check(fall=1), retention_s=10.0)
    bench.pass_time(6.0)
    assert state_of(entry) == ("UNHEALTHY", "CHECK_FAILED")
    bench.world.update(ref_of(entry), ("checks",), checks=(make_check(fall=1, port=1),))
    assert state_of(entry) == ("STARTING", "AWAITING_CHECK")
    assert bench.world.pass_time(100.0) == []


def test_another_life_of_an_agent_begins_its_checks_anew() -> None:
    bench = Bench(lambda _: FAILED)
    entry = bench.add("a", make_check(fall=1), liveness=STATIC)
    bench.pass_time(6.0)
    assert codes_of(entry) == {"STATIC", "CHECK_FAILED"}
    before = len(bench.world.edges)
    bench.add("a", make_check(fall=1), liveness=STATIC, secret=OTHER_SECRET)
    assert len(bench.world.edges) == before + 1
    assert codes_of(entry) == {"STATIC"}
    assert (bench.of(entry).state, bench.of(entry).results) == (CheckState.AWAITING, ())


def test_the_same_life_of_an_agent_goes_on_with_its_checks() -> None:
    bench = Bench(lambda _: FAILED)
    entry = bench.add("a", make_check(fall=1), liveness=STATIC)
    bench.pass_time(6.0)
    bench.add("a", make_check(fall=1), liveness=STATIC, tags=("new",))
    assert codes_of(entry) == {"STATIC", "CHECK_FAILED"}
    assert len(bench.of(entry).results) == 1


def test_a_change_of_mode_begins_anew() -> None:
    bench = Bench(lambda _: FAILED)
    entry = bench.add("a", make_check(fall=1), liveness=STATIC)
    bench.pass_time(6.0)
    bench.add("a", make_check(fall=1), liveness=CHECK)
    assert codes_of(entry) == {"AWAITING_CHECK"}
    bench.pass_time(6.0)
    assert codes_of(entry) == {"CHECK_FAILED"}
    bench.add("a", make_check(fall=1), liveness=STATIC)
    assert codes_of(entry) == {"STATIC"}


@pytest.mark.parametrize("how", ["update", "remove", "claim"])
def test_a_run_of_a_check_that_is_gone_changes_nothing(how: str) -> None:
    bench = Bench(lambda _: None)
    entry = bench.add("a", make_check(fall=1))
    run = bench.until_run()
    if how == "update":
        bench.world.update(ref_of(entry), ("checks",), checks=(make_check("new", fall=1),))
    elif how == "remove":
        bench.world.remove(entry.service_id)
    else:
        bench.add("a", make_check(fall=1), secret=OTHER_SECRET)
    assert bench.ends == [(run.check, None)]
    assert bench.monitoring.stats().running == 1, "it holds its place until it ends"
    before = len(bench.world.edges)
    bench.finish(run, FAILED)
    assert bench.monitoring.stats().running == 0
    assert (len(bench.world.edges), len(bench.ends)) == (before, 1)
    assert bench.monitoring.stats().total.runs == 0


def test_an_import_brings_its_checks() -> None:
    there = Bench(custom_checks=frozenset({"db"}))
    there.add("a", make_check("c", CustomProbe(name="db")))
    stored = there.world.registry.stored()
    here = Bench()
    here.world.take_in(Stored(records=stored.records, epochs_below=stored.epochs_below))
    (run,) = here.pass_time(6.0)
    assert run.spec.probes == (CustomProbe(name="db", host="10.0.0.1", port=80),), "the prober says what became of it"


# Where checks may go.


def test_the_address_is_the_agents() -> None:
    bench = Bench(lambda _: None)
    command: dict[str, Any] = {"checks": (make_check(),), "host": "10.0.0.1", "liveness": STREAM}
    entry = bench.world.register(agent_id="a", actor=Actor(address="10.0.0.1"), **command).entry
    assert entry.snapshot.record.address == "10.0.0.1"
    assert bench.until_run().address == "10.0.0.1"
    session = bench.world.registry.open_stream(Actor(address="10.0.0.2"), lambda: None)
    session.agent_id = "a"
    session.receive(Attach(sessions=(ask(entry),)), bench.world.now)
    bench.finish(bench.under_way[0])
    assert bench.until_run().address == "10.0.0.2", "the latest hello or attach counts"
    bench.finish(bench.under_way[0])
    bench.world.register(agent_id="a", actor=Actor(), secret=OTHER_SECRET, takeover=True, **command)
    assert entry.snapshot.record.address == ""
    assert bench.until_run().address == "", "another life is somewhere else"


@pytest.mark.parametrize(
    ("path", "fields", "address"),
    [
        ("weight", {"weight": 2.0}, "10.0.0.1"),
        ("port", {"port": 1}, "10.0.0.2"),
        ("host", {"host": "10.0.0.2"}, "10.0.0.2"),
        ("checks", {"checks": (make_check("new"),)}, "10.0.0.2"),
        ("health_check_url", {"health_check_url": "http://h/"}, "10.0.0.2"),
    ],
)
def test_who_says_where_checks_go_answers_for_it(path: str, fields: dict[str, Any], address: str) -> None:
    bench = Bench()
    entry = bench.world.register(agent_id="a", actor=Actor(address="10.0.0.1"), liveness=STATIC).entry
    bench.world.update(ref_of(entry), (path,), actor=Actor(address="10.0.0.2"), **fields)
    assert entry.snapshot.record.address == address


def test_custom_checks_must_be_there_where_they_are_written() -> None:
    bench = Bench(custom_checks=frozenset({"db"}))
    unknown = (make_check("c", CustomProbe(name="disk")),)
    with pytest.raises(InvalidArgument, match=r"custom.name: must be one of db, got 'disk'"):
        bench.add("a", *unknown)
    entry = bench.add("a", make_check("c", CustomProbe(name="db")))
    with pytest.raises(InvalidArgument, match=r"custom.name: must be one of db, got 'disk'"):
        bench.world.update(ref_of(entry), ("checks",), checks=unknown)
    bench.world = bench.world.restart()
    bench.world.update(SessionRef(service_id=entry.service_id, epoch=entry.epoch, secret=SECRET), ("port",), port=1)


# When.


def test_runs_start_within_ten_per_cent_of_their_interval() -> None:
    bench = Bench()
    for number in range(20):
        bench.add(f"a{number}", make_check(interval_s=(1.0, 7.0)[number % 2]))
    bench.pass_time(200.0)
    for entry in map(bench.world.registry.get, bench.world.found()):
        interval_s = entry.spec.checks[0].interval_s
        starts = bench.starts_of(entry.service_id)
        gaps = [after - before for before, after in pairwise(starts)]
        assert starts[0] - bench.started[0][0] <= min(5.0, interval_s)
        assert min(gaps) >= interval_s * 0.9 - 1e-6
        assert max(gaps) <= interval_s * 1.1 + 1e-6
        assert interval_s == 1.0 or max(gaps) - min(gaps) > 0.7, "and not in step"


def test_a_tick_starts_a_hundred_at_most() -> None:
    bench = Bench(lambda _: None, check_runs=1_000)
    for number in range(250):
        entry = bench.add(f"a{number}", make_check(), host=f"h{number}")
        bench.monitoring.check_now(entry.service_id, "", bench.world.now)
    assert len(bench.start()) == 100
    assert len(bench.start()) == 0
    bench.world.pass_time(0.1)
    assert len(bench.start()) == 100
    assert len(bench.pass_time(0.1)) == 50


def started_of(bench: Bench, agent_ids: str) -> set[str]:
    agent_of = {service_id: bench.world.registry.get(service_id).spec.agent_id for service_id in bench.world.found()}
    return {agent_of[run.service_id] for _, run in bench.started} & set(agent_ids)


def test_who_waits_for_a_target_blocks_nobody_else() -> None:
    bench = Bench(lambda run: None if run.spec.probes[0].host == "hangs" else PASSED, check_runs=3)
    for agent_id in "abcdef":
        bench.add(agent_id, make_check(), host="hangs" if agent_id in "abcd" else "answers")
    bench.monitoring._schedule._per_target = 2
    bench.pass_time(40.0)
    assert len(started_of(bench, "abcd")) == 2
    assert started_of(bench, "ef") == {"e", "f"}
    assert bench.monitoring.stats().waiting == 2
    first = bench.under_way[0]
    bench.finish(first)
    (run,) = bench.start()
    assert run.spec.probes[0].host == "hangs"
    assert run.service_id not in {first.service_id, bench.under_way[0].service_id}


def test_an_agent_whose_targets_all_hang_blocks_nobody_else() -> None:
    bench = Bench(lambda run: None if run.spec.probes[0].host == "hangs" else PASSED, check_runs=8)
    for number in range(10):
        checks = (make_check(f"c{n}", port=10 * number + n + 1) for n in range(8))
        bench.add("a", *checks, host="hangs", service_id=f"s{number}")
    bench.add("b", make_check(interval_s=5.0), host="answers")
    bench.pass_time(21.0)
    assert [run.service_id for run in bench.under_way].count("s0") <= 2
    assert len(bench.under_way) == 2, "a quarter of all"
    served = [run for _, run in bench.started if run.spec.probes[0].host == "answers"]
    assert len(served) >= 4
    assert bench.monitoring.stats().waiting == 78


def test_an_agent_whose_targets_hang_delays_no_other_at_a_target_that_they_share() -> None:
    bench = Bench(lambda run: PASSED if run.spec.name == "other" else None, check_runs=8, check_runs_per_target=2)
    bench.add("a", make_check("x", port=1), make_check("y", port=2), host="hangs", service_id="hanging")
    bench.pass_time(6.0)
    assert len(bench.under_way) == 2, "the agent has no place left"
    bench.add("a", make_check("x"), make_check("y"), host="shared", service_id="waiting")
    bench.pass_time(6.0)
    assert bench.monitoring.stats().waiting == 2
    bench.add("b", make_check("other", interval_s=5.0), host="shared")
    bench.pass_time(21.0)
    assert len([run for _, run in bench.started if run.spec.name == "other"]) >= 4
    for run in list(bench.under_way):
        bench.finish(run)
    bench.start()
    assert {run.service_id for run in bench.under_way} == {"waiting"}, "and they run when it has places again"


def test_who_waits_for_one_place_may_come_to_wait_for_the_other() -> None:
    bench = Bench(lambda _: None, check_runs=4, check_runs_per_target=1)  # one place for each agent
    order = [("b", "x", "1"), ("a", "y", "2"), ("a", "x", "3")]
    entries = [bench.add(agent, make_check(), host=host, service_id=name) for agent, host, name in order]
    for entry in entries:
        bench.monitoring.check_now(entry.service_id, "", bench.world.now)
        bench.start()
    first, second = bench.under_way
    bench.finish(first)
    bench.start()
    assert bench.under_way == [second], "its target has a place now, its agent has none"
    assert bench.monitoring.stats().waiting == 1
    bench.finish(second)
    assert [run.service_id for run in bench.start()] == ["3"]


def come(bench: Bench, agent: str, host: str, name: str) -> None:
    """A service comes with a check that is due at once."""
    entry = bench.add(agent, make_check(), host=host, service_id=name)
    bench.monitoring.check_now(entry.service_id, "", bench.world.now)
    bench.start()


def test_who_waits_for_both_places_in_turn_comes_to_run() -> None:
    """However the others' runs end: each time one of its places is free the other is taken, and others come."""
    bench = Bench(lambda _: None, check_runs=4, check_runs_per_target=1)  # one place for each agent

    come(bench, "b0", "x", "target0")
    come(bench, "a", "y0", "agent0")
    come(bench, "a", "x", "wanted")
    for number in range(1, 8):
        come(bench, f"b{number}", "x", f"target{number}")
        come(bench, "a", f"y{number}", f"agent{number}")
        for kind in ("target", "agent"):
            if run := next((run for run in bench.under_way if run.service_id == f"{kind}{number - 1}"), None):
                bench.finish(run)
                bench.start()
    assert bench.starts_of("wanted")


def test_a_check_that_goes_gives_its_agents_place_back() -> None:
    bench = Bench(lambda _: None, check_runs=4, check_runs_per_target=1)  # one place for each agent

    def end(name: str) -> None:
        bench.finish(next(run for run in bench.under_way if run.service_id == name))
        bench.start()

    for agent, host, name in (("b", "x", "1"), ("a", "y", "2"), ("a", "x", "gone"), ("c", "x", "3")):
        come(bench, agent, host, name)
    end("1")
    come(bench, "a", "z", "4")
    end("2")
    assert [run.service_id for run in bench.under_way] == ["3"], "the agent's place is kept for what waits at x"
    bench.world.remove("gone")
    assert [run.service_id for run in bench.start()] == ["4"]


def test_who_was_held_up_goes_to_the_end_of_the_queue() -> None:
    """Else the targets that always have somebody waiting would keep all places for themselves."""
    bench = Bench(lambda _: None, check_runs=1, check_runs_per_target=1)
    order: list[Entry] = [
        bench.add(name, make_check(), host=host) for name, host in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    for entry in order:
        bench.monitoring.check_now(entry.service_id, "", bench.world.now)
        bench.start()
    served = []
    for _ in range(3):
        (run,) = bench.under_way
        served.append(bench.world.registry.get(run.service_id).spec.agent_id)
        bench.finish(run)
        bench.start()
    assert served == ["a", "c", "b"]


@pytest.mark.parametrize("phase", ["timed", "held up", "ready", "running"])
def test_a_check_may_go_at_any_time(phase: str) -> None:
    bench = Bench(
        lambda _: None, check_runs=1 if phase == "ready" else 8, check_runs_per_target=2 if phase == "ready" else 1
    )
    first = bench.add("first", make_check())
    second = bench.add("second", make_check())
    third = bench.add("third", make_check())
    if phase != "timed":
        for entry in (first, second, third):
            bench.monitoring.check_now(entry.service_id, "", bench.world.now)
            bench.start()
    bench.world.remove({"running": first, "timed": second, "held up": second, "ready": second}[phase].service_id)
    bench.pass_time(6.0)
    while bench.under_way:
        bench.finish(bench.under_way[0])
        bench.start()
    started = [run.service_id for _, run in bench.started]
    wanted = [entry.service_id for entry in (first, second, third) if entry is not second or phase == "running"]
    assert sorted(started) == sorted(wanted)
    assert (bench.monitoring.stats().running, bench.monitoring.stats().waiting) == (0, 0)
    assert bench.monitoring._schedule._lanes == ({}, {})


def test_idle_checks_cost_nothing() -> None:
    """However many there are: nothing is looked at before the first of them is due."""
    bench = Bench(check_runs=10_000)
    for number in range(500):
        bench.add(f"a{number}", *(make_check(f"c{port}", port=port, interval_s=3_600.0) for port in range(1, 9)))
    bench.pass_time(6.0)
    assert (len(bench.started), bench.monitoring.stats().checks) == (4_000, 4_000)
    heaps = (bench.monitoring._schedule._timers, bench.monitoring._freshness)
    assert [heap.next() - bench.world.now.mono > 3_000 for heap in heaps] == [True, True]
    assert [len(heap) for heap in heaps] == [4_000, 4_000]


def test_a_run_has_what_the_shell_needs() -> None:
    bench = Bench(lambda _: None)
    entry = bench.add("a", CheckSpec(name="c", probes=(TcpProbe(),)))
    run: Run = bench.until_run()
    assert (run.service_id, run.address) == (entry.service_id, "127.0.0.1")
    assert run.spec == CheckSpec(name="c", probes=(TcpProbe(host="10.0.0.1", port=80),))
