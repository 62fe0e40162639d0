"""wire/overlay: what is asked arrives as it was meant, and what is set is told as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.commands import OverlaysSet, Removed, SetOverlay
from orion_registry.core.model import Load, ServiceStatus
from orion_registry.core.overlay import Overlay, OverlayFilter, OverlayMode, ServiceKey
from orion_registry.core.overlay_page import OverlayPage, OverlayRow
from orion_registry.errors import InvalidArgument
from orion_registry.wire.overlay import (
    SetOverlays,
    decode_overlay,
    decode_overlay_filter,
    decode_overlays_set,
    decode_set_overlay,
    encode_overlay_page,
    encode_overlays_set,
    encode_service_removed,
    encode_set_overlay,
)
from orion_registry_pb.v1 import admin_pb2 as pb
from tests.building import make_entry
from tests.wire.values import ids, int64s, labels, loads, selectors, spans, walls

modes = st.sampled_from(OverlayMode)
weights = st.none() | st.floats(0.001, 1000)
keys = st.builds(
    ServiceKey, namespace=ids, agent_id=ids | st.just(""), service_name=ids | st.just(""), service_id=ids | st.just("")
)
overlays = st.builds(
    Overlay,
    namespace=ids,
    agent_id=ids,
    service_name=ids,
    service_id=ids,
    mode=modes,
    weight=weights,
    deadline_s=st.none() | spans,
    note=labels,
    set_by=labels,
    set_wall=walls,
)


@given(
    st.builds(
        SetOverlay,
        target=keys | selectors(),
        mode=st.none() | modes,
        weight=weights,
        deadline_s=st.none() | spans,
        note=labels,
    )
)
def test_a_command_arrives_as_it_was_sent(command: SetOverlay) -> None:
    data = encode_set_overlay(command).SerializeToString()
    assert decode_set_overlay(pb.SetOverlayRequest.FromString(data)) == command


def test_an_empty_namespace_is_the_default_one() -> None:
    request = pb.SetOverlayRequest(key={"service_id": "s"}, mode=2)  # type: ignore[arg-type]
    assert decode_set_overlay(request).target == ServiceKey(service_id="s")


@pytest.mark.parametrize(
    ("request_sent", "says"),
    [
        (pb.SetOverlayRequest(mode=2), "target: must be key or selector"),  # type: ignore[arg-type]
        (pb.SetOverlayRequest(key={"service_id": "s"}, mode=5), "mode: must be an OverlayMode: 0"),  # type: ignore[arg-type]
        (
            pb.SetOverlayRequest(key={"service_id": "s"}, deadline={"nanos": 2_000_000_000}),  # type: ignore[arg-type]
            "deadline: must be",
        ),
    ],
)
def test_what_no_command_can_hold_is_refused(request_sent: pb.SetOverlayRequest, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        decode_set_overlay(request_sent)


def test_a_filter() -> None:
    request = pb.ListOverlaysRequest(
        namespace="n",
        agent_id="a",
        service_name="s",
        service_id="i",
        mode=3,  # type: ignore[arg-type]
    )
    assert decode_overlay_filter(request) == OverlayFilter(
        namespace="n", agent_id="a", service_name="s", service_id="i", mode=OverlayMode.MAINTENANCE
    )
    assert decode_overlay_filter(pb.ListOverlaysRequest()) == OverlayFilter()


@given(overlays, st.none() | loads, st.booleans(), st.integers(0, 2**31 - 1), st.none() | spans, st.booleans())
def test_what_is_set_is_told_as_it_is(
    overlay: Overlay, load: Load | None, there: bool, leases: int, left_s: float | None, drained: bool
) -> None:
    entry = make_entry() if there else None
    if entry is not None:
        entry.load = load
    row = OverlayRow(overlay=overlay, entry=entry, drained=drained, leases_left=leases, left_s=left_s)
    page = pb.ListOverlaysResponse.FromString(encode_overlay_page(OverlayPage(rows=(row,), next_token="t")))
    (message,) = page.overlays
    state = decode_overlay(message)
    key = ServiceKey(
        namespace=overlay.namespace,
        agent_id=overlay.agent_id,
        service_name=overlay.service_name,
        service_id=overlay.service_id,
    )
    assert (state.key, state.mode, state.weight, state.note, state.set_by) == (
        key,
        overlay.mode,
        overlay.weight,
        overlay.note,
        overlay.set_by,
    )
    assert (state.deadline_s, state.left_s, state.drained, state.leases_left) == (
        overlay.deadline_s,
        left_s,
        drained,
        leases,
    )
    assert state.set_wall == pytest.approx(overlay.set_wall, abs=1e-6)
    assert (state.registered, state.load) == (there, load if there else None)
    assert state.status is (ServiceStatus.HEALTHY if there else ServiceStatus.UNSPECIFIED)
    assert page.next_page_token == "t"


def test_a_mode_of_a_newer_registry_is_none() -> None:
    message = pb.ListOverlaysResponse(overlays=[{"mode": 9}]).overlays[0]  # type: ignore[list-item]
    assert decode_overlay(message).mode is OverlayMode.NONE


@given(st.lists(ids, max_size=3).map(tuple), st.integers(0, 3), st.integers(0, 2**31 - 1), int64s.map(abs))
def test_answers(service_ids: tuple[str, ...], registered: int, changed: int, revision: int) -> None:
    revision = min(revision, 2**63 - 1)
    result = OverlaysSet(service_ids=service_ids, registered=registered, changed=changed, revision=revision)
    told = encode_overlays_set(result)
    assert decode_overlays_set(pb.SetOverlayResponse.FromString(told)) == SetOverlays(
        service_ids=service_ids, registered=registered, changed=changed, revision=revision
    )
    removed = pb.RemoveServiceResponse.FromString(encode_service_removed(Removed(revision=revision)))
    assert removed.revision == revision
