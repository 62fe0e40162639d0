"""Results and notices of Route are, byte by byte, what protobuf makes of the same values."""

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orion_registry.core.model import StatusReasonCode
from orion_registry.core.selection.leases import Lease
from orion_registry.errors import RegistryError
from orion_registry.wire import route
from orion_registry.wire.balancer_answers import encode_renewal, encode_selection
from orion_registry.wire.encode import encode_entry
from orion_registry.wire.spans import span_of
from orion_registry.wire.status import encode_error
from orion_registry_pb.v1 import balancer_pb2 as pb
from tests.wire import values
from tests.wire.test_wire_encode import FakeEntry, entries, plain, small_snapshot

ids = st.integers(0, 300) | st.integers(0, 2**64 - 1)
names = st.text(min_size=1, max_size=20)


def lease(selection_id: str = "s-1", ttl_s: float = 60.0, service_id: str = "service") -> Lease:
    slots: Any = SimpleNamespace(service_id=service_id)
    return Lease(selection_id, 1, slots, "/caller", "r1", 0.0, ttl_s, None)


def message(result: pb.RouteResult) -> bytes:
    return pb.RouteResponse(results=[result]).SerializeToString()


@given(ids)
def test_what_has_nothing_more_to_say(command_id: int) -> None:
    assert route.result_done(command_id, "release") == message(
        pb.RouteResult(id=command_id, release=pb.ReleaseServiceResponse())
    )
    assert route.result_done(command_id, "report") == message(
        pb.RouteResult(id=command_id, report=pb.ReportOutcomeResponse())
    )


@given(ids, st.integers(0, 2**31 - 1), st.booleans())
def test_waits(command_id: int, position: int, waited: bool) -> None:
    waiting = pb.RouteResult(id=command_id, waiting=pb.Waiting(position=position))
    assert route.result_waiting(command_id, position) == message(waiting)
    cancelled = pb.RouteResult(id=command_id, cancel=pb.CancelWaitResult(waited=waited))
    assert route.result_cancelled(command_id, waited) == message(cancelled)


@given(ids, values.errors())
def test_errors(command_id: int, error: RegistryError) -> None:
    assert route.result_error(command_id, error) == message(pb.RouteResult(id=command_id, error=encode_error(error)))


@given(ids, names, st.floats(0.001, 3_600.0) | values.errors())
def test_renewals(command_id: int, name: str, outcome: float | RegistryError) -> None:
    renewal = pb.Renewal(selection_id=name)
    if isinstance(outcome, RegistryError):
        renewal.error.CopyFrom(encode_error(outcome))
    else:
        renewal.ttl.CopyFrom(span_of(round(outcome, 3)))
    answer = route.result_renewed(command_id, encode_renewal(name, outcome))
    assert answer == message(pb.RouteResult(id=command_id, renew=pb.RenewSelectionsResponse(renewals=[renewal])))


@settings(max_examples=30)  # whole services are slow to draw
@given(ids, names | st.sampled_from(["s" * 127, "s" * 128, "s" * 300]), entries, st.floats(0.001, 3_600.0))
@example(0, "s-1", FakeEntry(small_snapshot()), 60.0)
@example(1, "s-1", FakeEntry(small_snapshot(metadata_json='{"a":"' + "b" * 16_250 + '"}')), 60.0)  # around two bytes
@example(1, "s-1", FakeEntry(small_snapshot(metadata_json='{"a":"' + "b" * 17_000 + '"}')), 60.0)
def test_selections(command_id: int, name: str, entry: FakeEntry, ttl_s: float) -> None:
    """The fast form is the slow one, and both are what protobuf reads as the selection."""
    held = lease(name, ttl_s)
    granted = route.result_granted(command_id, held, entry)
    assert granted == route.result_selected(command_id, encode_selection(held, entry, ttl_s))
    selection = pb.Selection(selection_id=name, service=plain(entry), ttl=span_of(ttl_s))
    expected = pb.RouteResult(id=command_id, select=pb.SelectServiceResponse(selections=[selection]))
    assert pb.RouteResponse.FromString(granted) == pb.RouteResponse(results=[expected])


def test_selections_of_every_size() -> None:
    """Around the sizes at which a length takes one byte more, with ids of one byte to ten."""
    sizes = {*range(80, 140), *range(16_300, 16_400, 3)}
    base = len(encode_entry(FakeEntry(small_snapshot(metadata_json='{"a":""}'))))
    for size in sizes:
        entry = FakeEntry(small_snapshot(metadata_json='{"a":"' + "b" * max(0, size - base) + '"}'))
        for command_id in (0, 1, 127, 128, 2**64 - 1):
            slow = route.result_selected(command_id, encode_selection(lease(), entry, 60.0))
            assert route.result_granted(command_id, lease(), entry) == slow
            assert len(pb.RouteResponse.FromString(slow).results) == 1


@given(names, names, st.sampled_from(StatusReasonCode) | st.none())
def test_notices(name: str, service_id: str, reason: StatusReasonCode | None) -> None:
    held = lease(name, service_id=service_id)
    lost = pb.SelectionNotice(
        selection_id=name,
        service_id=service_id,
        kind=pb.SELECTION_NOTICE_KIND_SERVICE_LOST,
        reason=cast("Any", reason or 0),
    )
    assert route.notice_lost(held, reason) == pb.RouteResponse(notices=[lost]).SerializeToString()
    expired = pb.SelectionNotice(selection_id=name, service_id=service_id, kind=pb.SELECTION_NOTICE_KIND_EXPIRED)
    assert route.notice_expired(held) == pb.RouteResponse(notices=[expired]).SerializeToString()
