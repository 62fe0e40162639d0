"""What checks mean for their service: the one place where verdicts become reasons."""

from collections.abc import Collection

from orion_registry.core.checks.active import ActiveCheck
from orion_registry.core.checks.threshold import CheckState
from orion_registry.core.liveness import Event
from orion_registry.core.model import StatusReasonCode

CONDITIONS = (StatusReasonCode.CHECK_STALE, StatusReasonCode.CHECK_FAILED)
"""Reasons that checks are beside another liveness."""


def conditions_of_checks(checks: Collection[ActiveCheck]) -> frozenset[StatusReasonCode]:
    """Which of `CONDITIONS` hold for a service whose liveness is known otherwise."""
    codes = set()
    if any(check.state is CheckState.FAILING for check in checks):
        codes.add(StatusReasonCode.CHECK_FAILED)
    if any(check.stale for check in checks):
        codes.add(StatusReasonCode.CHECK_STALE)
    return frozenset(codes)


def event_of_checks(checks: Collection[ActiveCheck]) -> Event:
    """What all that its checks say is for the liveness of a service in CHECK mode: one word, the worst."""
    if any(check.state is CheckState.FAILING for check in checks):
        return Event.CHECKS_FAILED
    if any(check.state is CheckState.AWAITING for check in checks):
        return Event.CHECKS_AWAITED
    if any(check.stale for check in checks):
        return Event.CHECKS_STALE
    return Event.CHECKS_PASSED
