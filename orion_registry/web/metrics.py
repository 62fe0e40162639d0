"""GET /metrics, in the format that the scraper asks for."""

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from orion_registry.server.side_door import Served
from orion_registry.web.access import Access, method_of
from orion_registry.web.metric import Sources, TableCollector
from orion_registry.web.metrics_table import TABLE
from orion_registry.web.watched import Watched


class Metrics:
    """Serves the table, and what prometheus_client knows of the process."""

    def __init__(self, served: Served, access: Access, watched: Watched) -> None:
        self._access = access
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(TableCollector(TABLE, Sources(served=served, watched=watched)))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    async def serve(self, request: web.Request) -> web.Response:
        """GET /metrics: for who may call GetServerInfo."""
        self._access.admit(method_of("GetServerInfo"), request)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
