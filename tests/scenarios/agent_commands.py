"""What agents do: one function for each command."""

from orion_registry.core.frames import GoodbyeReason, ServiceBeat
from orion_registry.core.model import Load, ServiceSpec, ServiceStatus
from tests.scenarios import tables
from tests.scenarios.agents import Held
from tests.scenarios.language import (
    Lines,
    agent_and_stream,
    agent_of,
    command,
    each,
    held_service,
    open_stream,
    refusals,
    service_id_of,
)
from tests.scenarios.words import BadWords, Words, names_in, one_of, span_ms
from tests.scenarios.world import World

SECRET = "the secret of {}, long enough for the registry"
OTHERS_SECRET = "the secret of another copy of {}, long enough too"


@command
def register(world: World, words: Words) -> Lines:
    """register AGENTS [NAME] [takeover] [secret=other] [FIELD=VALUE]...

    Registers a service for each agent: NAME if it has several. Fields are those of a service: liveness=ttl,
    liveness-ttl=5s, retention=10s, capabilities=a,b, tags=..., checks=web,db:10s (names and intervals).
    """
    names, takeover = names_in(words.next("agent")), words.switch("takeover")
    service = words.maybe()
    secret = {"": SECRET, "other": OTHERS_SECRET}.get(words.pair("secret"))
    given = words.fields_of(ServiceSpec)
    words.done()
    if secret is None:
        raise BadWords("secret may be other, or not be there")

    def one(name: str) -> Lines:
        agent, service_id = world.agent(name), service_id_of(name, service)
        spec = ServiceSpec(agent_id=name, service_name=service or "main", service_id=service_id, **given)
        return refusals(lambda: world.register(agent, spec, secret.format(name), takeover=takeover))

    return each(names, one)


@command
def update(world: World, words: Words) -> Lines:
    """update AGENTS [NAME] FIELD=VALUE...

    Changes fields of a service.
    """
    names, service = names_in(words.next("agent")), words.maybe()
    changed = words.fields_of(ServiceSpec)
    words.done()

    def one(name: str) -> Lines:
        held = held_service(world, name, service)
        return refusals(lambda: world.update(held.ref, changed))

    return each(names, one)


@command
def unregister(world: World, words: Words) -> Lines:
    """unregister AGENTS [NAME]

    Takes a service away.
    """
    names, service = names_in(words.next("agent")), words.maybe()
    words.done()

    def one(name: str) -> Lines:
        agent, held = agent_of(world, name), held_service(world, name, service)
        return refusals(lambda: world.unregister(agent, held))

    return each(names, one)


@command
def hello(world: World, words: Words) -> Lines:
    """hello AGENTS [over SPAN] [epoch=N] [lost]

    Each agent opens a stream for all its services, at once or spread over a span. epoch: it knows no later one. lost:
    the answer never arrives, so the agent does not use that stream.
    """
    names, over = names_in(words.next("agent")), words.after("over")
    lost, epoch = words.switch("lost"), words.pair("epoch")
    words.done()
    if epoch and not epoch.isdecimal():
        raise BadWords(f"not an epoch: {epoch!r}")
    return each(
        names,
        lambda name: list(map(tables.failure, world.hello(agent_of(world, name), epoch=int(epoch or 0), lost=lost))),
        world=world,
        over=over,
    )


@command
def beat(world: World, words: Words) -> Lines:
    """beat AGENTS [over SPAN] [FIELD=VALUE]...

    One beat of each agent, with news of its services: in-flight=3, self-status=starting, progress=7, task-age=2s.
    `calc#1` beats on the first stream of calc; otherwise it is the newest one that calc reads.
    """
    names, over = names_in(words.next("agent")), words.after("over")
    load, given = words.fields_of(Load), words.fields_of(ServiceBeat)
    words.done()
    if load:
        given["load"] = Load(**load)

    def one(name: str) -> Lines:
        agent, stream = agent_and_stream(world, name)
        news = (lambda service_id: ServiceBeat(service_id=service_id, **given)) if given else None
        return list(map(tables.failure, world.beat(agent, stream, news)))

    return each(names, one, world=world, over=over)


@command
def beats(world: World, words: Words) -> Lines:
    """beats AGENTS [every SPAN] [for SPAN]

    From now on the agents beat by themselves, as often as they are told or `every` so often; `for` lets so much time
    pass, then they fall silent.
    """
    names = names_in(words.next("agent"))
    every, long = words.after("every"), words.after("for")
    words.done()
    agents = [agent_of(world, name) for name in names]
    for agent in agents:
        world.keep_beating(agent, span_ms(every) if every else 0)
    if long:
        world.timing.pass_until(world.timing.ms + span_ms(long))
        for agent in agents:
            agent.beats(None)
    return []


@command
def hush(world: World, words: Words) -> Lines:
    """hush AGENTS

    They beat no more, and their streams stay open: their processes hang in their own code, and still answer PING.
    """
    names = names_in(words.next("agent"))
    words.done()
    for name in names:
        agent_of(world, name).beats(None)
    return []


@command
def kill(world: World, words: Words) -> Lines:
    """kill AGENTS [over SPAN]

    Their processes die, and their streams end. `calc#1`: only its first stream ends.
    """
    names, over = names_in(words.next("agent")), words.after("over")
    words.done()

    def one(name: str) -> Lines:
        agent, stream = open_stream(world, name)
        if "#" not in name:
            agent.beats(None)
        world.end(stream, "(killed)")
        return []

    return each(names, one, world=world, over=over)


@command
def cut(world: World, words: Words) -> Lines:
    """cut AGENTS

    Their network goes: nothing of them arrives any more, until PING gives their streams up.
    """
    names = names_in(words.next("agent"))
    words.done()
    for name in names:
        world.cut(*open_stream(world, name))
    return []


@command
def goodbye(world: World, words: Words) -> Lines:
    """goodbye AGENTS stopping|moving

    They say that they leave, for good or to come back.
    """
    names, reason = names_in(words.next("agent")), one_of(GoodbyeReason, words.next("reason"))
    words.done()
    for name in names:
        agent, stream = open_stream(world, name)
        world.goodbye(agent, stream, reason)
    return []


@command
def detach(world: World, words: Words) -> Lines:
    """detach AGENT [NAME]

    It takes a service off its stream, which goes on.
    """
    name, service = words.next("agent"), words.maybe()
    words.done()
    agent, stream = open_stream(world, name)
    world.detach(agent, stream, [service_id_of(name, service)])
    return []


@command
def report(world: World, words: Words) -> Lines:
    """report AGENTS STATUS

    They say what they think of themselves: starting, stopping, unhealthy, healthy.
    """
    names, status = names_in(words.next("agent")), one_of(ServiceStatus, words.next("status"))
    words.done()

    def say(held: Held) -> Lines:
        return refusals(lambda: world.registry.report_status(held.ref, status, world.now))

    return each(names, lambda name: [line for held in agent_of(world, name).services.values() for line in say(held)])
