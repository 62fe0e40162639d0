"""The durable lane: plan, store, apply, one command after the other for each service, side by side for the rest."""

import asyncio
import functools
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from orion_registry.core.commands import Command, Result
from orion_registry.core.facts import Fact
from orion_registry.core.model import Actor, Now
from orion_registry.core.planning import Plan, Settled, key_of
from orion_registry.core.registry import Registry
from orion_registry.core.tally import Histogram
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


COMMIT_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class CommitTally:
    """How the store takes writes.

    Attributes:
        times: from a write's way to the store to its answer, in seconds; what failed is in it.
        failed: writes that the store did not take.
    """

    __slots__ = ("failed", "times")

    def __init__(self) -> None:
        self.times = Histogram(COMMIT_BOUNDS)
        self.failed = 0


class _Run:
    """One command under way."""

    __slots__ = ("_over", "actor", "command", "give_up_at", "key", "told")

    def __init__(self, command: Command, actor: Actor, loop: asyncio.AbstractEventLoop, give_up_at: float) -> None:
        self.give_up_at = give_up_at
        self.command = command
        self.actor = actor
        self.key = key_of(command)
        self.told: asyncio.Future[Result] = loop.create_future()
        """What its caller waits for; it goes with the caller, and the command goes on."""
        self._over: asyncio.Future[None] | None = None

    @property
    def over(self) -> asyncio.Future[None]:
        """Done when the command has come to its end."""
        if self._over is None:
            self._over = self.told.get_loop().create_future()
        return self._over

    def end(self, result: Result | None, error: BaseException | None) -> None:
        """Tells whoever still waits."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        if self.told.done():
            return
        if error is not None:
            self.told.set_exception(error)
        elif result is not None:
            self.told.set_result(result)


class Writer:
    """Runs durable commands. A command whose caller has gone or was told to wait still comes to its end.

    While the store has not answered for `timeout_s`, new commands are refused at once, so nobody waits in vain. A
    command that nothing holds up costs no task: it is planned by its caller, and applied when the store answers.
    """

    def __init__(self, registry: Registry, store: Store, clock: Clock, config: WriterConfig) -> None:
        self._registry = registry
        self._store = store
        self._clock = clock
        self.timeout_s = config.timeout_s
        self._queue = config.queue
        self._runs: set[_Run] = set()
        self._last: dict[str, _Run] = {}
        self._alone: _Run | None = None
        self._held_up: set[asyncio.Task[None]] = set()
        self._commits: dict[object, float] = {}
        self._alarm_clock: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self.tally = CommitTally()

    async def execute(self, command: Command, actor: Actor, timeout_s: float | None = None) -> Result:
        """Runs one command and returns its answer once it is stored and applied.

        A command that concerns all services waits for those before it, and those after it wait for it. timeout_s:
        how long it may take if not the usual `WriterConfig.timeout_s`.

        Raises:
            RegistryError: refused; STORE_DOWN with retry_after_s if the store does not answer in time. Then the
                outcome is open: a retry with the same request_id is safe.
        """
        now = self._clock.now()
        judged = self._registry.judged(now)
        self._refuse_if_stuck(judged)
        loop = asyncio.get_running_loop()
        run = _Run(command, actor, loop, judged + (self.timeout_s if timeout_s is None else timeout_s))
        before = self._before(run.key)
        self._runs.add(run)
        if run.key is None:
            self._alone = run
        else:
            self._last[run.key] = run
        if before:
            task = loop.create_task(self._start_after(before, run))
            self._held_up.add(task)
            task.add_done_callback(self._held_up.discard)
        else:
            self._start(run, now)
        if run in self._runs and (self._alarm_clock is None or run.give_up_at < self._rings_at):
            self._wind(run.give_up_at, judged)
        return await run.told

    @property
    def trouble(self) -> str:
        """What is wrong with the store as far as can be seen here; empty while it answers."""
        return self._trouble(self._judged()) if self._commits else ""

    async def settled(self, keys: Collection[str]) -> None:
        """Returns when nothing is in the way of these services, or after as long as callers wait for the store."""
        give_up = self._clock.now().mono + self.timeout_s
        while ends := self._in_the_way(keys):
            left_s = give_up - self._clock.now().mono
            if left_s <= 0:
                return
            await asyncio.wait(ends, timeout=left_s)

    def _in_the_way(self, keys: Iterable[str]) -> set[asyncio.Future[None]]:
        """The ends of commands under way that a session for one of these services must wait for.

        Those that end it are; those that may be about to add it too. Other changes of it are not.
        """
        found = set()
        for key in keys:
            if key not in self._registry:
                found |= {self._last.get(key), self._alone}
            elif self._registry.departing(key):
                found.add(self._last.get(key))
        return {run.over for run in found if run is not None}

    async def commit(self, facts: Sequence[Fact]) -> None:
        """Stores facts, all or nothing.

        Raises:
            Unavailable: STORE_DOWN, the store did not take it.
        """
        stored = self._send(facts, self._judged() + self.timeout_s)
        try:
            await stored
        except StoreFailed as error:
            raise self._refused(error) from error
        finally:
            del self._commits[stored]

    async def drain(self, timeout_s: float) -> int:
        """Waits for commands under way, and returns how many were not done in time."""
        if not self._runs:
            return 0
        _, pending = await asyncio.wait({run.over for run in self._runs}, timeout=timeout_s)
        return len(pending)

    # The life of a command: held up perhaps, started, stored, ended.

    def _before(self, key: str | None) -> set[asyncio.Future[None]]:
        """What a command has to wait for."""
        if key is None:
            return {run.over for run in self._runs}
        last = self._last.get(key)
        if last is None and self._alone is None:  # nearly always
            return set()
        return {run.over for run in (last, self._alone) if run is not None}

    async def _start_after(self, before: set[asyncio.Future[None]], run: _Run) -> None:
        await asyncio.wait(before)
        self._start(run, self._clock.now())

    def _start(self, run: _Run, now: Now) -> None:
        try:
            plan = self._registry.plan(run.command, run.actor, now)
            if isinstance(plan, Settled):
                self._end(run, self._registry.apply(plan, now))
                return
        except Exception as error:  # noqa: BLE001 - its caller's to raise
            self._end(run, None, error)
            return
        try:
            facts = (*plan.facts, *self._registry.audits(plan, run.command, run.actor, now))
            self._registry.begin(plan)
            stored = self._send(facts, max(run.give_up_at, self._registry.judged(now) + self.timeout_s))
        except Exception as error:  # noqa: BLE001 - a fault of ours, see `_end`
            self._registry.abandon(plan)
            self._end(run, None, error)
            return
        stored.add_done_callback(functools.partial(self._stored, run, plan))

    def _stored(self, run: _Run, plan: Plan, stored: asyncio.Future[None]) -> None:
        del self._commits[stored]
        error = asyncio.CancelledError() if stored.cancelled() else stored.exception()
        if error is None:
            try:
                self._end(run, self._registry.apply(plan, self._clock.now()))
            except Exception as fault:  # noqa: BLE001 - apply cannot fail; if it does, its caller is told
                self._end(run, None, fault)
            return
        self._registry.abandon(plan)
        self._end(run, None, self._refused(error) if isinstance(error, StoreFailed) else error)

    def _end(self, run: _Run, result: Result | None, error: BaseException | None = None) -> None:
        self._runs.discard(run)
        if not self._runs and self._alarm_clock is not None:
            self._alarm_clock.cancel()
            self._alarm_clock = None
        if self._alone is run:
            self._alone = None
        if run.key is not None and self._last.get(run.key) is run:
            del self._last[run.key]
        if error is not None and not isinstance(error, RegistryError):
            log.error("durable command failed", exc_info=error, extra={"service_id": run.key or "*"})
        run.end(result, error)

    # Patience: one timer for all, set to the first of those who wait.

    def _wind(self, rings_at: float, judged: float) -> None:
        if self._alarm_clock is not None:
            self._alarm_clock.cancel()
        self._rings_at = rings_at
        self._alarm_clock = asyncio.get_running_loop().call_later(rings_at - judged, self._give_up)

    def _give_up(self) -> None:
        """Some have waited long enough; their commands go on. A stall of this process is not the store's fault."""
        self._alarm_clock = None
        judged = self._judged()
        waiting = [run for run in self._runs if not run.told.done()]
        for run in waiting:
            if run.give_up_at <= judged:
                run.told.set_exception(self._stuck("the store has not answered yet; the outcome is open"))
        rings_at = min((run.give_up_at for run in waiting if run.give_up_at > judged), default=None)
        if rings_at is not None:
            self._wind(rings_at, judged)

    def _send(self, facts: Sequence[Fact], due: float) -> asyncio.Future[None]:
        """due: judged seconds by which the store is to have answered."""
        stored = asyncio.ensure_future(self._store.commit(facts))
        self._commits[stored] = due
        stored.add_done_callback(functools.partial(self._timed, self._clock.now().mono))
        return stored

    def _timed(self, began: float, _stored: asyncio.Future[None]) -> None:
        self.tally.times.observe(self._clock.now().mono - began)

    def _judged(self) -> float:
        return self._registry.judged(self._clock.now())

    def _trouble(self, judged: float) -> str:
        due = next(iter(self._commits.values()), None)
        stuck = due is not None and judged > due
        return f"the store has not answered for {self.timeout_s:g} s" if stuck else ""

    def _refuse_if_stuck(self, judged: float) -> None:
        if why := self._trouble(judged):
            raise self._stuck(why)
        if len(self._runs) >= self._queue:
            raise self._stuck(f"{self._queue} writes are under way")

    def _refused(self, error: StoreFailed) -> Unavailable:
        self.tally.failed += 1
        log.warning("the store took no write", extra={"error": str(error)})
        return self._stuck("the store took no write")

    def _stuck(self, why: str) -> Unavailable:
        return Unavailable(Reason.STORE_DOWN, why, retry_after_s=self.timeout_s)
