"""Strategies for the model's values as they pass over the wire."""

import dataclasses
from typing import Any

from hypothesis import strategies as st

from orion_registry.core import frames
from orion_registry.core.checks.spec import CheckSpec, CustomProbe, GrpcProbe, HttpProbe, IcmpProbe, TcpProbe
from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import (
    LivenessMode,
    Load,
    Record,
    ServiceSpec,
    ServiceStatus,
    SessionRef,
    Snapshot,
    StatusReason,
    StatusReasonCode,
)
from orion_registry.core.selector import Selector
from orion_registry.errors import CLASS_OF, Reason, RegistryError
from orion_registry.wire.requests import encode_spec
from orion_registry.wire.spans import timestamp_of
from orion_registry_pb.v1 import service_pb2

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True)
labels = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
counts = st.integers(0, 1_000_000)
int64s = st.integers(-(2**63), 2**63 - 1)
spans = st.integers(0, 10**9).map(lambda millis: millis / 1000)
walls = st.integers(0, 4 * 10**15).map(lambda micros: micros / 1_000_000)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | finite | texts
jsons: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
statuses = st.sampled_from(ServiceStatus)
loads = st.builds(
    Load, in_flight=counts, queue_depth=counts, utilization=finite, named=st.dictionaries(texts, finite, max_size=4)
)
ports = st.integers(0, 2**31 - 1)
positive = st.integers(1, 2**31 - 1)
probes = (
    st.builds(
        HttpProbe,
        host=texts,
        port=ports,
        https=st.booleans(),
        method=texts.filter(bool),
        path=texts,
        headers=st.dictionaries(texts, texts, max_size=2).map(lambda headers: tuple(sorted(headers.items()))),
        status_min=positive,
        status_max=positive,
        tls_name=texts,
        verify=st.booleans(),
    )
    | st.builds(TcpProbe, host=texts, port=ports)
    | st.builds(IcmpProbe, host=texts)
    | st.builds(GrpcProbe, host=texts, port=ports, service=texts, tls=st.booleans(), tls_name=texts)
    | st.builds(CustomProbe, name=texts)
)
checks = st.builds(
    CheckSpec,
    name=texts.filter(bool),
    probes=st.lists(probes, min_size=1, max_size=3).map(tuple),
    interval_s=spans,
    timeout_s=st.none() | spans,
    retries=st.integers(0, 9),
    fall=positive,
    rise=positive,
)
refs = st.builds(SessionRef, service_id=texts, epoch=int64s, secret=texts)


@st.composite
def specs(draw: st.DrawFn) -> ServiceSpec:
    metadata_json, metadata_scalars = canonical_metadata(draw(st.dictionaries(texts, jsons, max_size=4)))
    return ServiceSpec(
        namespace=draw(ids),
        service_id=draw(ids | st.just("")),
        agent_id=draw(ids),
        service_name=draw(ids),
        service_type=draw(ids),
        host=draw(texts),
        port=draw(st.integers(0, 65535)),
        protocol=draw(ids),
        version=draw(labels),
        zone=draw(texts),
        capabilities=tuple(draw(st.lists(labels, max_size=4))),
        tags=tuple(draw(st.lists(labels, max_size=4))),
        metadata_json=metadata_json,
        metadata_scalars=metadata_scalars,
        weight=draw(st.floats(0, 1000)),
        max_concurrency=draw(counts),
        health_check_url=draw(texts),
        checks=draw(st.lists(checks, max_size=2).map(tuple)),
        liveness=draw(st.sampled_from(LivenessMode)),
        liveness_ttl_s=draw(spans),
        retention_s=draw(st.none() | spans),
        silence_timeout_s=draw(st.none() | spans),
        stuck_after_s=draw(st.none() | spans),
    )


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    terms = st.lists(labels, unique=True, max_size=3).map(lambda values: tuple(sorted(values)))
    return Selector(
        namespace=draw(ids),
        service_type=draw(ids | st.just("")),
        service_name=draw(ids | st.just("")),
        agent_id=draw(ids | st.just("")),
        capabilities=draw(terms),
        tags=draw(terms),
        tags_any=draw(terms),
        tags_none=draw(terms),
        metadata=tuple(sorted(draw(st.dictionaries(texts, scalars, max_size=3)).items())),
        zone=draw(texts),
        statuses=frozenset(draw(st.lists(statuses, max_size=3))),
        include_not_ready=draw(st.booleans()),
    )


def record_of(spec: ServiceSpec, generation: int = 1, registered_wall: float = 1.0) -> Record:
    unseen: dict[str, Any] = {
        field.name: ""
        for field in dataclasses.fields(Record)
        if field.name not in ("spec", "generation", "registered_wall") and field.default is dataclasses.MISSING
    }
    return Record(spec=spec, generation=generation, registered_wall=registered_wall, **unseen)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    record = record_of(draw(specs()), draw(st.integers(0, 2**63 - 1)), draw(walls))
    reasons = st.builds(StatusReason, code=st.sampled_from(StatusReasonCode), since_wall=walls)
    return Snapshot(
        record=record,
        status=draw(statuses),
        reasons=tuple(draw(st.lists(reasons, max_size=4))),
        ready=draw(st.booleans()),
        tier=0,
        selection_tier=0,
        epoch=draw(st.integers(0, 2**63 - 1)),
        revision=draw(st.integers(0, 2**63 - 1)),
        weight_set=draw(st.none() | st.floats(0.001, 1000)),
    )


@st.composite
def errors(draw: st.DrawFn) -> RegistryError:
    reason = draw(st.sampled_from(Reason))
    return CLASS_OF[reason](reason, draw(labels), retry_after_s=draw(st.none() | spans))


sessions = st.lists(
    st.builds(frames.SessionRequest, ref=refs, load=st.none() | loads, self_status=statuses), max_size=3
).map(tuple)
service_beats = st.builds(
    frames.ServiceBeat,
    service_id=texts,
    load=st.none() | loads,
    self_status=statuses,
    progress=int64s,
    task_age_s=st.none() | spans,
    loop_lag_s=st.none() | spans,
)
text_tuples = st.lists(texts, max_size=3).map(tuple)
agent_frames: st.SearchStrategy[frames.AgentFrame] = st.one_of(
    st.builds(frames.Hello, agent_id=texts, instance_id=texts, sdk=texts, features=text_tuples, sessions=sessions),
    st.builds(frames.Attach, sessions=sessions),
    st.builds(frames.Detach, service_ids=text_tuples),
    st.builds(frames.Beat, seq=int64s, services=st.lists(service_beats, max_size=3).map(tuple)),
    st.builds(frames.CommandAck, nonce=int64s),
    st.builds(frames.Goodbye, reason=st.sampled_from(frames.GoodbyeReason)),
)
session_results = st.builds(
    frames.SessionResult,
    service_id=texts,
    epoch=int64s,
    error=st.none() | errors(),
    previous_status=statuses,
    previous_reason=st.none() | st.sampled_from(StatusReasonCode),
)
registry_frames: st.SearchStrategy[frames.RegistryFrame] = st.one_of(
    st.builds(frames.Welcome, interval_s=spans, timeout_s=spans),
    st.builds(frames.Sessions, results=st.lists(session_results, max_size=3).map(tuple)),
    st.builds(frames.Ack, seq=int64s, interval_s=spans, timeout_s=spans),
    st.builds(frames.Lost, service_id=texts, reason=st.sampled_from(frames.LostReason)),
    st.builds(frames.Drain, nonce=int64s, service_ids=text_tuples, deadline_s=st.none() | spans),
    st.builds(
        frames.GoAway, reason=st.sampled_from(frames.GoAwayReason), reconnect_after_s=spans, alternates=text_tuples
    ),
)


def snapshot_message(snapshot: Snapshot) -> service_pb2.ServiceInfo:
    """The straightforward twin of `encode_snapshot`."""
    record = snapshot.record
    info = encode_spec(record.spec)
    info.status = service_pb2.ServiceStatus.ValueType(snapshot.status)
    info.ready = snapshot.ready
    info.epoch = snapshot.epoch
    info.generation = record.generation
    info.registration_time.CopyFrom(timestamp_of(record.registered_wall))
    if snapshot.weight_set is not None:
        info.overlay_weight = snapshot.weight_set
    for reason in snapshot.reasons:
        info.status_reasons.add(
            code=service_pb2.StatusReasonCode.ValueType(reason.code), since=timestamp_of(reason.since_wall)
        )
    return info
