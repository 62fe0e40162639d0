"""Watch batches as bytes, cut into messages of bounded size."""

from collections.abc import Iterator

from orion_registry.core.watching import WatchBatch, WatchChange
from orion_registry.wire.encode import encode_snapshot
from orion_registry.wire.packing import blob, number

MESSAGE_EVENTS = 1_500
"""Events of one message at most."""
MESSAGE_BYTES = 256 * 1024
"""Bytes of the events of one message at most, unless a single event has more. A slow watcher pins one message."""


def encode_batch(batch: WatchBatch, before: int, history_id: str) -> Iterator[bytes]:
    """WatchServicesResponses, made one by one as they are sent.

    Only the last one carries the batch's revision: whoever was cut off before it must not resume behind it. Those
    ahead carry `before`, the revision that the watcher could resume from before this batch.
    """
    history = blob(3, history_id.encode())
    events: list[bytes] = []
    size = 0
    for change in batch.events:
        event = blob(1, _event(change))
        if events and (len(events) >= MESSAGE_EVENTS or size + len(event) > MESSAGE_BYTES):
            yield b"".join((*events, number(2, before), history))
            events, size = [], 0
        events.append(event)
        size += len(event)
    yield b"".join((*events, number(2, batch.revision), history))


def _event(change: WatchChange) -> bytes:
    """A WatchEvent."""
    service = b"" if change.snapshot is None else blob(2, encode_snapshot(change.snapshot))
    return number(1, change.kind) + service + number(3, change.removal or 0)
