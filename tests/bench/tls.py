"""What TLS with client certificates costs, and a bearer token with it: a selection and a beat, beside a daemon without.

Reference is a daemon that speaks plaintext to anybody. The server's CPU is judged, as everywhere; the handshake is not
in it. The token grants a part of everything, so that each call is judged, too.
"""

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from orion_registry.client.credentials import PLAINTEXT, Credentials
from orion_registry.core.access.rights import Role
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
from tests.server.tokens import Tokens

IDENTITY = "spiffe://fleet/bench"
AGENTS = 50
CONCURRENCY = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How clients prove who they are: the beginning of a figure's name, and what it is in words."""

    name: str
    words: str
    shown: Credentials


async def measure(setting: Setting) -> list[Figure]:
    """The figures tls-select, tls-beat, token-select and token-beat."""
    figures = []
    with tempfile.TemporaryDirectory() as directory:
        certs, tokens = Certs(Path(directory)), Tokens(Path(directory) / "tokens.json")
        settings = {**certs.settings, "tokens_file": str(tokens.path)}
        options = [part for key, value in settings.items() for part in (f"--{key.replace('_', '-')}", value)]
        shown = certs.client(IDENTITY)
        token_file = Path(directory) / "token"
        token_file.write_text(tokens.add(IDENTITY, (Role.AGENT, Role.CALLER), ("default",)))
        for way in (
            Way(name="tls", words="mTLS", shown=shown),
            Way(name="token", words="mTLS and a token", shown=replace(shown, token_file=str(token_file))),
        ):
            async with registry(options=options) as daemon, LoadProcess() as selecting, LoadProcess() as beating:
                figures.append(await _select(replace(setting, load=selecting), daemon, way))
                figures.append(await _beat(replace(setting, load=beating), daemon, way))
    return figures


async def _select(setting: Setting, daemon: Server, way: Way) -> Figure:
    await _open(setting, daemon, way.shown, "selected", beat=True)
    await _open(setting, setting.registry, PLAINTEXT, "selected", beat=True)
    selector = encode_selector(Selector(capabilities=("selected",)))
    request = balancer_pb2.SelectServiceRequest(selector=selector).SerializeToString().hex()
    figure = Figure(
        name=f"{way.name}-select", what=f"SelectService with {way.words}, beside plaintext: CPU", unit="us a selection"
    )
    order = {"do": "select", "request": request, "concurrency": CONCURRENCY, "batch": 1, "echo": False}
    return await _compare(setting, figure, "selections", order, daemon, way.shown)


async def _beat(setting: Setting, daemon: Server, way: Way) -> Figure:
    await _open(setting, daemon, way.shown, "beating", beat=False)
    await _open(setting, setting.registry, PLAINTEXT, "beating", beat=False)
    message = encode_agent_frame(Beat(seq=1_000)).SerializeToString().hex()
    figure = Figure(name=f"{way.name}-beat", what=f"beat with {way.words}, beside plaintext: CPU", unit="us a message")
    return await _compare(
        setting, figure, "messages", {"do": "write", "messages": [message], "rate": RATE}, daemon, way.shown
    )


async def _open(setting: Setting, server: Server, credentials: Credentials, name: str, *, beat: bool) -> None:
    """Streams of agents that offer what they are called; they beat, or are written to by hand."""
    agents = await register(server.address, [f"{name}-{number}" for number in range(AGENTS)], name, credentials)
    first = [agent.idle_hello.hex() for agent in agents]
    order = {"do": "open", "address": server.address, "path": HEARTBEAT, "credentials": asdict(credentials)}
    await setting.load.do(**order, first=first, beat=agents[0].beat if beat else "")


async def _compare(
    setting: Setting, figure: Figure, counted: str, order: dict[str, Any], daemon: Server, shown: Credentials
) -> Figure:
    for number in range(-1, setting.rounds):
        seconds = setting.seconds if number >= 0 else 0.5  # the first round warms up
        ours, _ = await setting.cost(daemon, counted, seconds=seconds, credentials=asdict(shown), **order)
        reference, _ = await setting.cost(setting.registry, counted, seconds=seconds, **order)
        if number >= 0:
            figure.add(ours, reference)
    return figure
