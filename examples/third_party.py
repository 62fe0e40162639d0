"""A third party's HTTP agent in the registry: it knows nothing of it, and lives by an active check.

python examples/third_party.py [ADDRESS]    beside a daemon, by default on 127.0.0.1:6746; it takes about ten seconds

The agent here is a small HTTP server, which breaks and recovers. Somebody registers it, once; from then on the registry
looks for itself, and callers that watch hear of every change.
"""

import asyncio
import sys

from orion_registry import CheckSpec, HttpProbe, LivenessMode, RegistryClient, Selector, ServiceSpec, ServiceStatus
from orion_registry.client.watch import Watch

PATIENCE_S = 10.0


class WeatherAgent:
    """The third party: answers HTTP, and is sometimes broken."""

    def __init__(self) -> None:
        self.broken = False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = b"503 Service Unavailable" if self.broken else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def main() -> None:
    agent = WeatherAgent()
    server = await asyncio.start_server(agent.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, RegistryClient(sys.argv[1] if sys.argv[1:] else "") as client:
        weather = ServiceSpec(
            agent_id="weather",
            service_name="weather",
            host="127.0.0.1",
            port=port,
            capabilities=("weather.forecast",),
            liveness=LivenessMode.CHECK,
            checks=(CheckSpec(name="web", probes=(HttpProbe(path="/healthz"),), interval_s=1.0, fall=2, rise=1),),
        )
        registration = await client.register(weather)
        print(f"registered: {registration.service.status.name}")
        try:
            async with client.watch(Selector(agent_id="weather", include_not_ready=True)) as watch:
                await told(client, watch, ServiceStatus.HEALTHY)
                agent.broken = True
                await told(client, watch, ServiceStatus.UNHEALTHY)
                agent.broken = False
                await told(client, watch, ServiceStatus.HEALTHY)
        finally:
            await client.unregister(registration.ref)


async def told(client: RegistryClient, watch: Watch, status: ServiceStatus) -> None:
    """Waits until the watch tells of a status, and says what the last run of the check has found."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in watch:
            if event.service is not None and event.service.status is status:
                break
    service = next(iter(watch.services.values()))
    health = await client.health(service.service_id)
    last = health.checks[0].results[-1].outcome
    print(f"{status.name} ({service.reasons[0].code.name}): {last.verdict.name} {last.detail}".rstrip())


if __name__ == "__main__":
    asyncio.run(main())
