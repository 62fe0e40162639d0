"""Watch responses as the fold understands them. Services themselves are decoded by the wire room."""

from orion_registry.client.fold import Mark, WatchBatch, WatchEvent, WatchKind
from orion_registry.core.model import RemovalReason
from orion_registry.wire.enums import known
from orion_registry.wire.service import decode_service
from orion_registry_pb.v1 import registry_pb2 as pb

_KINDS = {
    pb.WATCH_EVENT_TYPE_ADDED: WatchKind.ADDED,
    pb.WATCH_EVENT_TYPE_MODIFIED: WatchKind.MODIFIED,
    pb.WATCH_EVENT_TYPE_REMOVED: WatchKind.REMOVED,
}
_MARKS = {pb.WATCH_EVENT_TYPE_BOOKMARK: Mark.BOOKMARK, pb.WATCH_EVENT_TYPE_RESYNC: Mark.RESYNC}


def decode_watch_response(response: pb.WatchServicesResponse) -> WatchBatch:
    """One response. Events of a type that this version does not know are left out."""
    items: list[WatchEvent | Mark] = []
    for event in response.events:
        if event.type in _MARKS:
            items.append(_MARKS[event.type])
        elif event.type in _KINDS:
            items.append(_event(_KINDS[event.type], event))
    return WatchBatch(items=tuple(items), revision=response.revision, history_id=response.history_id)


def _event(kind: WatchKind, event: pb.WatchEvent) -> WatchEvent:
    removal = known(RemovalReason, event.removal, RemovalReason.REMOVED) if event.removal else None
    return WatchEvent(kind=kind, service=decode_service(event.service), removal=removal)
