"""What clients at several members ask for, and what they are answered, while others break the members."""

import asyncio
import itertools
import random
import time
from collections.abc import Sequence

from orion_registry.client.client import RegistryClient
from orion_registry.client.failures import Unreachable
from orion_registry.core.model import LivenessMode, ServiceSpec, SessionRef
from orion_registry.errors import NotFound, Reason, RegistryError
from tests.cluster.linearizable import Operation

SECRET = "the secret of a key that all share, 32"
TIMEOUT_S = 2.0


def spec_of(key: str, tag: str = "") -> ServiceSpec:
    return ServiceSpec(
        agent_id=key, service_name="kept", host="127.0.0.1", port=9, liveness=LivenessMode.STATIC,
        service_id=key, tags=(tag,) if tag else (),
    )  # fmt: skip


class Client:
    """One client at one member. It knows generations from its own answers alone."""

    def __init__(self, address: str, history: list[Operation], rng: random.Random) -> None:
        self._client = RegistryClient(address, timeout_s=TIMEOUT_S)
        self._history = history
        self._rng = rng
        self._known: dict[str, int] = {}

    async def run(self, keys: Sequence[str], until: float) -> None:
        async with self._client:
            while time.monotonic() < until:
                key = self._rng.choice(keys)
                what = self._rng.choices(("register", "update", "remove"), (3, 5, 1))[0]
                argument = self._known.get(key, 1) if what == "update" else 0
                began = time.monotonic()
                answer = await self._ask(what, key, argument)
                if answer is not None and answer[1]:
                    self._known[key] = answer[1]
                if answer != ("nothing", 0):
                    ended = time.monotonic()
                    self._history.append(
                        Operation(key=key, what=what, argument=argument, answer=answer, began=began, ended=ended)
                    )
                await asyncio.sleep(self._rng.uniform(0.0, 0.05))

    async def _ask(self, what: str, key: str, argument: int) -> tuple[str, int] | None:
        try:
            return await getattr(self, f"_{what}")(key, argument)  # type: ignore[no-any-return]  # of the three below
        except NotFound:
            return "absent", 0
        except RegistryError as error:
            if error.reason is Reason.STALE_ETAG:
                return "stale", _generation_in(error.message)
            if is_open(error):
                await asyncio.sleep(0.5)  # each that is open doubles what the checker has to think of
                return None
            await asyncio.sleep(0.1)
            return "nothing", 0

    async def _register(self, key: str, _argument: int) -> tuple[str, int]:
        found = await self._client.register(spec_of(key), secret=SECRET)
        if found.created:
            return "made", 1  # the service that comes with it is as it is when the answer is written: changed, perhaps
        return "updated", found.service.generation

    async def _update(self, key: str, argument: int) -> tuple[str, int]:
        ref = SessionRef(service_id=key, epoch=EPOCH, secret=SECRET)
        await self._client.update(ref, spec_of(key, str(argument)), ("tags",), etag=argument)
        return "done", argument + 1

    async def _remove(self, key: str, _argument: int) -> tuple[str, int]:
        await self._client.unregister(SessionRef(service_id=key, epoch=EPOCH, secret=SECRET))
        return "done", 0


EPOCH = 0
"""An epoch that is never stale while none was used: the services are STATIC, and nobody says hello for them."""


def is_open(error: RegistryError) -> bool:
    """Whether nobody knows if the operation took place."""
    if isinstance(error, Unreachable):  # whoever was not connected to was not asked
        return not any(word in error.message.lower() for word in ("refused", "failed to connect"))
    return "outcome is open" in error.message


def _generation_in(message: str) -> int:
    """What a refusal says that the generation is."""
    return int(message.partition("the generation is ")[2].partition(";")[0].replace(",", ""))


async def record(
    addresses: Sequence[str], seconds: float, *, keys: int, clients: int, seed: int = 1
) -> list[Operation]:
    """The history of some clients, spread over the members."""
    history: list[Operation] = []
    names = [f"key-{number}" for number in range(keys)]
    until = time.monotonic() + seconds
    places = itertools.cycle(addresses)
    rngs = [random.Random(seed * 100 + number) for number in range(clients)]
    await asyncio.gather(*(Client(next(places), history, rng).run(names, until) for rng in rngs))
    return history
