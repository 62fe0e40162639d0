"""Who calls: asks the registry who can do a thing, and calls what it finds."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
import grpc.aio

from orion_registry.client.client import RegistryClient
from orion_registry.client.fold import WatchEvent
from orion_registry.client.watch import Watch
from orion_registry.core.selector import Selector
from orion_registry.wire.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call. started: monotonic seconds. answer: None if it failed."""

    started: float
    port: int
    pid: int
    answer: dict[str, Any] | None
    error: str = ""

    @property
    def is_true(self) -> bool:
        """Whether the very process that the registry named has answered."""
        return self.answer is not None and self.answer["pid"] == self.pid


class Caller:
    """Discovers and calls. Keeps one channel per agent address."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._turn = count()

    async def call(self, capability: str, arguments: list[Any], tags: tuple[str, ...] = ()) -> CallRecord:
        """Finds the ready agents with a capability (and tags) and calls one of them, in turn.

        Raises:
            LookupError: nobody ready offers it.
        """
        page = await self._client.discover_page(Selector(capabilities=(capability,), tags=tags), page_size=10)
        if not page.services:
            raise LookupError(f"nobody ready offers {capability} with tags {list(tags)}")
        return await self.call_service(page.services[next(self._turn) % len(page.services)], capability, arguments)

    async def call_service(self, service: Service, capability: str, arguments: list[Any]) -> CallRecord:
        """Calls one service; a failure is a record too."""
        address = f"{service.host}:{service.port}"
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = grpc.aio.insecure_channel(address)
        path: str = service.metadata["methods"][capability]
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        started = time.monotonic()
        answer, error = None, ""
        call = method(json.dumps(arguments).encode(), timeout=2.0)
        try:
            answer = json.loads(await call)
        except grpc.aio.AioRpcError as failure:
            error = failure.code().name
        finally:
            call.cancel()
        return CallRecord(
            started=started, port=service.port, pid=int(service.metadata["pid"]), answer=answer, error=error
        )

    async def close(self) -> None:
        """Closes its channels."""
        while self._channels:
            await self._channels.popitem()[1].close()


class Traffic:
    """Calls one capability at a steady rate until stopped; keeps every record."""

    def __init__(self, caller: Caller, capability: str, arguments: list[Any], rate: float) -> None:
        self.records: list[CallRecord] = []
        self.unserved = 0
        self._caller = caller
        self._capability = capability
        self._arguments = arguments
        self._gap_s = 1.0 / rate
        self._task: asyncio.Task[None] | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Traffic":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self._open:
            await asyncio.wait(self._open)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            task = asyncio.create_task(self._one())
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            due = max(due + self._gap_s, loop.time() - 1.0)
            await asyncio.sleep(due - loop.time())

    async def _one(self) -> None:
        try:
            self.records.append(await self._caller.call(self._capability, self._arguments))
        except LookupError:
            self.unserved += 1


class Timeline:
    """What a watch saw and when, on the monotonic clock; whoever asks later is told of the past too."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._seen: list[tuple[float, WatchEvent]] = []
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self._watch:
            self._seen.append((time.monotonic(), event))
            self._more.set()

    async def first(
        self, matches: Callable[[WatchEvent], bool], *, after: float = 0.0, timeout_s: float = 10.0
    ) -> tuple[float, WatchEvent]:
        """The first event seen since `after` (monotonic seconds) that matches, and when. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                for seen, event in self._seen:
                    if seen >= after and matches(event):
                        return seen, event
                self._more.clear()
                await self._more.wait()

    async def close(self) -> None:
        """Stops following."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
