"""A local view ranks a service as the registry's own balancer would, and remembers what the registry has forgotten."""

from dataclasses import replace

import pytest

from orion_registry.client.fold import WatchEvent, WatchKind
from orion_registry.client.last_good import LastGood
from orion_registry.client.local_candidate import candidate_of
from orion_registry.core.model import ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.core.selection.candidate import Tier
from orion_registry.core.status import effective
from orion_registry.wire.service import Service

PLAIN = Service(service_id="s", agent_id="a", service_name="n", namespace="ns", zone="z", max_concurrency=3)


def having(*codes: StatusReasonCode, reported: ServiceStatus = ServiceStatus.UNSPECIFIED) -> Service:
    """A service with these reasons, as the registry's own table has it."""
    told = effective(tuple(StatusReason(code=code, since_wall=1.0) for code in codes), reported)
    return replace(PLAIN, status=told.status, reasons=told.reasons, ready=told.ready)


def tier(service: Service) -> Tier:
    return candidate_of(service, vouched=False).tier


@pytest.mark.parametrize("code", [code for code in StatusReasonCode if code is not StatusReasonCode.SELF_REPORTED])
def test_every_reason_means_what_it_means_in_the_registry(code: StatusReasonCode) -> None:
    said = (StatusReason(code=code, since_wall=1.0),)
    assert tier(having(code)) == effective(said).selection_tier
    late = (*said, StatusReason(code=StatusReasonCode.LATE, since_wall=1.0))
    if code is not StatusReasonCode.LATE:
        assert tier(having(code, StatusReasonCode.LATE)) == effective(late).selection_tier


@pytest.mark.parametrize("reported", [status for status in ServiceStatus if status > ServiceStatus.HEALTHY])
def test_what_it_reports_of_itself_counts(reported: ServiceStatus) -> None:
    expected = Tier.DEGRADED_LAST if reported is ServiceStatus.UNKNOWN else Tier.NEVER
    own = StatusReasonCode.SELF_REPORTED
    assert tier(having(StatusReasonCode.BEATING, own, reported=reported)) is expected
    worse = having(StatusReasonCode.SILENT, own, reported=reported)
    assert tier(worse) is Tier.NEVER


def test_the_registrys_word_counts_where_its_reasons_are_unknown() -> None:
    assert tier(replace(PLAIN, ready=True)) is Tier.FIRST
    assert tier(replace(PLAIN, ready=False)) is Tier.NEVER
    assert tier(replace(having(StatusReasonCode.BEATING), ready=False)) is Tier.NEVER
    assert tier(replace(having(StatusReasonCode.PROBATION), ready=True)) is Tier.SECOND


def test_weights_replicas_and_slots() -> None:
    candidate = candidate_of(replace(PLAIN, weight=2.0), vouched=False)
    assert (candidate.weight, candidate.service_name, candidate.zone, candidate.max_concurrency) == (
        2.0,
        "ns/n",
        "z",
        3,
    )
    assert candidate_of(replace(PLAIN, weight=2.0, overlay_weight=0.0), vouched=False).weight == 0.0


def test_vouched_is_second_choice() -> None:
    assert candidate_of(having(StatusReasonCode.BEATING), vouched=True).tier is Tier.SECOND
    assert candidate_of(having(StatusReasonCode.SILENT), vouched=True).tier is Tier.NEVER


def follow(good: LastGood, service: Service, kind: WatchKind = WatchKind.MODIFIED) -> Service | None:
    good.take(WatchEvent(kind=kind, service=service))
    return good.services.get("s")


def test_a_restarted_registry_does_not_make_a_view_forget() -> None:
    good = LastGood()
    beating = having(StatusReasonCode.BEATING)
    assert follow(good, beating) == beating
    restored = replace(having(StatusReasonCode.RESTORED), port=9, generation=4)
    assert follow(good, restored) == replace(beating, port=9, generation=4), "old status, new facts"
    assert good.vouched == {"s"}
    assert follow(good, restored) == replace(beating, port=9, generation=4), "however often it says so"
    gone = having(StatusReasonCode.NOT_SEEN)
    assert follow(good, gone) == gone
    assert not good.vouched
    assert follow(good, restored) == restored, "what was known to be dead stays so"
    follow(good, beating)
    follow(good, restored)
    assert follow(good, restored, WatchKind.REMOVED) is None
    assert not good.vouched


@pytest.mark.parametrize("code", [StatusReasonCode.RECONNECT_GRACE, StatusReasonCode.SILENT])
def test_what_the_registry_does_know_is_believed(code: StatusReasonCode) -> None:
    good = LastGood()
    follow(good, having(StatusReasonCode.BEATING))
    assert follow(good, having(code)) == having(code)
    good = LastGood()
    follow(good, having(StatusReasonCode.BEATING))
    drained = having(StatusReasonCode.RESTORED, StatusReasonCode.DRAINING)
    assert follow(good, drained) == drained
