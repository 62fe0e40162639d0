"""Time, the daemon itself, and what is seen of it: one function for each command."""

from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError
from tests.scenarios import tables
from tests.scenarios.language import Lines, agent_of, command, open_stream, snapshots_of
from tests.scenarios.words import BadWords, Words, names_in, span_ms
from tests.scenarios.world import World

# Time, and the daemon itself.


@command
def wait(world: World, words: Words) -> Lines:
    """wait SPAN

    Lets time pass, in ticks of 0.1 s.
    """
    ms = words.next_span_ms("span")
    words.done()
    world.timing.pass_until(world.timing.ms + ms)
    return []


@command
def stall(world: World, words: Words) -> Lines:
    """stall SPAN [ended=AGENTS] [tick-first]

    The daemon does nothing for so long. Then it reads the beats that have come meanwhile, and the ends of streams that
    their agents gave up; then its overdue tick comes, or it comes first.
    """
    ms, tick_first = words.next_span_ms("span"), words.switch("tick-first")
    ended = words.pair("ended")
    words.done()
    streams = [open_stream(world, name) for name in names_in(ended)] if ended else []
    for agent, _ in streams:
        agent.beats(None)
    timing = world.timing
    timing.stand_until(timing.ms + ms)
    if tick_first:
        timing.tick_late()
    timing.catch_up()
    for _, stream in streams:
        world.end(stream, "(given up during the stall)")
    if not tick_first:
        timing.tick_late()
    return []


@command
def wall(world: World, words: Words) -> Lines:
    """wall +SPAN|-SPAN

    The wall clock jumps.
    """
    jump = words.next("jump")
    words.done()
    if jump[0] not in "+-":
        raise BadWords(f"a jump begins with + or -: {jump!r}")
    world.timing.wall_ahead_ms += span_ms(jump[1:]) * (1 if jump[0] == "+" else -1)
    return []


@command
def restart(world: World, words: Words) -> Lines:
    """restart [announced] [away=SPAN]

    The daemon is killed, and another one starts at once or later on what was stored. Agents beat no more by themselves.
    announced: it is stopped in order, and sends its agents away first.
    """
    announced, away = words.switch("announced"), words.pair("away", "0s")
    words.done()
    world.restart(span_ms(away), announced=announced)
    return []


# What is seen.


@command
def show(world: World, words: Words) -> Lines:
    """show [AGENTS]

    All services, or those of some agents, with status, reasons, tier, and since when by the wall clock.
    """
    return tables.services(snapshots_of(world, words))


@command
def tally(world: World, words: Words) -> Lines:
    """tally [AGENTS]

    How many services are in each state.
    """
    return tables.tally(snapshots_of(world, words))


@command
def events(world: World, words: Words) -> Lines:
    """events [AGENTS]

    The changes since the last `events`, with the time by the monotonic clock; of some agents: the others are dropped.
    """
    wanted = names_in(names) if (names := words.maybe()) else None
    words.done()
    published, world.edges[:] = list(world.edges), []
    return tables.edges(
        (ms, edge) for ms, edge in published if wanted is None or edge.service_id.partition(".")[0] in wanted
    )


@command
def frames(world: World, words: Words) -> Lines:
    """frames AGENT

    What the registry has sent an agent since the last `frames`, by stream.
    """
    agent = agent_of(world, words.next("agent"))
    words.done()
    sent = []
    for stream in agent.streams:
        sent.append((stream.number, stream.unseen))
        stream.unseen = []
    return tables.frames(sent)


@command
def discover(world: World, words: Words) -> Lines:
    """discover [include-not-ready] [TERM=VALUE]...

    What a caller finds: capabilities=a,b, tags=..., agent-id=..., service-name=...
    """
    everything = words.switch("include-not-ready")
    terms = words.fields_of(Selector)
    words.done()
    try:
        page = world.registry.discover(Selector(include_not_ready=everything, **terms))
    except RegistryError as error:
        return [tables.failure(error)]
    return tables.services(entry.snapshot for entry in page.entries)


@command
def alarm(world: World, words: Words) -> Lines:
    """alarm

    The text of the alarm MASS_HOLD.
    """
    words.done()
    return [world.registry.mass_hold or "no alarm"]


@command
def health(world: World, words: Words) -> Lines:
    """health

    How well the registry itself keeps time.
    """
    words.done()
    return tables.self_health(world.registry.self_health())
