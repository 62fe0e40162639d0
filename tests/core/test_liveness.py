"""core/liveness: the transition table, and how long each state may last."""

import pytest

from orion_registry.core.config import RegistryConfig
from orion_registry.core.liveness import ALWAYS, DEAD, OVERDUE, RESTORED, START, Event, next_state, time_allowed
from orion_registry.core.model import LivenessMode
from orion_registry.core.model import StatusReasonCode as State
from tests.building import STATIC, STREAM, TTL, make_spec


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        ("AWAITING_BEAT", "SESSION", "STREAM_OPEN"),
        ("STREAM_OPEN", "ENDED", "DISCONNECTED"),
        ("STREAM_OPEN", "MOVING", "RECONNECT_GRACE"),
        ("STREAM_OPEN", "DETACHED", "AWAITING_BEAT"),
        ("DISCONNECTED", "SESSION", "STREAM_OPEN"),
        ("AWAITING_BEAT", "BEAT", "BEATING"),
        ("SILENT", "BEAT", "BEATING"),
        ("AWAITING_BEAT", "DEADLINE", "NOT_SEEN"),
        ("RESTORED", "DEADLINE", "NOT_SEEN"),
        ("RECONNECT_GRACE", "DEADLINE", "NOT_SEEN"),
        ("BEATING", "DEADLINE", "SILENT"),
        ("DISCONNECTED", "CLAIMED", "AWAITING_BEAT"),
    ],
)
def test_transitions(state: str, event: str, after: str) -> None:
    assert next_state(State[state], Event[event], STREAM) is State[after]


@pytest.mark.parametrize(("mode", "state"), [(STREAM, "AWAITING_BEAT"), (TTL, "AWAITING_BEAT"), (STATIC, "STATIC")])
def test_a_claim_starts_by_mode(mode: LivenessMode, state: str) -> None:
    assert next_state(State.DISCONNECTED, Event.CLAIMED, mode) is State[state]
    assert RESTORED[mode] is (State.STATIC if mode is STATIC else State.RESTORED)


CONFIG = RegistryConfig(retention_s=60, not_seen_s=10, reconnect_grace_s=6)


@pytest.mark.parametrize(
    ("state", "allowed_s"),
    [
        ("STREAM_OPEN", None),
        ("STATIC", None),
        ("BEATING", 30.0),
        ("AWAITING_BEAT", 10.0),
        ("RESTORED", 10.0),
        ("RECONNECT_GRACE", 6.0),
        ("DISCONNECTED", 60.0),
        ("SILENT", 60.0),
        ("NOT_SEEN", 60.0),
    ],
)
def test_time_allowed(state: str, allowed_s: float | None) -> None:
    assert time_allowed(State[state], make_spec(), CONFIG) == allowed_s


def test_a_ttl_service_may_take_its_ttl_to_the_first_beat() -> None:
    assert time_allowed(State.AWAITING_BEAT, make_spec(liveness=TTL, liveness_ttl_s=40.0), CONFIG) == 40.0
    assert time_allowed(State.RESTORED, make_spec(liveness=TTL, liveness_ttl_s=2.0), CONFIG) == 10.0


@pytest.mark.parametrize(("own", "allowed_s"), [(5.0, 5.0), (0.0, None), (None, 60.0)])
def test_a_service_may_bring_its_own_retention(own: float | None, allowed_s: float | None) -> None:
    assert time_allowed(State.SILENT, make_spec(retention_s=own), CONFIG) == allowed_s


def test_retention_zero_keeps_for_ever() -> None:
    assert time_allowed(State.SILENT, make_spec(), RegistryConfig(retention_s=0)) is None


def test_every_state_with_a_deadline_knows_what_comes_then() -> None:
    reached = {*START.values(), *RESTORED.values(), *ALWAYS.values(), *OVERDUE.values()}
    for state in reached:
        if time_allowed(state, make_spec(), CONFIG) is not None:
            assert (state in OVERDUE) != (state in DEAD)
