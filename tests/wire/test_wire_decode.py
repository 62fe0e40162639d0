"""What protobuf lets through and the model cannot hold is refused, naming field, limit and what came."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from orion_registry.core.checks.spec import CheckSpec, TcpProbe
from orion_registry.core.model import LivenessMode, ServiceSpec
from orion_registry.errors import InvalidArgument, Reason
from orion_registry.wire.agent_frames import decode_agent_frame
from orion_registry.wire.decode import (
    decode_register,
    decode_selector,
    decode_spec,
    decode_unregister,
    decode_update,
)
from orion_registry.wire.enums import decode_status
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1.service_pb2 import HealthCheck, Load, Selector, ServiceInfo, SessionRef

NAN, INF = float("nan"), float("inf")


def struct(**values: Value) -> Struct:
    return Struct(fields=values)


def num(value: float) -> Value:
    return Value(number_value=value)


def nested(depth: int) -> Value:
    value = num(1)
    for _ in range(depth):
        value = Value(list_value=ListValue(values=[value]))
    return value


def enum(field: int, number: int) -> bytes:
    """A varint field, which the generated classes would not let us set."""
    return (
        bytes((field << 3 & 0x7F | (0x80 if field > 15 else 0),)) + (b"\x01" if field > 15 else b"") + bytes((number,))
    )


SPECS = [
    (ServiceInfo(metadata=struct(a=num(NAN))), "service.metadata['a']"),
    (ServiceInfo(metadata=struct(a=num(-INF))), "service.metadata['a']"),
    (ServiceInfo(metadata=struct(a=Value())), "service.metadata['a']"),
    (ServiceInfo(metadata=struct(a=nested(9))), "service.metadata"),
    (ServiceInfo(metadata=Struct(fields={str(i): num(1) for i in range(65)})), "service.metadata"),
    (ServiceInfo(metadata=struct(a=Value(string_value="x" * 20_000))), "service.metadata"),
    (ServiceInfo(metadata=struct(a=Value(string_value="x" * 900_000))), "service.metadata"),
    (ServiceInfo(liveness_ttl=Duration(seconds=2**62)), "service.liveness_ttl"),
    (ServiceInfo(liveness_ttl=Duration(seconds=1, nanos=2**31 - 1)), "service.liveness_ttl"),
    (ServiceInfo(retention=Duration(seconds=-1, nanos=5)), "service.retention"),
    (ServiceInfo(silence_timeout=Duration(seconds=2**62)), "service.silence_timeout"),
    (ServiceInfo(stuck_after=Duration(seconds=2**62)), "service.stuck_after"),
    (ServiceInfo.FromString(enum(21, 77)), "service.liveness"),
]


@pytest.mark.parametrize(("info", "field"), SPECS, ids=range(len(SPECS)))
def test_bad_spec(info: ServiceInfo, field: str) -> None:
    """A registration."""
    with pytest.raises(InvalidArgument) as caught:
        decode_spec(info)
    assert caught.value.reason is Reason.BAD_FIELD
    assert caught.value.message.startswith(field)


SELECTORS = [
    (Selector(metadata=struct(a=num(NAN))), "selector.metadata['a']"),
    (Selector(metadata=struct(a=num(INF))), "selector.metadata['a']"),
    (Selector(metadata=struct(a=nested(1))), "selector.metadata['a']"),
    (Selector(metadata=struct(a=Value(struct_value=Struct()))), "selector.metadata['a']"),
    (Selector(metadata=struct(a=Value())), "selector.metadata['a']"),
    (Selector(metadata=Struct(fields={str(i): num(1) for i in range(65)})), "selector.metadata"),
    (Selector.FromString(enum(11, 6)), "selector.statuses"),
]


@pytest.mark.parametrize(("selector", "field"), SELECTORS, ids=range(len(SELECTORS)))
def test_bad_selector(selector: Selector, field: str) -> None:
    """A query; asked twice, it is refused twice."""
    for _ in range(2):
        with pytest.raises(InvalidArgument) as caught:
            decode_selector(selector)
        assert caught.value.message.startswith(field)


FRAMES: list[tuple[hb.HeartbeatRequest, str]] = [
    (hb.HeartbeatRequest(), "frame"),
    (hb.HeartbeatRequest.FromString(b"\xa2\x06\x00"), "frame"),  # a frame of field 100, from the future
    (hb.HeartbeatRequest(goodbye=hb.Goodbye.FromString(b"\x08\x63")), "goodbye.reason"),
    (hb.HeartbeatRequest(detach=hb.Detach(service_ids=["x"] * 1001)), "detach.service_ids"),
    (hb.HeartbeatRequest(attach=hb.Attach(sessions=[hb.Session()] * 1001)), "attach.sessions"),
    (hb.HeartbeatRequest(hello=hb.Hello(sessions=[hb.Session()] * 1001)), "hello.sessions"),
    (hb.HeartbeatRequest(hello=hb.Hello(sessions=[hb.Session.FromString(enum(3, 9))])), "hello.sessions.self_status"),
    (hb.HeartbeatRequest(beat=hb.Beat(services=[hb.ServiceBeat()] * 1001)), "beat.services"),
    (
        hb.HeartbeatRequest(beat=hb.Beat(services=[hb.ServiceBeat(load=Load(named={str(i): 1 for i in range(17)}))])),
        "beat.services.load.named",
    ),
    (hb.HeartbeatRequest(beat=hb.Beat(services=[hb.ServiceBeat.FromString(enum(3, 9))])), "beat.services.self_status"),
    (
        hb.HeartbeatRequest(beat=hb.Beat(services=[hb.ServiceBeat(task_age=Duration(seconds=-(2**63)))])),
        "beat.services.task_age",
    ),
]


@pytest.mark.parametrize(("message", "field"), FRAMES, ids=range(len(FRAMES)))
def test_bad_frame(message: hb.HeartbeatRequest, field: str) -> None:
    """A frame of the heartbeat stream."""
    with pytest.raises(InvalidArgument) as caught:
        decode_agent_frame(message)
    assert caught.value.message.startswith(field)


REQUESTS: list[tuple[Any, Any, str]] = [
    (decode_register, pb.RegisterServiceRequest(), "service"),
    (decode_unregister, pb.UnregisterServiceRequest(), "ref.service_id"),
    (decode_unregister, pb.UnregisterServiceRequest(ref=SessionRef(service_id="a b")), "ref.service_id"),
    (decode_update, pb.UpdateServiceRequest(), "ref.service_id"),
]


@pytest.mark.parametrize(("decode", "request_", "field"), REQUESTS, ids=range(len(REQUESTS)))
def test_bad_request(decode: Any, request_: Any, field: str) -> None:
    """What a request must carry."""
    with pytest.raises(InvalidArgument) as caught:
        decode(request_)
    assert caught.value.message.startswith(field)


def test_update_mask_is_bounded() -> None:
    """A mask has no more paths than there are fields."""
    request = pb.UpdateServiceRequest(ref=SessionRef(service_id="a"))
    request.update_mask.paths.extend(["tags"] * 32)
    with pytest.raises(InvalidArgument, match="update_mask"):
        decode_update(request)


def test_defaults() -> None:
    """What is not said has the documented default."""
    spec = decode_spec(ServiceInfo(agent_id="a", service_name="s"))
    assert spec == ServiceSpec(agent_id="a", service_name="s")
    assert spec.liveness is LivenessMode.STREAM
    assert decode_spec(ServiceInfo(weight=0)).weight == 0, "a weight of 0 is one that was given"
    tcp = HealthCheck(tcp=HealthCheck.Tcp())
    assert decode_spec(ServiceInfo(checks=[tcp])).checks == (CheckSpec(name="tcp", probes=(TcpProbe(),)),)


def test_goodbye_without_reason_means_moving() -> None:
    """The harmless reading."""
    frame = decode_agent_frame(hb.HeartbeatRequest(goodbye=hb.Goodbye()))
    assert getattr(frame, "reason", None) == 2


def test_status_numbers() -> None:
    """The message names what there is."""
    with pytest.raises(InvalidArgument, match=r"status: must be a ServiceStatus: .*2 UNHEALTHY.*, got -1"):
        decode_status("status", -1)


def test_large_selectors_are_decoded_too() -> None:
    """Those too large to be kept."""
    selector = Selector(tags=[f"tag-{index:03}" for index in range(64)])
    assert len(decode_selector(selector).tags) == 64
