"""What active checks find, and what is known of them: one function for each command."""

from orion_registry.core.checks.verdict import Verdict
from orion_registry.errors import RegistryError
from tests.scenarios import tables
from tests.scenarios.language import Lines, command, each, refusals
from tests.scenarios.words import Words, names_in, one_of
from tests.scenarios.world import World


@command
def probe(world: World, words: Words) -> Lines:
    """probe SERVICES[:CHECK] passed|failed|unavailable|denied|nothing

    What runs of their checks, or of this one, find from now on; until it is said they pass. nothing: they do not end,
    and those under way neither; with anything else those that hang end now.
    """
    targets, found = names_in(words.next("services")), words.next("verdict")
    words.done()
    verdict = None if found == "nothing" else one_of(Verdict, found)
    for target in targets:
        service_id, _, check = target.partition(":")
        world.finds(service_id, check, verdict)
    return []


@command
def check(world: World, words: Words) -> Lines:
    """check SERVICE[:CHECK]

    Somebody asks for its checks, or this one, to be run now.
    """
    service_id, _, name = words.next("service").partition(":")
    words.done()
    return refusals(lambda: world.check_now(service_id, name))


@command
def checks(world: World, words: Words) -> Lines:
    """checks SERVICES

    Where their checks stand: state, runs in a row, and what the last runs found, the oldest first.
    """
    names = names_in(words.next("services"))
    words.done()

    def one(service_id: str) -> Lines:
        try:
            return tables.checks(world.registry.monitoring.health(service_id))
        except RegistryError as error:
            return [tables.failure(error)]

    return each(names, one)
