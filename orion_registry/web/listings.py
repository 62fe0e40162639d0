"""Answers that may be long: made of texts that are kept, not of messages that are taken apart again."""

import json

from orion_registry.core import limits
from orion_registry.core.validation import check_id
from orion_registry.server.side_door import Served
from orion_registry.wire.decode import decode_selector
from orion_registry.wire.events import decode_filter
from orion_registry.wire.json_events import json_page
from orion_registry.wire.json_service import json_entry
from orion_registry_pb.v1 import admin_pb2, registry_pb2


def discover(served: Served, request: registry_pb2.DiscoverServicesRequest) -> str:
    """A DiscoverServicesResponse. As over gRPC a page ends, with a token, where services would exceed 1 MiB."""
    registry = served.coordinator.registry
    page = registry.discover(decode_selector(request.selector), request.page_size, request.page_token)
    parts: list[str] = []
    room = limits.PAGE_BYTES
    for entry in page.entries:
        text = json_entry(entry)
        room -= len(text)
        if room < 0 and parts:
            break
        parts.append(text)
    rest = {
        "next_page_token": page.token_after(len(parts) - 1),
        "revision": str(registry.revision),
        "history_id": registry.history_id,
        "stale_for": "0s",
        "not_ready_count": page.not_ready_count,
    }
    return f'{{"services":[{",".join(parts)}],{json.dumps(rest)[1:]}'


def get_service(served: Served, request: registry_pb2.GetServiceRequest) -> str:
    """A GetServiceResponse."""
    registry = served.coordinator.registry
    entry = registry.get(check_id("service_id", request.service_id))
    rest = {"revision": str(registry.revision), "history_id": registry.history_id, "stale_for": "0s"}
    return f'{{"service":{json_entry(entry)},{json.dumps(rest)[1:]}'


def list_events(served: Served, request: admin_pb2.ListEventsRequest) -> str:
    """A ListEventsResponse."""
    events = served.coordinator.events
    page = events.page(decode_filter(request), request.after_seq, request.history_id, request.page_size)
    return json_page(page, events.history_id)
