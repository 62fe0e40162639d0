"""Services as proto3 JSON, straight from the model: a snapshot's text is made once, however many read it.

The twin that is slow and obvious is `MessageToDict` of what `wire.encode` makes: six times the time for the same text.
"""

import functools
import json
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict

from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.model import LivenessMode, Load, ServiceStatus, Snapshot, StatusReason
from orion_registry.core.watching import WatchChange, WatchKind
from orion_registry.wire.checks import encode_check
from orion_registry.wire.encode import HasSnapshot
from orion_registry.wire.requests import DEFAULT_TTL_S
from orion_registry.wire.spans import span_of

_STATUS = {status: f"SERVICE_STATUS_{status.name}" for status in ServiceStatus}
_LIVENESS = {mode: f"LIVENESS_MODE_{mode.name}" for mode in LivenessMode}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_snapshot(snapshot: Snapshot) -> str:
    """A ServiceInfo without last_heartbeat and load."""
    text = snapshot.json
    if text is None:
        spec = snapshot.record.spec
        text = _dumps(_fields(snapshot))
        if spec.metadata_json != "{}":  # canonical JSON already
            text = f'{text[:-1]},"metadata":{spec.metadata_json}}}'
        snapshot.json = text
    return text


def json_entry(entry: HasSnapshot) -> str:
    """A whole ServiceInfo."""
    wall, load = entry.last_beat_wall, entry.load
    text = json_snapshot(entry.snapshot)
    if wall is None and load is None:
        return text
    tail: dict[str, Any] = {}
    if wall is not None:
        tail["last_heartbeat"] = json_time(wall)
    if load is not None:
        tail["load"] = _load(load)
    return f"{text[:-1]},{_dumps(tail)[1:]}"


def json_change(change: WatchChange) -> str:
    """A WatchEvent."""
    head = f'{{"type":"WATCH_EVENT_TYPE_{change.kind.name}","removal":"REMOVAL_REASON_'
    removal = "UNSPECIFIED" if change.removal is None else change.removal.name
    if change.snapshot is None:
        return f'{head}{removal}"}}'
    return f'{head}{removal}","service":{json_snapshot(change.snapshot)}}}'


def word_of(change: WatchChange) -> str:
    """What a change is called: added, modified, removed, bookmark, resync."""
    return _WORDS[change.kind]


_WORDS = {kind: kind.name.lower() for kind in WatchKind}


def json_time(wall: float) -> str:
    """A Timestamp: protobuf's own takes ten times as long, and a service has two at least."""
    seconds, micros = divmod(round(wall * 1_000_000), 1_000_000)
    if not micros:
        return f"{_second(seconds)}Z"
    if micros % 1_000:
        return f"{_second(seconds)}.{micros:06}Z"
    return f"{_second(seconds)}.{micros // 1_000:03}Z"


@functools.lru_cache(maxsize=4_096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def json_span(seconds: float) -> str:
    """A Duration."""
    return span_of(seconds).ToJsonString()


def _fields(snapshot: Snapshot) -> dict[str, Any]:
    """All fields but metadata. int64 is text in proto3 JSON."""
    record, spec = snapshot.record, snapshot.record.spec
    fields: dict[str, Any] = {
        "service_id": spec.service_id,
        "agent_id": spec.agent_id,
        "service_name": spec.service_name,
        "service_type": spec.service_type,
        "host": spec.host,
        "port": spec.port,
        "protocol": spec.protocol,
        "status": _STATUS[snapshot.status],
        "capabilities": spec.capabilities,
        "health_check_url": spec.health_check_url,
        "registration_time": json_time(record.registered_wall),
        "tags": spec.tags,
        "version": spec.version,
        "namespace": spec.namespace,
        "zone": spec.zone,
        "weight": spec.weight,
        "max_concurrency": spec.max_concurrency,
        "checks": [_check(check) for check in spec.checks],
        "liveness": _LIVENESS[spec.liveness],
        "epoch": str(snapshot.epoch),
        "status_reasons": [_reason(reason) for reason in snapshot.reasons],
        "ready": snapshot.ready,
        "generation": str(record.generation),
    }
    if spec.liveness is LivenessMode.TTL or spec.liveness_ttl_s != DEFAULT_TTL_S:
        fields["liveness_ttl"] = json_span(spec.liveness_ttl_s)
    for name, span_s in (
        ("retention", spec.retention_s),
        ("silence_timeout", spec.silence_timeout_s),
        ("stuck_after", spec.stuck_after_s),
    ):
        if span_s is not None:
            fields[name] = json_span(span_s)
    if snapshot.weight_set is not None:
        fields["overlay_weight"] = snapshot.weight_set
    return fields


def _reason(reason: StatusReason) -> dict[str, str]:
    return {"code": f"STATUS_REASON_CODE_{reason.code.name}", "since": json_time(reason.since_wall)}


def _check(check: CheckSpec) -> dict[str, Any]:
    return json_fields(encode_check(check))


def _load(load: Load) -> dict[str, Any]:
    return {
        "in_flight": load.in_flight,
        "queue_depth": load.queue_depth,
        "utilization": load.utilization,
        "named": dict(load.named),
    }


def json_fields(message: Any) -> dict[str, Any]:
    """A message in the one form of JSON that the registry speaks: proto names, and fields that are not set as well."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
