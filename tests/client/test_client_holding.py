"""What becomes of a held service: copies of one agent never duel, and a registry that forgot is told again."""

import pytest

from orion_registry.client.holding import Holding, HoldState
from orion_registry.core.frames import LostReason
from orion_registry.core.model import Load, ServiceSpec, ServiceStatus
from orion_registry.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Reason,
    RegistryError,
    ResourceExhausted,
    Unavailable,
    bad_field,
)

IN_USE = AlreadyExists(Reason.AGENT_IN_USE, "live", retry_after_s=1.0)
NO_SUCH = NotFound(Reason.NO_SUCH_SERVICE, "gone")
WRONG_SECRET = PermissionDenied(Reason.WRONG_SECRET, "not yours")
STALE = FailedPrecondition(Reason.STALE_EPOCH, "stale")


def fresh() -> Holding:
    return Holding(ServiceSpec(agent_id="a", service_name="s"), secret="secret-1", request_id="r-1")


def held() -> Holding:
    holding = fresh()
    holding.registered("id", 1)
    holding.accepted(2)
    return holding


def resuming() -> Holding:
    holding = held()
    holding.stream_ended()
    return holding


def refuse(holding: Holding, error: RegistryError, number: int = 2) -> None:
    holding.refused(error, secret=f"secret-{number}", request_id=f"r-{number}")


def test_the_straight_way() -> None:
    holding = fresh()
    states = [holding.state]
    holding.registered("id", 1)
    states.append(holding.state)
    assert states == [HoldState.CLAIM, HoldState.RESUME]
    holding.accepted(2)
    assert (holding.state, holding.ref.epoch, holding.ref.secret) == (HoldState.HELD, 2, "secret-1")
    holding.stream_ended()
    assert holding.state is HoldState.RESUME
    assert holding.ref.epoch == 2, "the next hello carries the last epoch"


def test_a_registry_that_forgot_is_told_again_with_the_same_secret() -> None:
    holding = resuming()
    refuse(holding, NO_SUCH)
    assert (holding.state, holding.secret, holding.request_id) == (HoldState.CLAIM, "secret-1", "r-2")


@pytest.mark.parametrize("error", [WRONG_SECRET, STALE])
def test_another_claim_is_answered_once_as_a_stranger(error: RegistryError) -> None:
    holding = resuming()
    refuse(holding, error)
    assert (holding.state, holding.secret) == (HoldState.CLAIM, "secret-2"), "a fresh secret cannot displace the living"
    holding.claim_failed(IN_USE)
    assert holding.state is HoldState.SUPERSEDED
    assert holding.error is not None
    assert holding.error.reason is Reason.SUPERSEDED


@pytest.mark.parametrize("error", [WRONG_SECRET, STALE])
def test_a_second_refusal_in_a_row_is_final(error: RegistryError) -> None:
    holding = resuming()
    refuse(holding, error)
    holding.registered("id", 5)
    refuse(holding, error, 3)
    assert holding.state is HoldState.SUPERSEDED


def test_once_accepted_again_the_count_starts_anew() -> None:
    holding = resuming()
    refuse(holding, WRONG_SECRET)
    holding.registered("id", 5)
    holding.accepted(6)
    holding.stream_ended()
    refuse(holding, WRONG_SECRET, 3)
    assert holding.state is HoldState.CLAIM


def test_agent_in_use_passes_at_the_start_only() -> None:
    waiting, refused = fresh(), fresh()
    waiting.claim_failed(IN_USE)
    refused.claim_failed(AlreadyExists(Reason.AGENT_IN_USE, "another agent has the id"))
    assert (waiting.state, refused.state) == (HoldState.CLAIM, HoldState.REFUSED)
    running = resuming()
    refuse(running, NO_SUCH)
    running.claim_failed(IN_USE)
    assert running.state is HoldState.SUPERSEDED


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (LostReason.SUPERSEDED, HoldState.SUPERSEDED),
        (LostReason.REMOVED, HoldState.CLAIM),
        (LostReason.UNREGISTERED, HoldState.GONE),
    ],
)
def test_losses(reason: LostReason, state: HoldState) -> None:
    holding = held()
    holding.lost(reason, request_id="r-2")
    assert holding.state is state


@pytest.mark.parametrize("final", [LostReason.SUPERSEDED, LostReason.UNREGISTERED])
def test_final_states_stay(final: LostReason) -> None:
    holding = held()
    holding.lost(final, request_id="r-2")
    state = holding.state
    holding.accepted(9)
    holding.stream_ended()
    holding.lost(LostReason.REMOVED, request_id="r-3")
    refuse(holding, NO_SUCH)
    holding.registered("id", 10)
    assert holding.state is state


@pytest.mark.parametrize(
    "error",
    [
        Unavailable(Reason.STORE_DOWN, "later", retry_after_s=1.0),
        Unavailable(Reason.NOT_SERVING, "starting"),
        ResourceExhausted(Reason.RATE_LIMITED, "slowly"),
        ResourceExhausted(Reason.TOO_LARGE, "an import is under way", retry_after_s=1.0),
    ],
)
def test_what_passes_is_tried_again(error: RegistryError) -> None:
    resumed, claiming = resuming(), fresh()
    refuse(resumed, error)
    claiming.claim_failed(error)
    assert (resumed.state, claiming.state) == (HoldState.RESUME, HoldState.CLAIM)


@pytest.mark.parametrize(
    "error",
    [
        bad_field("port", "0 to 65535", 70000),
        PermissionDenied(Reason.NOT_OWNER, "another identity"),
        ResourceExhausted(Reason.TOO_LARGE, "2 MB"),
    ],
)
def test_what_stays_is_refused(error: RegistryError) -> None:
    holding = fresh()
    holding.claim_failed(error)
    assert holding.state is HoldState.REFUSED
    assert holding.error is error


def test_an_unknown_epoch_is_claimed_again_once() -> None:
    holding = resuming()
    refuse(holding, bad_field("ref.epoch", "an epoch that this registry gave", 9))
    assert (holding.state, holding.secret) == (HoldState.CLAIM, "secret-1")
    holding.registered("id", 1)
    refuse(holding, bad_field("ref.epoch", "an epoch that this registry gave", 9))
    assert holding.state is HoldState.REFUSED


def test_news_go_out_once_and_again_with_each_hello() -> None:
    holding = held()
    assert holding.beat(None, 0.0) is None
    holding.report(load=Load(in_flight=3), status=ServiceStatus.STOPPING)
    beat = holding.beat(None, 0.0)
    assert beat is not None
    assert (beat.load, beat.self_status) == (Load(in_flight=3), ServiceStatus.STOPPING)
    assert holding.beat(None, 0.0) is None
    request = holding.request()
    assert (request.load, request.self_status) == (Load(in_flight=3), ServiceStatus.STOPPING)
    lagging = holding.beat(0.4, 0.0)
    assert lagging is not None
    assert lagging.loop_lag_s == 0.4


def test_a_status_is_said_once_on_a_stream_and_again_when_reported_again() -> None:
    holding = held()
    holding.report(status=ServiceStatus.STARTING)
    statuses = []
    for report in ({}, {"load": Load(in_flight=1)}, {"status": ServiceStatus.STARTING}, {"load": Load(in_flight=2)}):
        if report:
            holding.report(**report)
        beat = holding.beat(0.4, 0.0)
        assert beat is not None
        statuses.append(beat.self_status)
    unsaid = ServiceStatus.UNSPECIFIED
    assert statuses == [ServiceStatus.STARTING, unsaid, ServiceStatus.STARTING, unsaid]
    holding.report(status=ServiceStatus.STOPPING)
    assert holding.request().self_status is ServiceStatus.STOPPING
    holding.report(load=Load())
    beat = holding.beat(None, 0.0)
    assert beat is not None
    assert beat.self_status is unsaid, "the hello has said it"


def test_a_task_is_told_with_its_age_with_all_news_until_idle() -> None:
    """The registry takes silence about a task in a service's news for idleness."""
    holding = held()
    holding.report_task(began=100.0, progress=7)
    told = []
    for now in (103.0, 105.0):
        beat = holding.beat(None, now)
        assert beat is not None
        told.append((beat.progress, beat.task_age_s))
        assert holding.beat(None, now) is None
        holding.report(load=Load(in_flight=1))
    assert told == [(7, 3.0), (7, 5.0)]
    holding.report_task(began=None, progress=7)
    beat = holding.beat(None, 106.0)
    assert beat is not None
    assert beat.task_age_s is None


def test_a_task_is_told_again_after_each_hello() -> None:
    holding = held()
    holding.report_task(began=100.0, progress=7)
    holding.request()
    holding.accepted(9)
    beat = holding.beat(None, 104.0)
    assert beat is not None
    assert beat.task_age_s == 4.0
    holding.report_task(began=None, progress=7)
    holding.request()
    holding.accepted(10)
    assert holding.beat(None, 105.0) is None
