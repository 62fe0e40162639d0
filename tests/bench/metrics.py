"""What metrics cost: a selection and a beat of one daemon that counts, and is scraped every second, beside one that
does not. The server's CPU is judged, as everywhere; the scrapes are in it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp

from examples.demo.processes import free_port
from orion_registry.core.frames import Beat
from orion_registry.core.selector import Selector
from orion_registry.wire.requests import encode_agent_frame, encode_selector
from orion_registry_pb.v1 import balancer_pb2
from tests.bench.beats import HEARTBEAT, RATE
from tests.bench.figures import Figure
from tests.bench.fleet import register
from tests.bench.processes import LoadProcess, Server, registry
from tests.bench.setting import Setting

AGENTS = 50
CONCURRENCY = 32


async def measure(setting: Setting) -> list[Figure]:
    """The figures metrics-select and metrics-beat."""
    http = f"127.0.0.1:{free_port()}"
    async with registry(options=("--http", http)) as daemon, scraped(http), LoadProcess() as beating:
        return [await _select(setting, daemon), await _beat(replace(setting, load=beating), daemon)]


@asynccontextmanager
async def scraped(http: str) -> AsyncIterator[None]:
    """Prometheus' part, once a second."""

    async def scrape() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"http://{http}/metrics") as response:
                    response.raise_for_status()
                    await response.read()
                await asyncio.sleep(1.0)

    scraping = asyncio.create_task(scrape())
    try:
        yield
    finally:
        if scraping.done():
            scraping.result()
        scraping.cancel()


async def _select(setting: Setting, daemon: Server) -> Figure:
    for server in (daemon, setting.registry):
        await _open(setting, server, "selected", beat=True)
    selector = encode_selector(Selector(capabilities=("selected",)))
    request = balancer_pb2.SelectServiceRequest(selector=selector).SerializeToString().hex()
    what = "SelectService with metrics, beside none: CPU"
    figure = Figure(name="metrics-select", what=what, unit="us a selection")
    order = {"do": "select", "request": request, "concurrency": CONCURRENCY, "batch": 1, "echo": False}
    return await _compare(setting, figure, "selections", order, daemon)


async def _beat(setting: Setting, daemon: Server) -> Figure:
    for server in (daemon, setting.registry):
        await _open(setting, server, "beating", beat=False)
    message = encode_agent_frame(Beat(seq=1_000)).SerializeToString().hex()
    figure = Figure(name="metrics-beat", what="beat with metrics, beside none: CPU", unit="us a message")
    return await _compare(setting, figure, "messages", {"do": "write", "messages": [message], "rate": RATE}, daemon)


async def _open(setting: Setting, server: Server, name: str, *, beat: bool) -> None:
    """Streams of agents that offer what they are called; they beat, or are written to by hand."""
    agents = await register(server.address, [f"{name}-{number}" for number in range(AGENTS)], name)
    first = [agent.idle_hello.hex() for agent in agents]
    order = {"do": "open", "address": server.address, "path": HEARTBEAT}
    await setting.load.do(**order, first=first, beat=agents[0].beat if beat else "")


async def _compare(setting: Setting, figure: Figure, counted: str, order: dict[str, Any], daemon: Server) -> Figure:
    for number in range(-1, setting.rounds):
        seconds = setting.seconds if number >= 0 else 0.5  # the first round warms up
        ours, _ = await setting.cost(daemon, counted, seconds=seconds, **order)
        reference, _ = await setting.cost(setting.registry, counted, seconds=seconds, **order)
        if number >= 0:
            figure.add(ours, reference)
    return figure
