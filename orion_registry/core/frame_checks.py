"""Checks of what agents send over a stream: each raises `InvalidArgument`; nothing of such a frame is applied."""

from orion_registry.core import limits
from orion_registry.core.frames import ServiceBeat, SessionRequest
from orion_registry.core.validation import check_load, check_number
from orion_registry.errors import bad_field


def check_sessions(requests: tuple[SessionRequest, ...]) -> None:
    """The sessions of a hello or an attach."""
    if len(requests) > limits.SESSIONS:
        raise bad_field("sessions", f"at most {limits.SESSIONS:,} entries", len(requests))
    for index, request in enumerate(requests):
        if request.load is not None:
            check_load(f"sessions[{index}].load", request.load)


def check_beats(beats: tuple[ServiceBeat, ...]) -> None:
    """The news of a beat."""
    if len(beats) > limits.SESSIONS:
        raise bad_field("beat.services", f"at most {limits.SESSIONS:,} entries", len(beats))
    for index, news in enumerate(beats):
        if news.load is not None:
            check_load(f"beat.services[{index}].load", news.load)
        if news.task_age_s is not None:
            check_number(f"beat.services[{index}].task_age", news.task_age_s, 0, limits.TASK_AGE_MAX_S)
