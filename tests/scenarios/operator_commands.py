"""What operators do: one function for each command."""

from orion_registry.core.commands import SetOverlay
from orion_registry.core.overlay import OverlayFilter, OverlayMode, ServiceKey
from tests.scenarios import tables
from tests.scenarios.language import Lines, command, each, refusals
from tests.scenarios.words import Words, names_in, one_of, span_ms
from tests.scenarios.world import World


@command
def overlay(world: World, words: Words) -> Lines:
    """overlay SERVICES [none|drain|maintenance|quarantine] [weight=W] [deadline=SPAN] [note=WORD]

    Sets what is wanted of services, by their ids; what is left out stays as it was.
    """
    services, text = names_in(words.next("services")), words.maybe()
    weight, deadline, note = words.pair("weight"), words.pair("deadline"), words.pair("note")
    words.done()
    mode = one_of(OverlayMode, text) if text else None
    weight_given = float(weight) if weight else None
    deadline_s = span_ms(deadline) / 1_000 if deadline else None

    def set_one(service_id: str) -> Lines:
        target = ServiceKey(service_id=service_id)
        wanted = SetOverlay(target=target, mode=mode, weight=weight_given, deadline_s=deadline_s, note=note)
        return refusals(lambda: world.set_overlay(wanted))

    return each(services, set_one)


@command
def overlays(world: World, words: Words) -> Lines:
    """overlays

    All that is set.
    """
    words.done()
    return tables.overlays(world.registry.overlays(OverlayFilter(), 0, "", world.now).rows)


@command
def remove(world: World, words: Words) -> Lines:
    """remove SERVICE

    An operator removes a service; its agent is told.
    """
    service_id = words.next("service")
    words.done()
    return refusals(lambda: world.remove(service_id))
