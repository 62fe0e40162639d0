"""A beat on a heartbeat stream beside a bare read of a message of the same size: the server's CPU for each.

Every agent has a connection and a stream of its own, and the beats of all are spread evenly, as in a real fleet. The
registry's side holds all that a beat costs: every tenth is acknowledged.
"""

from orion_registry.core.frames import Beat, ServiceBeat
from orion_registry.wire.requests import encode_agent_frame
from tests.bench.echo import READ
from tests.bench.figures import Figure
from tests.bench.fleet import LOAD, register
from tests.bench.setting import Setting

HEARTBEAT = "/orion.registry.v1.RegistryService/Heartbeat"
AGENTS = 200
RATE = 2_000
"""Beats a second of all: the budget that the registry gives a fleet by default."""


async def measure(setting: Setting) -> list[Figure]:
    """The figures beat and beat-load."""
    agents = await register(setting.registry.address, [f"beating-{number}" for number in range(AGENTS)], "beat")
    first = [agent.hello.hex() for agent in agents]
    await setting.load.do(do="open", address=setting.registry.address, path=HEARTBEAT, first=first, beat="")
    await setting.load.do(do="open", address=setting.bare.address, path=READ, first=first, beat="")
    plain = Beat(seq=1_000)
    # The id of one service for all, as every stream sends the same bytes: it must be one that the stream carries, so
    # the streams of other agents take the news for lost mail; decoding and checking it cost the same.
    loaded = Beat(seq=1_000, services=(ServiceBeat(service_id=agents[0].service_id, load=LOAD),))
    return [
        await _compare(setting, "beat", "beat: CPU", plain),
        await _compare(setting, "beat-load", "beat with load: CPU", loaded),
    ]


async def _compare(setting: Setting, name: str, what: str, beat: Beat) -> Figure:
    message = encode_agent_frame(beat).SerializeToString()
    figure = Figure(name=name, what=what, unit="us a message")
    order = {"do": "write", "messages": [message.hex()], "rate": RATE}
    for number in range(-1, setting.rounds):
        seconds = setting.seconds if number >= 0 else 0.5  # the first round warms up
        ours, _ = await setting.cost(setting.registry, "messages", seconds=seconds, **order)
        reference, _ = await setting.cost(setting.bare, "messages", seconds=seconds, **order)
        if number >= 0:
            figure.add(ours, reference)
    return figure
