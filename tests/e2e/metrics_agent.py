"""An agent that exposes metrics of its own: python -m tests.e2e.metrics_agent ID REGISTRY; ends with its stdin."""

import asyncio
import sys

from prometheus_client import CollectorRegistry, Counter, start_http_server

from orion_registry.client.client import RegistryClient
from orion_registry.client.specs import with_metadata
from orion_registry.core.model import ServiceSpec
from tests.e2e.kill_roles import listen, say


async def main(agent_id: str, registry: str) -> None:
    """Beats, and counts one thing that Prometheus can ask for."""
    own = CollectorRegistry()
    Counter("calls_done", "What it did.", registry=own).inc(42)
    server, _ = start_http_server(0, "127.0.0.1", registry=own)
    spec = ServiceSpec(agent_id=agent_id, service_name="work", host="127.0.0.1", port=7000)
    spec = with_metadata(spec, {"prometheus.port": server.server_port})
    async with RegistryClient(registry) as client, client.session(agent_id, [spec]):
        say(ready=agent_id, port=server.server_port)
        await listen()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
