"""core/tasks: busy without progress is STUCK; progress, another task or idleness is not."""

from typing import Any

import pytest

from orion_registry.core.entry import Entry
from orion_registry.core.frames import ServiceBeat
from orion_registry.core.model import ServiceStatus
from orion_registry.core.sessions import HeartbeatSession
from tests.building import OTHER_SECRET, World, ref_of

STUCK_S = 10.0


class Worker:
    def __init__(self, stuck_after_s: float = STUCK_S, **spec: Any) -> None:
        self.world = World(stuck_after_s=stuck_after_s)
        self.entry: Entry = self.world.add(**spec)
        self.session: HeartbeatSession = self.world.live(self.entry)

    def tell(self, progress: int = 0, age_s: float | None = None) -> None:
        news = ServiceBeat(service_id=self.entry.service_id, progress=progress, task_age_s=age_s)
        self.world.beat(self.session, news)

    def beats(self, seconds: float) -> None:
        """Beats without news."""
        self.world.beats(self.session, seconds)

    def is_stuck(self) -> bool:
        codes = {reason.code.name for reason in self.entry.snapshot.reasons}
        assert codes <= {"STREAM_OPEN", "STUCK"}
        return "STUCK" in codes


def test_without_progress_for_too_long_it_is_stuck_though_it_beats() -> None:
    worker = Worker()
    worker.tell(progress=1, age_s=0.0)
    worker.beats(9.0)
    assert not worker.is_stuck()
    worker.beats(1.0)
    assert worker.is_stuck()
    snapshot = worker.entry.snapshot
    assert (snapshot.status, snapshot.ready, snapshot.tier) == (ServiceStatus.HEALTHY, True, 1)


@pytest.mark.parametrize(
    ("progress", "age_s"),
    [(2, 10.0), (1, None), (1, 0.0)],
    ids=["progress", "idle", "another task"],
)
def test_what_ends_it(progress: int, age_s: float | None) -> None:
    worker = Worker()
    worker.tell(progress=1, age_s=0.0)
    worker.beats(10.0)
    assert worker.is_stuck()
    worker.tell(progress=progress, age_s=age_s)
    assert not worker.is_stuck()
    worker.beats(9.0)
    assert not worker.is_stuck()
    worker.beats(1.0)
    assert worker.is_stuck() is (age_s is not None)


def test_the_same_said_again_changes_nothing() -> None:
    worker = Worker()
    for second in range(10):
        worker.tell(progress=1, age_s=float(second))
        assert not worker.is_stuck()
        worker.beats(1.0)
    assert worker.is_stuck()


def test_the_age_of_a_task_that_was_never_seen_counts() -> None:
    worker = Worker()
    worker.tell(age_s=9.5)
    assert not worker.is_stuck()
    worker.beats(1.0)
    assert worker.is_stuck()
    other = Worker()
    other.tell(age_s=3_600.0)
    assert other.is_stuck()


def test_one_that_has_got_on_is_given_its_time_though_its_task_is_old() -> None:
    """As after a restart of the registry, which has seen no lack of progress."""
    worker = Worker()
    worker.tell(progress=7, age_s=3_600.0)
    worker.beats(9.0)
    assert not worker.is_stuck()
    worker.beats(1.0)
    assert worker.is_stuck()


def test_the_dead_are_not_stuck() -> None:
    worker = Worker()
    worker.tell(age_s=0.0)
    worker.world.pass_time(2.0)
    worker.world.close(worker.session)
    worker.world.pass_time(2 * STUCK_S)
    assert {reason.code.name for reason in worker.entry.snapshot.reasons} == {"DISCONNECTED"}


def test_progress_is_remembered_over_a_reconnect() -> None:
    worker = Worker()
    worker.tell(progress=1, age_s=0.0)
    worker.beats(8.0)
    worker.world.close(worker.session)
    worker.session = worker.world.live(worker.entry)
    worker.tell(progress=2, age_s=3_600.0)
    assert not worker.is_stuck()
    worker.beats(9.0)
    assert not worker.is_stuck()


@pytest.mark.parametrize(("own", "default", "stuck"), [(None, 0.0, False), (0.0, 5.0, False), (5.0, 0.0, True)])
def test_a_service_may_bring_its_own_span(own: float | None, default: float, stuck: bool) -> None:
    worker = _worker(default, own)
    worker.tell(age_s=0.0)
    worker.beats(6.0)
    assert worker.is_stuck() is stuck


def _worker(default: float, own: float | None) -> Worker:
    worker = Worker(default)
    worker.world.update(ref_of(worker.entry), ("stuck_after",), stuck_after_s=own)
    return worker


def test_a_changed_span_counts_from_now() -> None:
    worker = _worker(0.0, 60.0)
    worker.tell(age_s=0.0)
    worker.beats(20.0)
    worker.world.update(ref_of(worker.entry), ("stuck_after",), stuck_after_s=5.0)
    worker.beats(4.0)
    assert not worker.is_stuck()
    worker.beats(1.0)
    assert worker.is_stuck()
    worker.world.update(ref_of(worker.entry), ("stuck_after",), stuck_after_s=0.0)
    assert not worker.is_stuck()
    worker.tell()
    worker.world.update(ref_of(worker.entry), ("stuck_after",), stuck_after_s=7.0)
    worker.beats(20.0)
    assert not worker.is_stuck(), "idle"


def test_a_stall_of_the_daemon_makes_nobody_stuck() -> None:
    worker = Worker()
    worker.tell(age_s=0.0)
    worker.beats(5.0)
    worker.world.clock.advance(60.0)
    worker.tell(age_s=65.0)
    worker.beats(4.0)
    assert not worker.is_stuck()


def test_another_life_of_the_agent_has_no_task_yet() -> None:
    worker = Worker()
    worker.tell(age_s=0.0)
    worker.beats(10.0)
    assert worker.is_stuck()
    worker.world.register(agent_id="agent", secret=OTHER_SECRET, takeover=True)
    assert {reason.code.name for reason in worker.entry.snapshot.reasons} == {"AWAITING_BEAT"}
    worker.world.pass_time(9.0)
    assert {reason.code.name for reason in worker.entry.snapshot.reasons} == {"AWAITING_BEAT"}


def test_a_new_session_owes_nothing_for_the_task_of_an_old_one() -> None:
    """A process that crashed while busy comes back idle, and an idle one has nothing to tell."""
    worker = Worker()
    worker.tell(age_s=0.0)
    worker.beats(10.0)
    assert worker.is_stuck()
    worker.world.close(worker.session)
    worker.session = worker.world.live(worker.entry)
    assert not worker.is_stuck()
    worker.beats(2 * STUCK_S)
    assert not worker.is_stuck()
    worker.world.update(ref_of(worker.entry), ("stuck_after",), stuck_after_s=5.0)
    worker.beats(STUCK_S)
    assert not worker.is_stuck()


def test_a_task_of_one_that_is_removed_is_forgotten() -> None:
    worker = Worker()
    worker.tell(age_s=0.0)
    worker.world.remove(worker.entry.service_id)
    worker.world.pass_time(20.0)
    assert worker.world.found() == []


@pytest.mark.parametrize("age_s", [-1.0, float("nan"), 1e12])
def test_an_age_that_is_none_ends_the_stream(age_s: float) -> None:
    worker = Worker()
    worker.tell(age_s=age_s)
    assert worker.session.ended
    assert worker.session.end is not None
    assert "beat.services[0].task_age" in worker.session.end.message
