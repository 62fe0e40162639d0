"""A daemon with an HTTP port, and how to read from it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from orion_registry import BalancerClient, LivenessMode, RegistryClient, ServiceSpec
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import http_address, running_daemon

WAIT_S = 20.0


@dataclass
class Event:
    """One server-sent event."""

    name: str = ""
    data: Any = None
    id: str = ""
    comment: str = ""


class Stream:
    """Reads server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, *, comments: bool = False) -> Event:
        """The next event; or comment, if those are wanted."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event = _event_of((await self.response.content.readuntil(b"\n\n")).decode())
                if event.name or (comments and event.comment):
                    return event

    async def until(self, name: str) -> list[Event]:
        """All events up to one of this name."""
        events = [await self.next()]
        while events[-1].name != name:
            events.append(await self.next())
        return events


def _event_of(text: str) -> Event:
    event = Event()
    for line in text.strip("\n").split("\n"):
        field, _, value = line.partition(":")
        match field:
            case "":
                event.comment = value.strip()
            case "event":
                event.name = value.strip()
            case "data":
                event.data = json.loads(value)
            case "id":
                event.id = value.strip()
    return event


class Site:
    """The HTTP port of a daemon, and a client of its gRPC port."""

    def __init__(
        self, daemon: Daemon, session: aiohttp.ClientSession, client: RegistryClient, balancer: BalancerClient
    ) -> None:
        self.daemon = daemon
        self.session = session
        self.client = client
        self.balancer = balancer
        self.base = f"http://{http_address(daemon)}"

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        async with self.session.get(self.base + path, headers=_headers(headers)) as response:
            return response.status, json.loads(await response.text())

    async def text(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and text of an answer."""
        async with self.session.get(self.base + path, headers=_headers(headers)) as response:
            return response.status, await response.text()

    @asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncIterator[Stream]:
        """Server-sent events."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(self.base + path, headers=_headers(headers), timeout=timeout) as response:
            assert response.status == 200, await response.text()
            yield Stream(response)

    async def add(self, agent_id: str, **fields: Any) -> str:
        """A service that is always healthy; returns its id."""
        spec = ServiceSpec(agent_id=agent_id, **{"service_name": "calc", "liveness": LivenessMode.STATIC, **fields})
        return (await self.client.register(spec)).ref.service_id


async def eventually(holds: Callable[[], bool]) -> None:
    """Returns once something holds."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - what it asks about tells nobody
            await asyncio.sleep(0.01)


def _headers(named: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in named.items()}


@asynccontextmanager
async def running_site(**settings: Any) -> AsyncIterator[Site]:
    """A daemon on free ports."""
    async with (
        running_daemon(**{"http": "127.0.0.1:0", **settings}) as daemon,
        aiohttp.ClientSession() as session,
        RegistryClient(daemon.address) as client,
        BalancerClient(daemon.address) as balancer,
    ):
        yield Site(daemon, session, client, balancer)
