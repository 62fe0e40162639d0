"""The command language: what a command is, and what the functions behind commands have in common."""

from collections.abc import Callable

from orion_registry.core.model import LivenessMode, Snapshot
from orion_registry.errors import RegistryError
from tests.scenarios import tables
from tests.scenarios.agents import Agent, Held, Stream
from tests.scenarios.words import BadWords, Words, names_in, span_ms
from tests.scenarios.world import World

Lines = list[str]
COMMANDS: dict[str, Callable[[World, Words], Lines]] = {}
"""Every command by its name. The first line of a function's docstring is the command's form, the rest its meaning."""


def command(function: Callable[[World, Words], Lines]) -> Callable[[World, Words], Lines]:
    """Enters a function into the language under its own name."""
    COMMANDS[function.__name__] = function
    return function


def service_id_of(agent: str, service: str) -> str:
    return f"{agent}.{service}" if service else agent


def agent_of(world: World, name: str) -> Agent:
    if name not in world.agents:
        raise BadWords(f"no agent {name!r}")
    return world.agents[name]


def agent_and_stream(world: World, name: str) -> tuple[Agent, Stream | None]:
    """`calc` with its newest open stream, `calc#1` with its first."""
    agent_name, numbered, number = name.partition("#")
    agent = agent_of(world, agent_name)
    if numbered and not number.isdecimal():
        raise BadWords(f"not the number of a stream: {name!r}")
    stream = agent.stream(int(number or 0))
    if stream is None and (numbered or not agent.held(LivenessMode.TTL)):
        raise BadWords(f"{name} has no open stream")
    return agent, stream


def open_stream(world: World, name: str) -> tuple[Agent, Stream]:
    agent, stream = agent_and_stream(world, name)
    if stream is None:
        raise BadWords(f"{name} has no open stream")
    return agent, stream


def held_service(world: World, name: str, service: str) -> Held:
    held = agent_of(world, name).services.get(service_id_of(name, service))
    if held is None:
        raise BadWords(f"{name} has no service {service or 'of its own name'!r}")
    return held


def snapshots_of(world: World, words: Words) -> list[Snapshot]:
    wanted = names_in(names) if (names := words.maybe()) else None
    words.done()
    return [shown for shown in world.snapshots() if wanted is None or shown.record.spec.agent_id in wanted]


def refusals(act: Callable[[], object]) -> Lines:
    try:
        act()
    except RegistryError as error:
        return [tables.failure(error)]
    return []


def each(names: list[str], act: Callable[[str], Lines], *, world: World | None = None, over: str = "") -> Lines:
    """Does something for each name, at once or spread over a span; lines of several say whose they are."""
    step_ms = span_ms(over) // len(names) if over else 0
    lines: Lines = []
    for name in names:
        told = act(name)
        lines += told if len(names) == 1 else [f"{name}: {line}" for line in told]
        if world is not None and step_ms:
            world.timing.pass_until(world.timing.ms + step_ms)
    return lines
