"""The paths of what changes too often for events."""

from dataclasses import replace

from aiohttp import web

from orion_registry.core.entry import Entry
from orion_registry.core.validation import check_id
from orion_registry.errors import NotFound, PermissionDenied, bad_field
from orion_registry.server.side_door import Served
from orion_registry.web.access import Access, method_of
from orion_registry.web.api import json_answer, pairs_of
from orion_registry.web.figures import IDS_MOST, capabilities, vitals
from orion_registry.web.queries import request_of
from orion_registry.wire.decode import decode_selector
from orion_registry_pb.v1 import registry_pb2

FRESH_S = 1.0
"""How long an answer about capabilities is good for: it looks at every service, and many pages may ask."""

_KEPT = 64


class Figures:
    """Answers about load and supply."""

    def __init__(self, served: Served, access: Access) -> None:
        self._served = served
        self._access = access
        self._kept: dict[object, tuple[float, str]] = {}

    async def vitals(self, request: web.Request) -> web.Response:
        """GET /api/v1/vitals?service_id=...&service_id=...: ids that are not registered are left out."""
        method = method_of("GetService")
        actor = self._access.admit(method, request)
        for name in request.query:
            if name != "service_id":
                raise bad_field("parameter", "service_id", name)
        ids = request.query.getall("service_id", [])
        if not 1 <= len(ids) <= IDS_MOST:
            raise bad_field("service_id", f"given 1 to {IDS_MOST} times", len(ids))
        found: list[Entry] = []
        for service_id in ids:
            entry = self._served.coordinator.registry.find(check_id("service_id", service_id))
            try:
                self._access.judge(method, registry_pb2.GetServiceRequest(service_id=service_id), actor)
            except (NotFound, PermissionDenied):
                continue
            if entry is not None:
                found.append(entry)
        coordinator = self._served.coordinator
        return json_answer(vitals(coordinator.registry, found, coordinator.selections.now()))

    async def capabilities(self, request: web.Request) -> web.Response:
        """GET /api/v1/capabilities: of the services that the query finds, ready or not."""
        method = method_of("DiscoverServices")
        actor = self._access.admit(method, request)
        wanted = request_of(registry_pb2.DiscoverServicesRequest, pairs_of(request))
        self._access.check(method, wanted, actor, request)
        selector = replace(decode_selector(wanted.selector), include_not_ready=True)
        now = self._served.coordinator.selections.now().mono
        at, text = self._kept.get(selector, (now - FRESH_S, ""))
        if now - at >= FRESH_S:
            text = capabilities(self._served.coordinator.registry, selector)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[selector] = (now, text)
        return json_answer(text)
