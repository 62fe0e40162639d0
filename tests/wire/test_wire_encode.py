"""Answers put together from cached bytes parse to the same as those built the plain way."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.commands import Registered, Removed, Updated
from orion_registry.core.entry import Encoded
from orion_registry.core.model import Load, RemovalReason, ServiceSpec, ServiceStatus, Snapshot
from orion_registry.core.watching import WatchBatch, WatchChange, WatchKind
from orion_registry.wire import encode
from orion_registry.wire.packing import blob, number, varint
from orion_registry.wire.requests import encode_load
from orion_registry.wire.spans import span_of, timestamp_of
from orion_registry.wire.watch import MESSAGE_BYTES, MESSAGE_EVENTS, encode_batch
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2
from tests.wire import values


@dataclass
class FakeEntry:
    snapshot: Snapshot
    load: Load | None = None
    last_beat_wall: float | None = None
    encoded: Encoded | None = None


@dataclass
class FakePage:
    entries: Sequence[FakeEntry] = ()
    not_ready_count: int = 0
    tokens: dict[int, str] = field(default_factory=dict)

    def token_after(self, index: int) -> str:
        return self.tokens.get(index, "")


entries = st.builds(
    FakeEntry, snapshot=values.snapshots(), load=st.none() | values.loads, last_beat_wall=st.none() | values.walls
)
revisions = st.integers(0, 2**63 - 1)


def plain(entry: FakeEntry) -> service_pb2.ServiceInfo:
    """The slow, obvious twin."""
    info = values.snapshot_message(entry.snapshot)
    if entry.load is not None:
        info.load.CopyFrom(encode_load(entry.load))
    if entry.last_beat_wall is not None:
        info.last_heartbeat.CopyFrom(timestamp_of(entry.last_beat_wall))
    return info


def small_snapshot(name: str = "s", metadata_json: str = "{}") -> Snapshot:
    record = values.record_of(ServiceSpec(agent_id="a", service_name=name, metadata_json=metadata_json))
    healthy = ServiceStatus.HEALTHY
    return Snapshot(
        record=record, status=healthy, reasons=(), ready=True, tier=0, selection_tier=0, epoch=1, revision=1
    )


@given(st.lists(entries, max_size=4), revisions, values.texts, values.texts, st.integers(0, 2**31 - 1))
def test_page(found: list[FakeEntry], revision: int, history: str, token: str, not_ready: int) -> None:
    """DiscoverServices."""
    page = FakePage(found, not_ready, {len(found) - 1: token})
    for _ in range(2):  # fresh, then from the cache
        answer = pb.DiscoverServicesResponse.FromString(encode.encode_page(page, revision, history))
        assert answer == pb.DiscoverServicesResponse(
            services=[plain(entry) for entry in found],
            next_page_token=token,
            revision=revision,
            history_id=history,
            stale_for=span_of(0),
            not_ready_count=not_ready,
        )


@given(entries, revisions, values.texts)
def test_single_answers(entry: FakeEntry, revision: int, text: str) -> None:
    """Get, Register, Update, UpdateServiceStatus, Unregister."""
    info = plain(entry)
    got = pb.GetServiceResponse.FromString(encode.encode_got(entry, revision, text))
    assert got == pb.GetServiceResponse(service=info, revision=revision, history_id=text, stale_for=span_of(0))
    registered = Registered(entry=entry, secret=text, revision=revision, created=True)  # type: ignore[arg-type] # a fake
    assert pb.RegisterServiceResponse.FromString(encode.encode_registered(registered)) == pb.RegisterServiceResponse(
        service=info, secret=text, revision=revision, created=True
    )
    updated = Updated(entry=entry, revision=revision)  # type: ignore[arg-type] # a fake
    assert pb.UpdateServiceResponse.FromString(encode.encode_updated(updated)) == pb.UpdateServiceResponse(
        service=info, revision=revision
    )
    reported = pb.UpdateServiceStatusResponse.FromString(encode.encode_reported(entry, revision))
    assert reported == pb.UpdateServiceStatusResponse(service=info, revision=revision)
    removed = pb.UnregisterServiceResponse.FromString(encode.encode_removed(Removed(revision=revision)))
    assert removed.revision == revision


@given(st.integers(0, 2**64 - 1), st.integers(1, 30), st.binary(max_size=300))
def test_packing(value: int, number_of_field: int, data: bytes) -> None:
    """The hand-made wire format is that of protobuf: unknown fields come back as they were."""
    message = service_pb2.SessionRef()
    packed = number(number_of_field + 10, value) + blob(number_of_field + 10, data)
    message.ParseFromString(packed)
    assert message.SerializeToString() == packed
    assert len(varint(value)) == max(1, -(-value.bit_length() // 7))


def test_tail_does_not_leak_from_entry_to_entry() -> None:
    """The tail's messages are used again: nothing of the entry before may stay."""
    snapshot = small_snapshot()
    busy = FakeEntry(snapshot, Load(in_flight=5, queue_depth=6, utilization=0.5, named={"x": 1.0}), 5.0)
    calm = FakeEntry(snapshot, Load(), 6.0)
    full = FakeEntry(snapshot, Load(in_flight=5, queue_depth=6, utilization=0.5), 7.0)
    quiet = FakeEntry(snapshot)
    for entry in (busy, calm, full, calm, quiet, busy, quiet, FakeEntry(snapshot, None, 8.0), calm):
        assert service_pb2.ServiceInfo.FromString(encode.encode_entry(entry)) == plain(entry)


def test_kept_bytes_follow_every_change_of_the_entry() -> None:
    """An entry's bytes are kept; each of the three things that they show makes new ones."""
    entry = FakeEntry(small_snapshot(), Load(in_flight=1), 5.0)
    assert encode.encode_entry(entry) is encode.encode_entry(entry)
    changes = (
        ("load", Load(in_flight=2)),
        ("last_beat_wall", 6.0),
        ("snapshot", small_snapshot("other")),
        ("load", None),
    )
    for name, value in changes:
        encode.encode_entry(entry)
        setattr(entry, name, value)
        assert service_pb2.ServiceInfo.FromString(encode.encode_entry(entry)) == plain(entry), name


def test_page_ends_at_one_mebibyte() -> None:
    """A page ends early, and its token continues after the last service that is on it."""
    found = [FakeEntry(small_snapshot(f"s{i}", metadata_json='{"k":"' + "x" * 16_000 + '"}')) for i in range(100)]
    page = FakePage(found, 0, {index: f"after {index}" for index in range(100)})
    data = encode.encode_page(page, 1, "h")
    answer = pb.DiscoverServicesResponse.FromString(data)
    assert 60 < len(answer.services) < 66
    assert len(data) <= 1024 * 1024 + 100
    assert answer.next_page_token == f"after {len(answer.services) - 1}"


def test_empty_page() -> None:
    """Nothing found is an answer."""
    answer = pb.DiscoverServicesResponse.FromString(encode.encode_page(FakePage(not_ready_count=3), 9, "h"))
    assert (list(answer.services), answer.not_ready_count, answer.revision) == ([], 3, 9)


def events_of(messages: list[bytes]) -> list[pb.WatchServicesResponse]:
    return [pb.WatchServicesResponse.FromString(message) for message in messages]


def test_watch_batch() -> None:
    """Every kind of change as it is on the wire; neither load nor last_heartbeat."""
    snapshot = small_snapshot()
    batch = WatchBatch(
        [
            WatchChange(WatchKind.RESYNC),
            WatchChange(WatchKind.ADDED, snapshot),
            WatchChange(WatchKind.MODIFIED, snapshot),
            WatchChange(WatchKind.REMOVED, snapshot, RemovalReason.EXPIRED),
            WatchChange(WatchKind.BOOKMARK),
        ],
        7,
    )
    (answer,) = events_of(list(encode_batch(batch, 3, "life")))
    info = values.snapshot_message(snapshot)
    assert answer == pb.WatchServicesResponse(
        events=[
            pb.WatchEvent(type=pb.WATCH_EVENT_TYPE_RESYNC),
            pb.WatchEvent(type=pb.WATCH_EVENT_TYPE_ADDED, service=info),
            pb.WatchEvent(type=pb.WATCH_EVENT_TYPE_MODIFIED, service=info),
            pb.WatchEvent(
                type=pb.WATCH_EVENT_TYPE_REMOVED, service=info, removal=pb.RemovalReason.REMOVAL_REASON_EXPIRED
            ),
            pb.WatchEvent(type=pb.WATCH_EVENT_TYPE_BOOKMARK),
        ],
        revision=7,
        history_id="life",
    )


def test_watch_batch_is_cut_into_messages() -> None:
    """By count and by size; only the last message may be resumed from at the batch's revision."""
    small = WatchChange(WatchKind.ADDED, small_snapshot())
    many = events_of(list(encode_batch(WatchBatch([small] * (2 * MESSAGE_EVENTS + 1), 7), 3, "life")))
    assert [len(message.events) for message in many] == [MESSAGE_EVENTS, MESSAGE_EVENTS, 1]
    assert [message.revision for message in many] == [3, 3, 7]
    large = WatchChange(WatchKind.ADDED, small_snapshot(metadata_json='{"k":"' + "x" * 16_000 + '"}'))
    messages = list(encode_batch(WatchBatch([large] * 40, 7), 0, "life"))
    assert all(len(message) <= MESSAGE_BYTES + 100 for message in messages)
    assert [message.revision for message in events_of(messages)] == [0, 0, 7]
