"""core/status: the table of docs/design.md, "Effective status"; the worst reason decides."""

from itertools import combinations

import pytest

from orion_registry.core.model import ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.core.status import SEVERITY, TABLE, Use, effective, self_report_row

Code, Status = StatusReasonCode, ServiceStatus

ROWS: list[tuple[str, str, bool, int, Use]] = [
    ("STREAM_OPEN BEATING STATIC CHECK_OK", "HEALTHY", True, 0, Use.TIER_0),
    ("LATE HELD STUCK CHECK_STALE", "HEALTHY", True, 1, Use.TIER_1),
    ("EJECTED PROBATION", "HEALTHY", False, -1, Use.DEGRADED),
    ("RESTORED RECONNECT_GRACE OWNER_LOST", "UNKNOWN", False, -1, Use.DEGRADED_LAST),
    ("AWAITING_BEAT AWAITING_CHECK", "STARTING", False, -1, Use.NEVER),
    ("DRAINING DRAINED MAINTENANCE", "STOPPING", False, -1, Use.NEVER),
    ("DISCONNECTED SILENT NOT_SEEN CHECK_FAILED QUARANTINED", "UNHEALTHY", False, -1, Use.NEVER),
]
TOLD = [(Code[name], *row[1:]) for row in ROWS for name in row[0].split()]


def because(*codes: StatusReasonCode) -> tuple[StatusReason, ...]:
    return tuple(StatusReason(code=code, since_wall=0.0) for code in codes)


@pytest.mark.parametrize(("code", "status", "ready", "tier", "use"), TOLD, ids=str)
def test_one_reason(code: StatusReasonCode, status: str, ready: bool, tier: int, use: Use) -> None:
    got = effective(because(code))
    assert (got.status, got.ready, got.tier, got.use) == (Status[status], ready, tier, use)


def test_every_code_has_its_row() -> None:
    assert {code for code, *_ in TOLD} == set(TABLE) == set(Code) - {Code.SELF_REPORTED}


def test_severity() -> None:
    worst_first = ["UNHEALTHY", "STOPPING", "UNKNOWN", "STARTING", "HEALTHY"]
    assert [status.name for status in reversed(SEVERITY)] == worst_first


def test_of_two_reasons_the_worse_status_and_the_lesser_use_count() -> None:
    for pair in combinations(TABLE, 2):
        got = effective(because(*pair))
        assert got == effective(because(*reversed(pair))) or TABLE[pair[0]] == TABLE[pair[1]]
        assert SEVERITY.index(got.status) == max(SEVERITY.index(TABLE[code].status) for code in pair)
        assert got.use == min(TABLE[code].use for code in pair)
        assert TABLE[got.reasons[0].code].status is got.status, "the worst reason is named first"
        assert {reason.code for reason in got.reasons} == set(pair), "no reason is dropped"


@pytest.mark.parametrize("reported", ["UNHEALTHY", "STARTING", "STOPPING", "UNKNOWN"])
def test_a_self_report_makes_it_worse(reported: str) -> None:
    got = effective(because(Code.STREAM_OPEN, Code.SELF_REPORTED), Status[reported])
    assert (got.status, got.ready) == (Status[reported], False)
    assert got.reasons[0].code is Code.SELF_REPORTED
    assert self_report_row(Status[reported]).use is (Use.DEGRADED_LAST if reported == "UNKNOWN" else Use.NEVER)


def test_a_self_report_never_hides_missing_liveness() -> None:
    got = effective(because(Code.DISCONNECTED, Code.SELF_REPORTED), Status.STARTING)
    assert got.status is Status.UNHEALTHY
    assert [reason.code for reason in got.reasons] == [Code.DISCONNECTED, Code.SELF_REPORTED]
