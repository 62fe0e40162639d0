"""What one side encodes, the other decodes to the same value."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.frames import AgentFrame, RegistryFrame, Sessions
from orion_registry.core.model import Load, ServiceSpec, Snapshot
from orion_registry.core.selector import Selector
from orion_registry.errors import Reason, RegistryError, ResourceExhausted, Unavailable
from orion_registry.wire.agent_frames import decode_agent_frame
from orion_registry.wire.decode import decode_load, decode_selector, decode_spec
from orion_registry.wire.registry_frames import encode_registry_frame
from orion_registry.wire.requests import (
    decode_registry_frame,
    encode_agent_frame,
    encode_load,
    encode_selector,
    encode_spec,
)
from orion_registry.wire.service import decode_service
from orion_registry.wire.spans import decode_span, span_of, timestamp_of, wall_of
from orion_registry.wire.status import MESSAGE_MAX, error_from_status, status_of
from orion_registry_pb.v1 import heartbeat_pb2, service_pb2
from tests.wire import values


def same_error(one: RegistryError, other: RegistryError) -> bool:
    return (type(one), one.reason, one.message, one.retry_after_s) == (
        type(other),
        other.reason,
        other.message,
        other.retry_after_s,
    )


@given(values.specs())
def test_spec(spec: ServiceSpec) -> None:
    """A registration arrives as it was meant."""
    sent = encode_spec(spec).SerializeToString()
    assert decode_spec(service_pb2.ServiceInfo.FromString(sent)) == spec


@given(values.snapshots())
def test_spec_from_an_answer(snapshot: Snapshot) -> None:
    """What Get returned can be registered again: output-only fields are ignored."""
    assert decode_spec(values.snapshot_message(snapshot)) == snapshot.record.spec


@given(values.snapshots())
def test_service(snapshot: Snapshot) -> None:
    """The SDK's Service says what the registry knows."""
    service, spec = decode_service(values.snapshot_message(snapshot)), snapshot.record.spec
    shared = {field.name for field in fields(spec)} & {field.name for field in fields(service)}
    assert {name: getattr(service, name) for name in shared} == {name: getattr(spec, name) for name in shared}
    assert service.metadata == json.loads(spec.metadata_json)
    assert (service.status, service.ready, service.reasons) == (snapshot.status, snapshot.ready, snapshot.reasons)
    assert (service.epoch, service.generation) == (snapshot.epoch, snapshot.record.generation)
    assert service.registration_time == snapshot.record.registered_wall
    assert (service.load, service.last_heartbeat) == (None, None)


@given(values.selectors())
def test_selector(selector: Selector) -> None:
    """A query arrives as it was meant."""
    assert decode_selector(encode_selector(selector)) == selector


@given(values.loads)
def test_load(load: Load) -> None:
    """Load figures arrive as they are."""
    assert decode_load("load", encode_load(load)) == load


@given(values.agent_frames)
def test_agent_frame(frame: AgentFrame) -> None:
    """Every frame of an agent arrives."""
    sent = encode_agent_frame(frame).SerializeToString()
    assert decode_agent_frame(heartbeat_pb2.HeartbeatRequest.FromString(sent)) == frame


@given(values.registry_frames)
def test_registry_frame(frame: RegistryFrame) -> None:
    """Every frame of the registry arrives; errors inside by their content, for they are no values."""
    came = decode_registry_frame(heartbeat_pb2.HeartbeatResponse.FromString(encode_registry_frame(frame)))
    if not isinstance(frame, Sessions):
        assert came == frame
        return
    assert isinstance(came, Sessions)
    for sent, got in zip(frame.results, came.results, strict=True):
        for field in fields(sent):
            one, other = getattr(sent, field.name), getattr(got, field.name)
            if isinstance(one, RegistryError):
                assert same_error(one, other)
            else:
                assert one == other


@given(values.errors())
def test_error(error: RegistryError) -> None:
    """Every error arrives as the same class, with its reason, message and delay."""
    code, message, details = status_of(error)
    assert code == error.code
    assert same_error(error_from_status(code, message, details), error)


@given(st.integers(-(10**12), 10**12).map(lambda millis: millis / 1000))
def test_span(seconds: float) -> None:
    """Spans keep every millisecond, on both sides of zero."""
    assert decode_span("span", span_of(seconds)) == seconds


@given(values.walls)
def test_wall(wall: float) -> None:
    """Labels keep every microsecond."""
    assert wall_of(timestamp_of(wall)) == wall


@pytest.mark.parametrize(
    ("code", "details", "cls", "reason"),
    [
        (14, b"", Unavailable, Reason.NOT_SERVING),
        (14, b"\xff\xff", Unavailable, Reason.NOT_SERVING),
        (8, b"", ResourceExhausted, Reason.RATE_LIMITED),
        (13, b"", Unavailable, Reason.NOT_SERVING),
    ],
)
def test_foreign_status(code: int, details: bytes, cls: type[RegistryError], reason: Reason) -> None:
    """A status without our details, or with damaged ones, still becomes a typed error."""
    error = error_from_status(code, "text", details)
    assert (type(error), error.reason, error.message) == (cls, reason, "text")


def test_unknown_reason() -> None:
    """A reason of a newer registry is understood by its code."""
    code, message, details = status_of(Unavailable(Reason.STORE_DOWN, "x", retry_after_s=2.5))
    error = error_from_status(code, message, details.replace(b"STORE_DOWN", b"STORE_BUSY"))
    assert (error.code, error.reason, error.retry_after_s) == (14, Reason.NOT_SERVING, 2.5)


def test_message_is_safe() -> None:
    """However large and odd what came was, a status stays one short printable line."""
    long = status_of(Unavailable(Reason.STORE_DOWN, "ä" * 100_000))
    assert len(long.message) == MESSAGE_MAX
    assert len(long.details) < 1024
    assert status_of(Unavailable(Reason.STORE_DOWN, "a\nb\x00c\ud800")).message == "a�b�c�"


def test_unknown_enum_numbers_from_a_newer_registry() -> None:
    """The SDK keeps going: what it does not know is left out or UNKNOWN."""
    info = service_pb2.ServiceInfo()
    info.ParseFromString(b"\x40\x63\xca\x01\x02\x08\x63")  # status 99, status_reasons [{code 99}]
    service = decode_service(info)
    assert (service.status.name, service.reasons) == ("UNKNOWN", ())
    assert decode_registry_frame(heartbeat_pb2.HeartbeatResponse()) is None


def test_selectors_meaning_the_same_are_equal() -> None:
    """Order and repeats of terms make no difference, so both have one view."""
    one: Any = service_pb2.Selector(tags=["b", "a", "b"], capabilities=["x"])
    other: Any = service_pb2.Selector(tags=["a", "b"], capabilities=["x", "x"])
    assert decode_selector(one) == decode_selector(other)


@pytest.mark.parametrize(("host", "address"), [("10.0.0.1", "10.0.0.1:80"), ("::1", "[::1]:80")])
def test_address(host: str, address: str) -> None:
    """An address can be dialled as it is."""
    assert decode_service(service_pb2.ServiceInfo(host=host, port=80)).address == address
