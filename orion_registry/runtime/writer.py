"""The durable lane: plan, store, apply, one command after the other for each service, side by side for the rest."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orion_registry.core.commands import Command, Result
from orion_registry.core.facts import Fact
from orion_registry.core.model import Actor
from orion_registry.core.planning import Settled, key_of
from orion_registry.core.registry import Registry
from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.runtime.clock import Clock
from orion_registry.store.base import Store, StoreFailed

log = logging.getLogger("orion_registry")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterConfig:
    """Bounds of the durable lane.

    Attributes:
        timeout_s: how long a caller waits for the store before it is told to try again.
        queue: commands under way at most; more are refused at once.
    """

    timeout_s: float = 3.0
    queue: int = 1_024


class Writer:
    """Runs durable commands. A command whose caller has gone or was told to wait still comes to its end.

    While the store has not answered for `timeout_s`, new commands are refused at once, so nobody waits in vain.
    """

    def __init__(self, registry: Registry, store: Store, clock: Clock, config: WriterConfig) -> None:
        self._registry = registry
        self._store = store
        self._clock = clock
        self.timeout_s = config.timeout_s
        self._queue = config.queue
        self._last: dict[str, asyncio.Task[Result]] = {}
        self._alone: asyncio.Task[Result] | None = None
        self._tasks: set[asyncio.Task[Result]] = set()
        self._commits: dict[object, float] = {}

    async def execute(self, command: Command, actor: Actor, timeout_s: float | None = None) -> Result:
        """Runs one command and returns its answer once it is stored and applied.

        A command that concerns all services waits for those before it, and those after it wait for it. timeout_s:
        how long it may take if not the usual `WriterConfig.timeout_s`.

        Raises:
            RegistryError: refused; STORE_DOWN with retry_after_s if the store does not answer in time. Then the
                outcome is open: a retry with the same request_id is safe.
        """
        self._refuse_if_stuck()
        key = key_of(command)
        task = asyncio.get_running_loop().create_task(self._run(command, actor, self._before(key)))
        if key is None:
            self._alone = task
        else:
            self._last[key] = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(key, done))
        await asyncio.wait({task}, timeout=self.timeout_s if timeout_s is None else timeout_s)
        if not task.done():
            raise self._stuck("the store has not answered yet; the outcome is open")
        return task.result()

    @property
    def trouble(self) -> str:
        """What is wrong with the store as far as can be seen here; empty while it answers."""
        oldest = next(iter(self._commits.values()), None)
        stuck = oldest is not None and self._clock.now().mono - oldest > self.timeout_s
        return f"the store has not answered for {self.timeout_s:g} s" if stuck else ""

    def in_the_way(self, keys: Iterable[str]) -> set[asyncio.Task[Result]]:
        """Commands under way that a session for one of these services must wait for.

        Those that end it are; those that may be about to add it too. Other changes of it are not.
        """
        found = set()
        for key in keys:
            if key not in self._registry:
                found |= {self._last.get(key), self._alone}
            elif self._registry.departing(key):
                found.add(self._last.get(key))
        return {task for task in found if task is not None}

    async def commit(self, facts: Sequence[Fact]) -> None:
        """Stores facts, all or nothing.

        Raises:
            Unavailable: STORE_DOWN, the store did not take it.
        """
        token = object()
        self._commits[token] = self._clock.now().mono
        try:
            await self._store.commit(facts)
        except StoreFailed as error:
            log.warning("the store took no write", extra={"error": str(error)})
            raise self._stuck("the store took no write") from error
        finally:
            del self._commits[token]

    async def drain(self, timeout_s: float) -> int:
        """Waits for commands under way, and returns how many were not done in time."""
        if not self._tasks:
            return 0
        _, pending = await asyncio.wait(self._tasks, timeout=timeout_s)
        return len(pending)

    def _before(self, key: str | None) -> set[asyncio.Task[Result]]:
        """What a command has to wait for."""
        if key is None:
            return set(self._tasks)
        return {task for task in (self._last.get(key), self._alone) if task is not None}

    async def _run(self, command: Command, actor: Actor, before: set[asyncio.Task[Result]]) -> Result:
        if before:
            await asyncio.wait(before)
        plan = self._registry.plan(command, actor, self._clock.now())
        if not isinstance(plan, Settled):
            self._registry.begin(plan)
            try:
                await self.commit(plan.facts)
            except BaseException:
                self._registry.abandon(plan)
                raise
        return self._registry.apply(plan, self._clock.now())

    def _done(self, key: str | None, task: asyncio.Task[Result]) -> None:
        self._tasks.discard(task)
        if self._alone is task:
            self._alone = None
        if key is not None and self._last.get(key) is task:
            del self._last[key]
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, RegistryError):
            log.error("durable command failed", exc_info=error, extra={"service_id": key or "*"})

    def _refuse_if_stuck(self) -> None:
        if self.trouble:
            raise self._stuck(self.trouble)
        if len(self._tasks) >= self._queue:
            raise self._stuck(f"{self._queue} writes are under way")

    def _stuck(self, why: str) -> Unavailable:
        return Unavailable(Reason.STORE_DOWN, why, retry_after_s=self.timeout_s)
