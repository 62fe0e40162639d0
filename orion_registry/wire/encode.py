"""Services and answers as bytes. A snapshot is encoded once; what changes with every beat is appended as a tail."""

from collections.abc import Sequence
from typing import Protocol

from orion_registry.core import limits
from orion_registry.core.commands import Imported, Registered, Removed, Updated
from orion_registry.core.entry import Encoded
from orion_registry.core.model import Load, Record, ServiceStatus, Snapshot
from orion_registry.wire.packing import blob, number, varint
from orion_registry.wire.requests import encode_load, encode_spec
from orion_registry.wire.spans import fill_timestamp, span_of
from orion_registry_pb.v1 import registry_pb2, service_pb2


class Listed(Protocol):
    """What is encoded of a catalog entry."""

    @property
    def load(self) -> Load | None:
        """Its last load."""
        ...

    @property
    def last_beat_wall(self) -> float | None:
        """When it was last heard of, seconds since 1970."""
        ...


class HasSnapshot(Listed, Protocol):
    """A catalog entry."""

    snapshot: Snapshot
    encoded: Encoded | None


class Found(Protocol):
    """A page of the catalog."""

    @property
    def entries(self) -> Sequence[HasSnapshot]:
        """What was found."""
        ...

    @property
    def not_ready_count(self) -> int:
        """How many match, but for being not ready."""
        ...

    def token_after(self, index: int) -> str:
        """Token of the page that begins after entries[index]; empty if nothing follows."""
        ...


# Services.


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A ServiceInfo without last_heartbeat and load. Made once for each snapshot, and the record's part once for it."""
    data = snapshot.encoded
    if data is None:
        kept = snapshot.encoded_record
        if kept is None:
            kept = snapshot.encoded_record = _record_message(snapshot.record).SerializeToString()
        data = snapshot.encoded = kept + _state_message(snapshot).SerializeToString()
    return data


def _record_message(record: Record) -> service_pb2.ServiceInfo:
    """What stays until the record changes."""
    info = encode_spec(record.spec)
    info.generation = record.generation
    fill_timestamp(info.registration_time, record.registered_wall)
    return info


def _state_message(snapshot: Snapshot) -> service_pb2.ServiceInfo:
    """What changes with every edge."""
    info = service_pb2.ServiceInfo()  # filled field by field: keywords cost half as much again
    info.status = service_pb2.ServiceStatus.ValueType(snapshot.status)
    info.ready = snapshot.ready
    info.epoch = snapshot.epoch
    if snapshot.weight_set is not None:
        info.overlay_weight = snapshot.weight_set
    for reason in snapshot.reasons:
        told = info.status_reasons.add()
        told.code = service_pb2.StatusReasonCode.ValueType(reason.code)
        fill_timestamp(told.since, reason.since_wall)
    return info


def encode_entry(entry: HasSnapshot) -> bytes:
    """A whole ServiceInfo: protobuf allows fields in any order, so the tail is simply appended.

    Kept until the entry is heard of again or changes: services are looked up far more often than they beat.
    """
    snapshot, wall, load, kept = entry.snapshot, entry.last_beat_wall, entry.load, entry.encoded
    if kept is not None and kept[0] is snapshot and kept[1] == wall and kept[2] is load:
        return kept[3]
    data = encode_snapshot(snapshot) + _tail(entry)
    entry.encoded = (snapshot, wall, load, data)
    return data


class _Tail:
    """last_heartbeat and load of a ServiceInfo. The messages are used again and again: making them costs most."""

    def __init__(self) -> None:
        self._beaten = service_pb2.ServiceInfo()
        self._wall = self._beaten.last_heartbeat
        self._loaded = service_pb2.ServiceInfo()
        self._loaded_wall = self._loaded.last_heartbeat
        self._load = self._loaded.load

    def __call__(self, entry: Listed) -> bytes:
        """The two fields, serialised."""
        wall, load = entry.last_beat_wall, entry.load
        if wall is None:
            return b"" if load is None else _plain_tail(load)
        if load is None:
            message, target = self._beaten, self._wall
        elif load.named:
            return _plain_tail(load) + self(_WallOnly(wall))
        else:
            message, target = self._loaded, self._loaded_wall
            figures = self._load
            figures.in_flight, figures.queue_depth = load.in_flight, load.queue_depth
            figures.utilization = load.utilization
        fill_timestamp(target, wall)
        return message.SerializeToString()


class _WallOnly:
    """An entry that was heard of and told nothing."""

    def __init__(self, wall: float) -> None:
        self.last_beat_wall = wall
        self.load = None


def _plain_tail(load: Load) -> bytes:
    return service_pb2.ServiceInfo(load=encode_load(load)).SerializeToString()


_tail = _Tail()

# Answers.

_FRESH = blob(5, b"")
"""stale_for of DiscoverServicesResponse: 0 s, the daemon itself holds the state."""
_SERVICE = blob(1, b"")[:1]
"""Tag of the first field, which is a service in every answer that has one."""


def encode_page(page: Found, revision: int, history_id: str) -> bytes:
    """A DiscoverServicesResponse. It ends early, with a token, where services would exceed 1 MiB."""
    parts: list[bytes] = []
    room, kept = limits.PAGE_BYTES, 0
    for entry in page.entries:
        data = encode_entry(entry)
        room -= len(data) + 4  # its tag, and a length of at most 3 bytes: one service stays far below 2 MiB
        if room < 0 and kept:
            break
        parts += (_SERVICE, varint(len(data)), data)
        kept += 1
    if token := page.token_after(kept - 1):
        parts.append(blob(2, token.encode()))
    parts += (number(3, revision), blob(4, history_id.encode()), _FRESH, number(6, page.not_ready_count))
    return b"".join(parts)


def encode_got(entry: HasSnapshot, revision: int, history_id: str) -> bytes:
    """A GetServiceResponse."""
    return b"".join(
        (blob(1, encode_entry(entry)), number(2, revision), blob(3, history_id.encode()), _GET_FRESH),
    )


_GET_FRESH = blob(4, b"")


def encode_registered(result: Registered) -> bytes:
    """A RegisterServiceResponse."""
    rest = registry_pb2.RegisterServiceResponse(secret=result.secret, revision=result.revision, created=result.created)
    return blob(1, encode_entry(result.entry)) + rest.SerializeToString()


def encode_removed(result: Removed) -> bytes:
    """An UnregisterServiceResponse."""
    return number(1, result.revision)


def encode_imported(result: Imported, masked: int = 0) -> bytes:
    """An ImportSnapshotResponse. masked: values that were left out."""
    return number(1, result.added) + number(2, result.kept) + number(3, result.revision) + number(4, masked)


def encode_updated(result: Updated) -> bytes:
    """An UpdateServiceResponse."""
    return blob(1, encode_entry(result.entry)) + number(2, result.revision)


def encode_reported(entry: HasSnapshot, revision: int) -> bytes:
    """An UpdateServiceStatusResponse."""
    return blob(1, encode_entry(entry)) + number(2, revision)


def encode_beaten(ttl_s: float, status: ServiceStatus) -> bytes:
    """A SendHeartbeatResponse."""
    shown = service_pb2.ServiceStatus.ValueType(status)
    return registry_pb2.SendHeartbeatResponse(ttl=span_of(ttl_s), status=shown).SerializeToString()
