"""What the lives of a soak share: where the registry is, what was done, and what went wrong."""

import asyncio
import itertools
import random
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from examples.demo.processes import Nursery
from orion_registry.core.selector import Selector
from tests.faults.observer import GONE, Observer, Sight

WORK = Selector(capabilities=("work.do",))
"""What callers ask for: agents in processes of their own, of which some are killed."""
BUSY = Selector(capabilities=("busy.do",))
"""What there are never enough slots of."""

FAULTS_SHOWN = 20


@dataclass
class World:
    """One soak.

    Attributes:
        address, http_url: the daemon's.
        http: for its HTTP port.
        stub: a connection with generated stubs.
        observer: a watcher that sees all services.
        done: how often each life was lived, by name.
        faults: what broke a promise, or raised what it should not.
        killed: agents that were seen dead; nobody may be sent to one.
    """

    address: str
    http_url: str
    nursery: Nursery
    http: aiohttp.ClientSession
    stub: Any
    observer: Observer
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    killed: set[str] = field(default_factory=set)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def name(self, prefix: str) -> str:
        """An agent_id that was not used before."""
        return f"{prefix}-{next(self._numbers)}"

    async def until(self, agent_ids: Sequence[str], holds: Callable[[Sight], bool]) -> None:
        """Waits until the last that was seen of each is so.

        Raises:
            TimeoutError: within 30 s it was not.
        """
        now = self.observer.now
        try:
            await self.observer.watch.until(lambda: all(one in now and holds(now[one]) for one in agent_ids))
        except TimeoutError:
            last = [str(now.get(one, f"{one} never seen")) for one in agent_ids]
            raise TimeoutError(f"after 30 s it was not {holds.__name__}: {', '.join(last)}") from None

    def forget(self) -> None:
        """Keeps of what the watcher has seen what is still there: a soak lasts for hours."""
        self.observer.sights.clear()
        for agent_id in [one for one, sight in self.observer.now.items() if sight.status == GONE]:
            del self.observer.now[agent_id]

    def fault(self, text: str) -> None:
        """Notes one; of those that read alike, and beyond the first few, only their number grows."""
        self.done["faults"] += 1
        if len(self.faults) < FAULTS_SHOWN and text not in self.faults:
            self.faults.append(text)


Life = Callable[[World], Awaitable[None]]


async def repeat(world: World, life: Life, pause_s: float) -> None:
    """Lives it again and again, with pauses of about so long, until cancelled. What it raises is a fault."""
    while True:
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
        try:
            await life(world)
            world.done[life.__name__] += 1
        except Exception:  # the soak goes on: it is told at the end, and fails it
            world.fault(f"{life.__name__}: {traceback.format_exc(limit=-3)}")
