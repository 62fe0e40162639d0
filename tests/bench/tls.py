"""What TLS with client certificates costs: a selection and a beat of one daemon with it, beside one without.

Reference is a daemon that speaks plaintext. The server's CPU is judged, as everywhere; the handshake is not in it.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from orion_registry.client.credentials import PLAINTEXT, Credentials
from orion_registry.core.frames import Beat
from orion_registry.core.selector import Selector
from orion_registry.wire.requests import encode_agent_frame, encode_selector
from orion_registry_pb.v1 import balancer_pb2
from tests.bench.beats import HEARTBEAT, RATE
from tests.bench.figures import Figure
from tests.bench.fleet import register
from tests.bench.processes import LoadProcess, Server, registry
from tests.bench.setting import Setting
from tests.server.tls import Certs

AGENTS = 50
CONCURRENCY = 32


async def measure(setting: Setting) -> list[Figure]:
    """The figures tls-select and tls-beat."""
    with tempfile.TemporaryDirectory() as name:
        certs = Certs(Path(name))
        options = [part for key, value in certs.settings.items() for part in (f"--{key.replace('_', '-')}", value)]
        shown = certs.client("spiffe://fleet/bench")
        async with registry(options=options) as daemon, LoadProcess() as beating:
            return [await _select(setting, daemon, shown), await _beat(replace(setting, load=beating), daemon, shown)]


async def _select(setting: Setting, daemon: Server, shown: Credentials) -> Figure:
    await _open(setting, daemon, shown, "selected", beat=True)
    await _open(setting, setting.registry, PLAINTEXT, "selected", beat=True)
    selector = encode_selector(Selector(capabilities=("selected",)))
    request = balancer_pb2.SelectServiceRequest(selector=selector).SerializeToString().hex()
    figure = Figure(name="tls-select", what="SelectService with mTLS, beside plaintext: CPU", unit="us a selection")
    order = {"do": "select", "request": request, "concurrency": CONCURRENCY, "batch": 1, "echo": False}
    return await _compare(setting, figure, "selections", order, daemon, shown)


async def _beat(setting: Setting, daemon: Server, shown: Credentials) -> Figure:
    await _open(setting, daemon, shown, "beating", beat=False)
    await _open(setting, setting.registry, PLAINTEXT, "beating", beat=False)
    message = encode_agent_frame(Beat(seq=1_000)).SerializeToString().hex()
    figure = Figure(name="tls-beat", what="beat with mTLS, beside plaintext: CPU", unit="us a message")
    return await _compare(setting, figure, "messages", {"do": "write", "message": message, "rate": RATE}, daemon, shown)


async def _open(setting: Setting, server: Server, credentials: Credentials, name: str, *, beat: bool) -> None:
    """Streams of agents that offer what they are called; they beat, or are written to by hand."""
    agents = await register(server.address, [f"{name}-{number}" for number in range(AGENTS)], name, credentials)
    first = [agent.idle_hello.hex() for agent in agents]
    order = {"do": "open", "address": server.address, "path": HEARTBEAT, "tls": credentials.files}
    await setting.load.do(**order, first=first, beat=agents[0].beat if beat else "")


async def _compare(
    setting: Setting, figure: Figure, counted: str, order: dict[str, Any], daemon: Server, shown: Credentials
) -> Figure:
    for number in range(-1, setting.rounds):
        seconds = setting.seconds if number >= 0 else 0.5  # the first round warms up
        ours, _ = await setting.cost(daemon, counted, seconds=seconds, tls=shown.files, **order)
        reference, _ = await setting.cost(setting.registry, counted, seconds=seconds, **order)
        if number >= 0:
            figure.add(ours, reference)
    return figure
