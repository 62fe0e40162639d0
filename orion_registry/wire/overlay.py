"""What operators set: requests as the model's values, answers as bytes, and overlays as the SDK hands them out."""

from dataclasses import dataclass

from orion_registry.core.commands import OverlaysSet, Removed, SetOverlay
from orion_registry.core.model import Load, ServiceStatus
from orion_registry.core.overlay import OverlayFilter, OverlayMode, ServiceKey
from orion_registry.core.overlay_page import OverlayPage, OverlayRow
from orion_registry.core.selector import Selector
from orion_registry.errors import Said, bad_field
from orion_registry.wire.decode import decode_selector
from orion_registry.wire.enums import decode_overlay_mode, known
from orion_registry.wire.packing import number
from orion_registry.wire.requests import encode_load, encode_selector
from orion_registry.wire.service import decode_load
from orion_registry.wire.spans import decode_known_span, decode_span, span_of, timestamp_of, wall_of
from orion_registry_pb.v1 import admin_pb2, service_pb2
from orion_registry_pb.v1 import overlay_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOverlays:
    """What setting an overlay did: the services that it was for, how many of them are registered now, how many overlays
    changed, the revision after it.
    """

    service_ids: tuple[str, ...]
    registered: int
    changed: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayState:
    """What is set for a service, and how far it is.

    Attributes:
        key: the service, by its whole natural key.
        weight: in selection; None = the agent's own.
        deadline_s: how long draining may take; None = no limit. left_s: what is left of it.
        set_by, set_wall: who set it, and when (seconds since 1970, a label).
        registered: whether the service is there; what follows is empty otherwise.
        drained: safe to stop.
        leases_left: selections of it that are still held.
        load: what it reported last; None = nothing.
    """

    key: ServiceKey
    mode: OverlayMode
    weight: float | None
    deadline_s: float | None
    left_s: float | None
    note: str
    set_by: str
    set_wall: float
    registered: bool
    status: ServiceStatus
    drained: bool
    leases_left: int
    load: Load | None


# Requests.


def decode_set_overlay(request: admin_pb2.SetOverlayRequest) -> SetOverlay:
    """SetOverlay as a command; core checks its limits.

    Raises:
        InvalidArgument: BAD_FIELD, no target, a number that is no mode, a span or a selector that is none.
    """
    target: ServiceKey | Selector
    match request.WhichOneof("target"):
        case "key":
            target = _key(request.key)
        case "selector":
            target = decode_selector(request.selector)
        case _:
            raise bad_field("target", "key or selector", Said("neither"))
    return SetOverlay(
        target=target,
        mode=decode_overlay_mode("mode", request.mode),
        weight=request.weight if request.HasField("weight") else None,
        deadline_s=decode_span("deadline", request.deadline) if request.HasField("deadline") else None,
        note=request.note,
    )


def encode_set_overlay(command: SetOverlay) -> admin_pb2.SetOverlayRequest:
    """What a client sends."""
    target = command.target
    return admin_pb2.SetOverlayRequest(
        key=_encode_key(target) if isinstance(target, ServiceKey) else None,
        selector=encode_selector(target) if isinstance(target, Selector) else None,
        mode=pb.OverlayMode.ValueType(command.mode or 0),
        weight=command.weight,
        deadline=None if command.deadline_s is None else span_of(command.deadline_s),
        note=command.note,
    )


def decode_overlay_filter(request: admin_pb2.ListOverlaysRequest) -> OverlayFilter:
    """Which overlays are asked for; core checks the names.

    Raises:
        InvalidArgument: BAD_FIELD, a number that is no mode.
    """
    return OverlayFilter(
        namespace=request.namespace,
        agent_id=request.agent_id,
        service_name=request.service_name,
        service_id=request.service_id,
        mode=decode_overlay_mode("mode", request.mode),
    )


def _key(key: pb.ServiceKey) -> ServiceKey:
    return ServiceKey(
        namespace=key.namespace or "default",
        agent_id=key.agent_id,
        service_name=key.service_name,
        service_id=key.service_id,
    )


def _encode_key(key: ServiceKey) -> pb.ServiceKey:
    return pb.ServiceKey(
        namespace=key.namespace, agent_id=key.agent_id, service_name=key.service_name, service_id=key.service_id
    )


# Answers.


def encode_overlays_set(result: OverlaysSet) -> bytes:
    """A SetOverlayResponse."""
    answer = admin_pb2.SetOverlayResponse(
        service_ids=result.service_ids,
        changed=result.changed,
        revision=result.revision,
        registered=result.registered,
    )
    return answer.SerializeToString()


def encode_overlay_page(page: OverlayPage) -> bytes:
    """A ListOverlaysResponse."""
    rows = map(_encode_row, page.rows)
    return admin_pb2.ListOverlaysResponse(overlays=rows, next_page_token=page.next_token).SerializeToString()


def encode_service_removed(result: Removed) -> bytes:
    """A RemoveServiceResponse."""
    return number(1, result.revision)


def _encode_row(row: OverlayRow) -> pb.Overlay:
    overlay, entry = row.overlay, row.entry
    message = pb.Overlay(
        key=pb.ServiceKey(
            namespace=overlay.namespace,
            agent_id=overlay.agent_id,
            service_name=overlay.service_name,
            service_id=overlay.service_id,
        ),
        mode=pb.OverlayMode.ValueType(overlay.mode),
        weight=overlay.weight,
        deadline=None if overlay.deadline_s is None else span_of(overlay.deadline_s),
        deadline_left=None if row.left_s is None else span_of(row.left_s),
        note=overlay.note,
        set_by=overlay.set_by,
        set_at=timestamp_of(overlay.set_wall),
        drained=row.drained,
        leases_left=row.leases_left,
    )
    if entry is not None:
        message.registered = True
        message.status = service_pb2.ServiceStatus.ValueType(entry.snapshot.status)
        if entry.load is not None:
            message.load.CopyFrom(encode_load(entry.load))
    return message


# What the SDK makes of them.


def decode_overlays_set(answer: admin_pb2.SetOverlayResponse) -> SetOverlays:
    """What a registry sent."""
    return SetOverlays(
        service_ids=tuple(answer.service_ids),
        registered=answer.registered,
        changed=answer.changed,
        revision=answer.revision,
    )


def decode_overlay(message: pb.Overlay) -> OverlayState:
    """What a registry sent. A mode that this version does not know is NONE."""
    has = message.HasField
    return OverlayState(
        key=_key(message.key),
        mode=known(OverlayMode, message.mode, OverlayMode.NONE),
        weight=message.weight if has("weight") else None,
        deadline_s=decode_known_span(message.deadline) if has("deadline") else None,
        left_s=decode_known_span(message.deadline_left) if has("deadline_left") else None,
        note=message.note,
        set_by=message.set_by,
        set_wall=wall_of(message.set_at),
        registered=message.registered,
        status=known(ServiceStatus, message.status, ServiceStatus.UNKNOWN),
        drained=message.drained,
        leases_left=message.leases_left,
        load=decode_load(message.load) if has("load") else None,
    )
