"""Custom probes: callables that the registry's configuration names, each in a process of its own."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from orion_registry.core.checks.spec import CustomProbe
from orion_registry.probes.ends import CheckFailed, CheckUnavailable
from orion_registry.probes.resolve import Address
from orion_registry.probes.worker import Worker

START_S = 10.0  # time for a worker to start and load its modules; runs wait for it within their own time-outs
CALLS = 1_000  # calls of a worker, then a new one takes over: what leaks, leaks no further
CRASHES = 3  # in a row, then it rests
REST_S = 1.0  # the first rest; each further crash doubles it
REST_MOST_S = 60.0


@dataclass(slots=True)
class Breaker:
    """Whether a callable that broke several times in a row may be tried again. Times in seconds of one clock."""

    crashes: int = 0
    until: float = 0.0

    def crashed(self, now: float) -> None:
        """It broke."""
        self.crashes += 1
        if self.crashes >= CRASHES:
            self.until = now + min(REST_MOST_S, REST_S * 2.0 ** min(self.crashes - CRASHES, 16))

    def worked(self) -> None:
        """It answered."""
        self.crashes, self.until = 0, 0.0

    def rest_s(self, now: float) -> float:
        """Seconds that it still rests; 0 = it may be tried."""
        return max(0.0, self.until - now)


class CustomProber:
    """The workers, one for each name, started on demand."""

    def __init__(self, callables: Mapping[str, str]) -> None:
        self._callables = callables
        self._lines: dict[str, _Line] = {}

    async def probe(self, probe: CustomProbe, addresses: tuple[Address, ...], deadline: float) -> None:
        """Returns if it passed.

        Raises:
            CheckFailed: the callable says so.
            CheckUnavailable: it is not configured, or broke, or rests after it broke.
        """
        if probe.name not in self._callables:
            raise CheckUnavailable(f"no custom check {probe.name!r} is configured")
        line = self._lines.get(probe.name)
        if line is None:
            line = self._lines[probe.name] = _Line(self._callables[probe.name])
        now = asyncio.get_running_loop().time()
        target: dict[str, object] = {
            "host": probe.host,
            "port": probe.port,
            "addresses": [str(address.ip) for address in addresses],
            "timeout_s": deadline - now,
        }
        await line.run(target, deadline)

    async def close(self) -> None:
        """Ends all workers."""
        await asyncio.gather(*(line.close() for line in self._lines.values()))


class _Line:
    """The runs of one callable, one after another."""

    def __init__(self, callable_name: str) -> None:
        self._callable = callable_name
        self._turn = asyncio.Lock()
        self._breaker = Breaker()
        self._starting: asyncio.Task[Worker] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, target: dict[str, object], deadline: float) -> None:
        loop = asyncio.get_running_loop()
        async with self._turn:
            rest_s = self._breaker.rest_s(loop.time())
            if rest_s > 0:
                raise CheckUnavailable(
                    f"the custom check rests for {rest_s:.0f} s after {self._breaker.crashes} crashes"
                )
            worker = await self._worker()
            target["timeout_s"] = max(0.0, deadline - loop.time())
            try:
                end, why = await worker.call(target)
            except CheckUnavailable:
                self._crashed(worker, loop.time())
                raise
            except BaseException:  # our time-out, or the end of the run: the call may still be going on
                self._drop(worker)  # no crash: how long it may take is the agent's choice, and others need it, too
                raise
            if end not in ("passed", "failed"):
                self._crashed(worker, loop.time())
                raise CheckUnavailable(f"the custom check raised {why}")
            self._breaker.worked()
            if worker.calls >= CALLS:
                self._drop(worker)
            if end == "failed":
                raise CheckFailed("".join(sign if sign.isprintable() else " " for sign in why) or "it says so")

    async def _worker(self) -> Worker:
        """The worker; starting one goes on when a run gives up waiting for it."""
        if self._starting is not None and _has_gone(self._starting):
            self._starting = None  # it died between two runs: no fault of this one
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._start())
            self._starting.add_done_callback(_seen)
        try:
            return await asyncio.shield(self._starting)
        except CheckUnavailable:
            self._starting = None
            self._breaker.crashed(asyncio.get_running_loop().time())
            raise

    async def _start(self) -> Worker:
        try:
            async with asyncio.timeout(START_S):
                return await Worker.start(self._callable)
        except TimeoutError:
            raise CheckUnavailable(f"the custom check did not load in {START_S:.0f} s") from None

    def _crashed(self, worker: Worker, now: float) -> None:
        self._breaker.crashed(now)
        self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        worker.kill()
        self._starting = None
        ending = asyncio.get_running_loop().create_task(worker.ended())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            done = (await asyncio.gather(starting, return_exceptions=True))[0]
            if isinstance(done, Worker):
                self._drop(done)
        await asyncio.gather(*self._ending)


def _has_gone(start: asyncio.Task[Worker]) -> bool:
    return start.done() and not start.cancelled() and start.exception() is None and start.result().is_gone


def _seen(start: asyncio.Task[Worker]) -> None:
    """Takes note of a start that failed, also when every run gave up waiting for it."""
    if not start.cancelled():
        start.exception()
