"""Events as proto3 JSON. An event's text is made once, however many follow."""

import json

from orion_registry.core.events import LoggedEvent
from orion_registry.wire.events import Listed, encode_event
from orion_registry.wire.json_service import json_fields
from orion_registry_pb.v1 import events_pb2

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_event(logged: LoggedEvent) -> str:
    """An Event."""
    if logged.json is None:
        logged.json = _dumps(json_fields(events_pb2.Event.FromString(encode_event(logged))))
    return logged.json


def json_page(page: Listed, history_id: str) -> str:
    """A ListEventsResponse."""
    events = ",".join(map(json_event, page.events))
    rest = {
        "after_seq": str(page.after_seq),
        "history_id": history_id,
        "oldest_seq": str(page.oldest_seq),
        "last_seq": str(page.last_seq),
    }
    return f'{{"events":[{events}],{_dumps(rest)[1:]}'
