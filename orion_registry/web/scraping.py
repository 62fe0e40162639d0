"""GET /sd/prometheus: agents that expose metrics of their own, as targets (prometheus.io, HTTP service discovery)."""

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from orion_registry.core.entry import Entry
from orion_registry.core.model import Scalar, ServiceSpec
from orion_registry.server.side_door import Served
from orion_registry.web.access import Access, method_of
from orion_registry.web.api import json_answer, pairs_of
from orion_registry.web.queries import request_of
from orion_registry_pb.v1 import admin_pb2

PORT, PATH, SCHEME = "prometheus.port", "prometheus.path", "prometheus.scheme"
"""Keys of metadata that say where an agent's metrics are."""

_PATH_MOST = 512


class Scraping:
    """Tells Prometheus whom to scrape."""

    def __init__(self, served: Served, access: Access) -> None:
        self._registry = served.coordinator
        self._access = access

    async def serve(self, request: web.Request) -> web.Response:
        """GET /sd/prometheus?namespace=...: of one namespace, or of all. For who may call ListOverlays there."""
        method = method_of("ListOverlays")
        actor = self._access.admit(method, request)
        wanted = request_of(admin_pb2.ListOverlaysRequest, pairs_of(request))
        self._access.check(method, wanted, actor, request)
        named = wanted.namespace
        entries = (entry for entry in self._registry.registry.services() if not named or entry.spec.namespace == named)
        return json_answer(json.dumps(targets(entries)))


def targets(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """A target for each place that metrics are at: services of one process share theirs, under the first one's name."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        spec = entry.spec
        place = _place(spec)
        if place is not None and place not in found:
            found[place] = {"targets": [place[0]], "labels": _labels(entry, place[1])}
    return list(found.values())


def _place(spec: ServiceSpec) -> tuple[str, str] | None:
    """HOST:PORT and path of a service's metrics; None if its metadata names none, or none that could be."""
    port = _port(spec.metadata_scalars.get(PORT))
    if port is None or not spec.host:
        return None
    path = spec.metadata_scalars.get(PATH, "/metrics")
    if not isinstance(path, str) or not path.startswith("/") or len(path) > _PATH_MOST:
        return None
    host = f"[{spec.host}]" if ":" in spec.host else spec.host
    return f"{host}:{port}", path


def _port(value: Scalar) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        port = int(value)
    except ValueError:
        return None
    return port if 0 < port < 65_536 else None


def _labels(entry: Entry, path: str) -> dict[str, str]:
    """Labels of the series, and, with __meta_orion_, of what relabelling may go by."""
    spec, snapshot = entry.spec, entry.snapshot
    labels = {
        "namespace": spec.namespace,
        "agent_id": spec.agent_id,
        "service_name": spec.service_name,
        "__metrics_path__": path,
        "__meta_orion_service_id": spec.service_id,
        "__meta_orion_service_type": spec.service_type,
        "__meta_orion_version": spec.version,
        "__meta_orion_zone": spec.zone,
        "__meta_orion_status": snapshot.status.name,
        "__meta_orion_capabilities": f",{','.join(spec.capabilities)},",
        "__meta_orion_tags": f",{','.join(spec.tags)},",
    }
    if spec.metadata_scalars.get(SCHEME) == "https":
        labels["__scheme__"] = "https"
    return labels
