"""The processes of kill_latency: python -m tests.e2e.kill_roles ROLE ARGUMENTS

    target ID REGISTRY          a fresh agent with a gRPC service that answers with its pid
    crowd N REGISTRY            N agents that only beat, each on a connection of its own
    caller RATE REGISTRY        discovers and calls RATE times a second; answers {t0, port} with what it counted
    killer                      answers {pid} with t0, read from the monotonic clock just before the SIGKILL

Each prints a line of JSON when ready, and ends when its standard input does.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio

from orion_registry.client.client import RegistryClient
from orion_registry.client.specs import with_metadata
from orion_registry.core.model import ServiceSpec
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError

CAPABILITY = "kill.target"
PATH = "/kill.Target/Pid"
LATE_S = 0.1
STARTED_AT_A_TIME = 50


def say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


async def listen(handle: Callable[[dict[str, Any]], Awaitable[None]] | None = None) -> None:
    """Hands each line of standard input to `handle`; returns at its end or at SIGTERM."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
    while line := await reader.readline():
        if handle is not None:
            await handle(json.loads(line))


class PidHandler(grpc.GenericRpcHandler):
    def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        pid = str(os.getpid()).encode()

        async def answer(_request: bytes, _context: Any) -> bytes:
            return pid

        return grpc.unary_unary_rpc_method_handler(answer)


async def target(agent_id: str, registry: str) -> None:
    server = grpc.aio.server(handlers=[PidHandler()], options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    spec = ServiceSpec(
        agent_id=agent_id, service_name="target", host="127.0.0.1", port=port, capabilities=(CAPABILITY,)
    )
    spec = with_metadata(spec, {"pid": os.getpid()})
    async with RegistryClient(registry) as client, client.session(agent_id, [spec]) as session:
        say(ready=agent_id, pid=os.getpid(), port=port, service_id=session.ref().service_id)
        await listen()
    await server.stop(0.2)


async def crowd(size: int, registry: str) -> None:
    async with AsyncExitStack() as stack:

        async def join(number: int) -> None:
            agent_id = f"crowd-{number}"
            spec = ServiceSpec(agent_id=agent_id, service_name="crowd", capabilities=("crowd",))
            client = await stack.enter_async_context(RegistryClient(registry))
            await client.session(agent_id, [spec]).start()  # ends with its process: nothing looks at it afterwards

        for first in range(0, size, STARTED_AT_A_TIME):
            await asyncio.gather(*(join(number) for number in range(first, min(first + STARTED_AT_A_TIME, size))))
        say(ready=size)
        await listen()


class Caller:
    """Discovers and calls at a steady rate; keeps (started, port, answered, truthful) of every call."""

    def __init__(self, client: RegistryClient, rate: float) -> None:
        self._client = client
        self._gap_s = 1.0 / rate
        self._selector = Selector(capabilities=(CAPABILITY,))
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {}
        self._open: set[asyncio.Task[None]] = set()
        self._records: list[tuple[float, int, bool, bool]] = []
        self.attempts = self.nobody = self.errors = 0
        self._since = time.monotonic()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            task = asyncio.create_task(self._one())
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            due = max(due + self._gap_s, loop.time() - 0.5)
            await asyncio.sleep(due - loop.time())

    async def _one(self) -> None:
        self.attempts += 1
        try:
            found = await self._client.discover_page(self._selector, page_size=10)
        except RegistryError:
            self.errors += 1
            return
        if not found.services:
            self.nobody += 1
            return
        service = random.choice(found.services)
        method = self._methods.get(service.address)
        if method is None:
            method = self._methods[service.address] = grpc.aio.insecure_channel(service.address).unary_unary(PATH)
        started = time.monotonic()
        call = method(b"", timeout=2.0)
        try:
            pid = int(await call)
            self._records.append((started, service.port, True, pid == service.metadata["pid"]))
        except grpc.aio.AioRpcError:
            self._records.append((started, service.port, False, False))
        finally:
            call.cancel()

    async def answer(self, question: dict[str, Any]) -> None:
        """What happened since the last question, seen from the kill at t0 of the agent at `port`."""
        records, self._records = self._records, []
        now = time.monotonic()
        rate, self.attempts, self._since = self.attempts / (now - self._since), 0, now
        t0, port = question["t0"], question["port"]
        say(
            rate=round(rate, 1),
            calls=len(records),
            answered_by_dead=sum(at == port and ok for _, at, ok, _ in records),
            after=sum(started > t0 + LATE_S for started, _, _, _ in records),
            late=sum(at == port and started > t0 + LATE_S for started, at, _, _ in records),
            failed=sum(not ok for _, _, ok, _ in records),
            failed_elsewhere=sum(not ok and at != port for _, at, ok, _ in records),
            untrue=sum(ok and not true for _, _, ok, true in records),
            nobody=self.nobody,
            errors=self.errors,
        )
        self.nobody = self.errors = 0


async def caller(rate: float, registry: str) -> None:
    async with RegistryClient(registry) as client:
        calling = Caller(client, rate)
        task = asyncio.create_task(calling.run())
        say(ready="caller")
        await listen(calling.answer)
        task.cancel()


def killer() -> None:
    say(ready="killer")
    for line in sys.stdin:
        pid = int(json.loads(line)["pid"])
        t0 = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        say(t0=t0)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "killer":
        killer()
    elif role == "target":
        asyncio.run(target(arguments[0], arguments[1]))
    elif role == "crowd":
        asyncio.run(crowd(int(arguments[0]), arguments[1]))
    else:
        asyncio.run(caller(float(arguments[0]), arguments[1]))
