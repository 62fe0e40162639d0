"""Runs the checks that the core says are due, each in a task of its own, and lets callers wait for their ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from orion_registry.calls.cancellation import cancelled_from_outside
from orion_registry.core.checks.active import ActiveCheck, Result
from orion_registry.core.checks.monitoring import Monitoring
from orion_registry.core.checks.schedule import Run
from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.core.model import Now
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.stopping import stopping

log = logging.getLogger("orion_registry")

Probe = Callable[[CheckSpec, str], Awaitable[Outcome]]
"""Makes one run of a check. The text is the address that the agent connects from; empty = this machine."""


async def no_prober(check: CheckSpec, _address: str) -> Outcome:
    """The `Probe` of a registry that has none: says nothing of any service."""
    return Outcome(verdict=Verdict.UNAVAILABLE, kind=check.probes[0].kind, detail="this registry has no prober")


class Monitor:
    """The tasks of running checks. How many there may be is the core's matter."""

    def __init__(self, monitoring: Monitoring, clock: Clock, probe: Probe) -> None:
        self._monitoring = monitoring
        self._clock = clock
        self._probe = probe
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[ActiveCheck, set[asyncio.Future[Result | None]]] = {}
        self._stopped = False
        monitoring.ended = self._ended

    def start_due(self, now: Now) -> None:
        """Starts what is due. To be called with every tick."""
        if self._stopped:
            return
        loop = asyncio.get_running_loop()
        for run in self._monitoring.due(now):
            task = loop.create_task(self._run(run), name="check")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def check_now(self, service_id: str, check: str = "") -> tuple[Result, ...]:
        """Runs a check of a service, or all of them (empty), and waits for what they find.

        One that is dropped or changed meanwhile has no result.

        Raises:
            RegistryError: see `Monitoring.check_now`.
            Unavailable: NOT_SERVING, the registry stops.
        """
        loop = asyncio.get_running_loop()
        now = self._clock.now()
        asked = self._monitoring.check_now(service_id, check, now)
        ends = {one: loop.create_future() for one in asked}
        for one, end in ends.items():
            self._waiting.setdefault(one, set()).add(end)
        self.start_due(now)
        try:
            await asyncio.wait(ends.values())
        finally:
            for one, end in ends.items():
                self._forget(one, end)
        if self._stopped:
            raise stopping()
        return tuple(result for end in ends.values() if (result := end.result()) is not None)

    def stop(self) -> None:
        """Cancels all runs and ends all waits. Nothing starts any more."""
        self._stopped = True
        for ends in self._waiting.values():
            for end in ends:
                if not end.done():
                    end.set_result(None)
        for task in self._tasks:
            task.cancel()

    async def over(self, timeout_s: float) -> None:
        """Returns when no run is under way any more, or after so many seconds."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)

    async def _run(self, run: Run) -> None:
        try:
            outcome = await self._probe(run.spec, run.address)
        except asyncio.CancelledError:
            if cancelled_from_outside():
                raise
            outcome = _broken(run, "it cancelled itself")  # the place of this run must not stay taken
        except Exception as error:  # a prober never raises; if one does, no service may suffer for it
            log.exception("a prober broke", extra={"service_id": run.service_id, "check": run.spec.name})
            outcome = _broken(run, type(error).__name__)
        now = self._clock.now()
        self._monitoring.finish(run, outcome, now)
        self.start_due(now)

    def _ended(self, check: ActiveCheck, result: Result | None) -> None:
        """See `Monitoring.ended`."""
        for end in self._waiting.pop(check, ()):
            if not end.done():
                end.set_result(result)

    def _forget(self, check: ActiveCheck, end: "asyncio.Future[Result | None]") -> None:
        ends = self._waiting.get(check)
        if ends is not None:
            ends.discard(end)
            if not ends:
                del self._waiting[check]


def _broken(run: Run, why: str) -> Outcome:
    return Outcome(verdict=Verdict.UNAVAILABLE, kind=run.spec.probes[0].kind, detail=f"the prober broke: {why}")
