"""Watchers for the load process: when each was told of a change, counted from just before the change was asked for."""

import asyncio
import itertools
import time
from typing import Any

import grpc.aio

from orion_registry_pb.v1 import registry_pb2
from tests.bench.numbers import NUMBER, numbered, percentiles

OPENED_AT_ONCE = 50
QUIET_S = 0.5
"""Without a message after opening: then the snapshots have been told."""
PATIENCE_S = 20.0


class Watchers:
    """Streams of one kind, each on a connection of its own, and what they were told."""

    def __init__(self, options: Any) -> None:
        self._options = options
        self._channels: list[grpc.aio.Channel] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._marker = b""
        self._gone = False
        self._arrived: dict[int, float] = {}
        self._all = asyncio.Event()
        self._last_message = 0.0

    async def watch(self, order: dict[str, Any]) -> dict[str, float]:
        """Opens `watchers` streams, 50 at a time, and waits until nothing comes any more."""
        request = bytes.fromhex(order["request"])
        gate = asyncio.Semaphore(OPENED_AT_ONCE)

        async def one() -> None:
            async with gate:
                channel = grpc.aio.insecure_channel(order["address"], options=self._options)
                method: Any = channel.stream_stream(order["path"])
                call = method()
                await call.write(request)
                if not order["open_end"]:  # one request is all that ours takes; etcd takes more on the same stream
                    await call.done_writing()
                await call.read()
                self._tasks.add(asyncio.create_task(self._read(call, len(self._channels))))
                self._channels.append(channel)

        await asyncio.gather(*(one() for _ in range(order["watchers"])))
        self._last_message = time.monotonic()
        while time.monotonic() - self._last_message < QUIET_S:  # noqa: ASYNC110 - waits for nothing to happen
            await asyncio.sleep(QUIET_S / 5)
        return {"watchers": len(self._channels)}

    async def changes(self, order: dict[str, Any]) -> dict[str, float]:
        """Asks for `count` changes, each once all watchers have been told of the one before; answers in milliseconds.

        p50_ms and p99_ms are of all deliveries, last_ms the median of each change's last one.
        """
        took, last = list[float](), list[float]()
        async with grpc.aio.insecure_channel(order["address"], options=self._options) as channel:
            method: Any = channel.unary_unary(order["path"])
            template = bytes.fromhex(order["request"])
            await channel.channel_ready()
            for _ in range(order["count"]):
                number = next(self._numbers)
                self._expect(numbered(NUMBER, number), gone=False)
                sent = time.monotonic()
                await method(numbered(template, number))
                await self._told(len(self._channels))
                took += [at - sent for at in self._arrived.values()]
                last.append(max(self._arrived.values()) - sent)
                await asyncio.sleep(order["pause_s"])
        p50_ms, p99_ms = (value * 1e3 for value in percentiles(took))
        return {"messages": len(took), "p50_ms": p50_ms, "p99_ms": p99_ms, "last_ms": percentiles(last)[0] * 1e3}

    async def expect(self, order: dict[str, Any]) -> dict[str, float]:
        """From now on the watchers look for a service that is not ready and whose agent has this name."""
        self._expect(order["agent"].encode(), gone=True)
        return {}

    async def told(self, _order: dict[str, Any]) -> dict[str, float]:
        """When the first watcher was told, on the machine's monotonic clock."""
        await self._told(1)
        return {"at": min(self._arrived.values())}

    def _expect(self, marker: bytes, *, gone: bool) -> None:
        self._marker, self._gone = marker, gone
        self._arrived.clear()
        self._all.clear()

    async def _told(self, watchers: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self._arrived) < watchers:
                self._all.clear()
                await self._all.wait()

    async def _read(self, call: Any, place: int) -> None:
        while (data := await call.read()) is not grpc.aio.EOF:
            self._last_message = time.monotonic()
            if self._marker and self._marker in data and (not self._gone or tells_unready(data, self._marker)):
                self._arrived.setdefault(place, self._last_message)
                self._all.set()


def tells_unready(data: bytes, agent: bytes) -> bool:
    """Whether a response says that a service of this agent may not be selected."""
    events = registry_pb2.WatchServicesResponse.FromString(data).events
    return any(event.service.agent_id == agent.decode() and not event.service.ready for event in events)
