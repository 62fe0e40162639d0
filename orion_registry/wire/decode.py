"""Requests as the model's values. Refuses what protobuf allows and the model cannot hold; limits are core's matter."""

from collections.abc import Collection
from functools import lru_cache
from typing import Literal

from orion_registry.core import limits
from orion_registry.core.commands import Register, Unregister, Update
from orion_registry.core.model import Load, ServiceSpec, SessionRef
from orion_registry.core.selector import Selector
from orion_registry.core.validation import check_id
from orion_registry.errors import Said, bad_field
from orion_registry.wire.checks import decode_checks
from orion_registry.wire.enums import decode_mode, decode_status
from orion_registry.wire.spans import decode_span
from orion_registry.wire.structs import decode_metadata, decode_scalars
from orion_registry_pb.v1 import registry_pb2, service_pb2

_SELECTOR_KEPT = 512
"""Bytes of the largest selector whose decoded form is kept, so that hostile ones fill no memory."""
_PATHS = len(service_pb2.ServiceInfo.DESCRIPTOR.fields)


def decode_spec(info: service_pb2.ServiceInfo) -> ServiceSpec:
    """What an agent may write of a service, with its defaults. Output-only fields are ignored.

    Raises:
        InvalidArgument: metadata beyond its limits, a span or an enum number that is none.
    """
    metadata_json, scalars = decode_metadata("service.metadata", info.metadata)
    return ServiceSpec(
        namespace=info.namespace or "default",
        service_id=info.service_id,
        agent_id=info.agent_id,
        service_name=info.service_name,
        service_type=info.service_type or "agent",
        host=info.host,
        port=info.port,
        protocol=info.protocol or "http",
        version=info.version or "1.0.0",
        zone=info.zone,
        capabilities=tuple(info.capabilities),
        tags=tuple(info.tags),
        metadata_json=metadata_json,
        metadata_scalars=scalars,
        weight=info.weight if info.HasField("weight") else 1.0,
        max_concurrency=info.max_concurrency,
        health_check_url=info.health_check_url,
        checks=decode_checks("service.checks", info.checks) if info.checks else (),
        liveness=decode_mode("service.liveness", info.liveness),
        liveness_ttl_s=decode_span("service.liveness_ttl", info.liveness_ttl)
        if info.HasField("liveness_ttl")
        else 30.0,
        retention_s=_span("retention", info),
        silence_timeout_s=_span("silence_timeout", info),
        stuck_after_s=_span("stuck_after", info),
    )


def _span(name: Literal["retention", "silence_timeout", "stuck_after"], info: service_pb2.ServiceInfo) -> float | None:
    return decode_span(f"service.{name}", getattr(info, name)) if info.HasField(name) else None


def decode_selector(selector: service_pb2.Selector) -> Selector:
    """A query in its one form: terms sorted, without repeats, so that equal queries are equal.

    Raises:
        InvalidArgument: an enum number that is none, or metadata that is no scalar.
    """
    if selector.ByteSize() > _SELECTOR_KEPT:
        return _selector_of(selector)
    return _selector_of_bytes(selector.SerializeToString())


@lru_cache(maxsize=256)
def _selector_of_bytes(data: bytes) -> Selector:
    """Callers ask the same few questions over and over, and serialising costs a tenth of decoding."""
    return _selector_of(service_pb2.Selector.FromString(data))


def _selector_of(selector: service_pb2.Selector) -> Selector:
    return Selector(
        namespace=selector.namespace or "default",
        service_type=selector.service_type,
        service_name=selector.service_name,
        agent_id=selector.agent_id,
        capabilities=_terms(selector.capabilities),
        tags=_terms(selector.tags),
        tags_any=_terms(selector.tags_any),
        tags_none=_terms(selector.tags_none),
        metadata=decode_scalars("selector.metadata", selector.metadata) if selector.HasField("metadata") else (),
        zone=selector.zone,
        statuses=frozenset(decode_status("selector.statuses", number) for number in selector.statuses),
        include_not_ready=selector.include_not_ready,
    )


def decode_ref(ref: service_pb2.SessionRef) -> SessionRef:
    """Who speaks for a service; unchecked."""
    return SessionRef(service_id=ref.service_id, epoch=ref.epoch, secret=ref.secret)


def decode_checked_ref(ref: service_pb2.SessionRef) -> SessionRef:
    """Who speaks for a service, in a request that names one.

    Raises:
        InvalidArgument: its id is none.
    """
    check_id("ref.service_id", ref.service_id)
    return decode_ref(ref)


def decode_load(field: str, load: service_pb2.Load) -> Load:
    """Load figures; core checks their limits."""
    named = load.named
    if not named:
        return Load(in_flight=load.in_flight, queue_depth=load.queue_depth, utilization=load.utilization)
    if len(named) > limits.NAMED_LOADS:  # before copying what may be large
        raise bad_field(f"{field}.named", f"at most {limits.NAMED_LOADS} entries", len(named))
    return Load(in_flight=load.in_flight, queue_depth=load.queue_depth, utilization=load.utilization, named=dict(named))


def decode_register(request: registry_pb2.RegisterServiceRequest) -> Register:
    """RegisterService as a command. Raises InvalidArgument."""
    if not request.HasField("service"):
        raise bad_field("service", "set", Said("nothing"))
    return Register(
        spec=decode_spec(request.service),
        secret=request.secret,
        request_id=request.request_id,
        takeover=request.takeover,
    )


def decode_unregister(request: registry_pb2.UnregisterServiceRequest) -> Unregister:
    """UnregisterService as a command. Raises InvalidArgument."""
    return Unregister(ref=decode_checked_ref(request.ref))


def decode_update(request: registry_pb2.UpdateServiceRequest) -> Update:
    """UpdateService as a command. Raises InvalidArgument."""
    if len(request.update_mask.paths) > _PATHS:
        raise bad_field("update_mask", f"at most {_PATHS} fields", len(request.update_mask.paths))
    return Update(
        ref=decode_checked_ref(request.ref),
        spec=decode_spec(request.service),
        paths=tuple(request.update_mask.paths),
        etag=request.etag,
    )


def _terms(values: Collection[str]) -> tuple[str, ...]:
    return tuple(values) if len(values) < 2 else tuple(sorted(set(values)))
