"""JSON that is put together from the model says the same as what protobuf makes of the messages."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.model import RemovalReason
from orion_registry.core.watching import WatchBatch, WatchChange, WatchKind
from orion_registry.wire.encode import encode_entry
from orion_registry.wire.json_service import json_change, json_entry, json_fields, json_snapshot, word_of
from orion_registry.wire.watch import encode_batch
from orion_registry_pb.v1 import registry_pb2, service_pb2
from tests.wire import values
from tests.wire.test_wire_encode import FakeEntry, entries, small_snapshot


def plain(data: bytes) -> dict[str, Any]:
    """The slow, obvious twin."""
    return json_fields(service_pb2.ServiceInfo.FromString(data))


@given(entries)
def test_a_service_is_the_json_of_its_message(entry: FakeEntry) -> None:
    assert json.loads(json_entry(entry)) == plain(encode_entry(entry))
    assert json.loads(json_entry(entry)) == plain(encode_entry(entry)), "again, out of what is kept"


changes = st.one_of(
    st.builds(WatchChange, st.sampled_from([WatchKind.ADDED, WatchKind.MODIFIED]), values.snapshots()),
    st.builds(WatchChange, st.just(WatchKind.REMOVED), values.snapshots(), st.sampled_from(RemovalReason)),
    st.builds(WatchChange, st.sampled_from([WatchKind.BOOKMARK, WatchKind.RESYNC])),
)


@given(changes)
def test_a_change_is_the_json_of_its_message(change: WatchChange) -> None:
    (data,) = encode_batch(WatchBatch([change], 1), 0, "life")
    (event,) = registry_pb2.WatchServicesResponse.FromString(data).events
    assert json.loads(json_change(change)) == json_fields(event)
    assert word_of(change) == change.kind.name.lower()


def test_the_text_of_a_snapshot_is_made_once_and_carries_markup_as_it_is() -> None:
    snapshot = small_snapshot(metadata_json='{"note":"<script>alert(1)</script>"}')
    text = json_snapshot(snapshot)
    assert json_snapshot(snapshot) is text
    assert json.loads(text)["metadata"] == {"note": "<script>alert(1)</script>"}
