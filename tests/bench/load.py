"""The load: a client process that does what it is told on stdin, one JSON object a line, and answers each with another.

{"do": "unary", "address", "path", "request": hex, "concurrency", "seconds"}      -> {"calls", "seconds"}
{"do": "calls", "address", "path", "request": hex, "concurrency", "calls"}        -> {"calls", "seconds"}
{"do": "select" | "route", "address", "request": hex, "concurrency", "batch", "echo", "seconds"}
                                                                                   -> {"selections", "seconds"}
{"do": "numbered", "address", "path", "request": hex, "connections", "concurrency", "seconds"}
                                                          -> {"calls", "refused", "seconds", "p50_ms", "p99_ms"}
{"do": "open", "address", "path", "first": [hex, ...], "beat": hex or ""}          -> {"streams"}
{"do": "write", "address", "messages": [hex, ...], "rate", "seconds"}             -> {"messages", "seconds"}
{"do": "watch" | "changes" | "expect" | "told", ...}                              see `tests.bench.watching`
{"do": "redis" | "nats", "part": ..., ...}                                        see `tests.bench.redis`, `.nats`
"""

import asyncio
import itertools
import json
import sys
import time
from typing import Any

import grpc.aio

from orion_registry.client.credentials import Credentials
from tests.bench.callers import Callers
from tests.bench.nats import NatsLoad
from tests.bench.numbers import numbered, percentiles
from tests.bench.redis import RedisLoad
from tests.bench.watching import Watchers
from tests.e2e.fleet import raise_open_files_limit

OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), ("grpc.http2.bdp_probe", 0))
OPENED_AT_ONCE = 50


class Load:
    """Connections and streams, kept between commands."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._streams: dict[str, list[Any]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._callers = Callers()
        self._redis, self._nats = RedisLoad(), NatsLoad()
        watchers = Watchers((*OPTIONS, ("grpc.max_receive_message_length", -1)))  # snapshots of whole fleets
        self.watch, self.changes = watchers.watch, watchers.changes
        self.expect, self.told = watchers.expect, watchers.told

    async def unary(self, order: dict[str, Any]) -> dict[str, float]:
        """Calls as fast as `concurrency` callers on one connection can."""
        channel = self._channel(order)
        method: Any = channel.unary_unary(order["path"])
        request, calls = bytes.fromhex(order["request"]), 0
        began = time.perf_counter()
        until = began + order["seconds"]

        async def caller() -> None:
            nonlocal calls
            while time.perf_counter() < until:
                await method(request)
                calls += 1

        await asyncio.gather(*(caller() for _ in range(order["concurrency"])))
        return {"calls": calls, "seconds": time.perf_counter() - began}

    async def calls(self, order: dict[str, Any]) -> dict[str, float]:
        """So many calls by `concurrency` callers on one connection."""
        method: Any = self._channel(order).unary_unary(order["path"])
        request, numbers = bytes.fromhex(order["request"]), iter(range(int(order["calls"])))
        began = time.perf_counter()

        async def caller() -> None:
            for _ in numbers:
                await method(request)

        await asyncio.gather(*(caller() for _ in range(order["concurrency"])))
        return {"calls": order["calls"], "seconds": time.perf_counter() - began}

    async def select(self, order: dict[str, Any]) -> dict[str, float]:
        """See `Callers.unary`."""
        return await self._callers.unary(self._channel(order), order)

    async def route(self, order: dict[str, Any]) -> dict[str, float]:
        """See `Callers.route`."""
        return await self._callers.route(self._channel(order), order)

    async def redis(self, order: dict[str, Any]) -> dict[str, float]:
        """See `RedisLoad`; `part` is one of its methods."""
        done: dict[str, float] = await getattr(self._redis, order["part"])(order)
        return done

    async def nats(self, order: dict[str, Any]) -> dict[str, float]:
        """See `NatsLoad`; `part` is one of its methods."""
        done: dict[str, float] = await getattr(self._nats, order["part"])(order)
        return done

    def _channel(self, order: dict[str, Any]) -> grpc.aio.Channel:
        channel = self._channels.get(order["address"])
        if channel is None:
            channel = self._channels[order["address"]] = _connect(order)
        return channel

    async def numbered(self, order: dict[str, Any]) -> dict[str, float]:
        """Unary calls that differ by a number, by `concurrency` callers spread over connections of their own."""
        template = bytes.fromhex(order["request"])
        numbers, took, refused = itertools.count(1), list[float](), list[str]()
        channels = [grpc.aio.insecure_channel(order["address"], options=OPTIONS) for _ in range(order["connections"])]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        began = time.perf_counter()
        until = began + order["seconds"]

        async def caller(method: Any) -> None:
            while (sent := time.perf_counter()) < until:
                try:
                    await method(numbered(template, next(numbers)))
                except grpc.aio.AioRpcError as error:
                    refused.append(str(error.details()))
                else:
                    took.append(time.perf_counter() - sent)

        methods: list[Any] = [channel.unary_unary(order["path"]) for channel in channels]
        await asyncio.gather(*(caller(methods[n % len(methods)]) for n in range(order["concurrency"])))
        seconds = time.perf_counter() - began
        await asyncio.gather(*(channel.close() for channel in channels))
        if not took:
            raise RuntimeError(f"all calls were refused: {refused[:1]}")
        p50_ms, p99_ms = (value * 1e3 for value in percentiles(took))
        return {"calls": len(took), "seconds": seconds, "refused": len(refused), "p50_ms": p50_ms, "p99_ms": p99_ms}

    async def open(self, order: dict[str, Any]) -> dict[str, float]:
        """Opens a connection with one stream for each first message, 50 at a time; `beat` follows every second."""
        streams = self._streams.setdefault(order["address"], [])
        first = [bytes.fromhex(data) for data in order["first"]]
        for start in range(0, len(first), OPENED_AT_ONCE):
            opened = (self._open(order, data) for data in first[start : start + OPENED_AT_ONCE])
            streams += await asyncio.gather(*opened)
        return {"streams": len(streams)}

    async def _open(self, order: dict[str, Any], first: bytes) -> Any:
        channel = _connect(order)
        method: Any = channel.stream_stream(order["path"])
        call = method()
        self._channels[f"{order['address']} {len(self._channels)}"] = channel
        await call.write(first)
        self._tasks.append(asyncio.create_task(_read(call)))
        if order["beat"]:
            self._tasks.append(asyncio.create_task(_beat(call, bytes.fromhex(order["beat"]))))
        return call

    async def write(self, order: dict[str, Any]) -> dict[str, float]:
        """Writes one message after the other on all streams in turn, evenly spread in time."""
        streams, data = self._streams[order["address"]], [bytes.fromhex(each) for each in order["messages"]]
        began, sent, wanted = time.perf_counter(), 0, order["rate"] * order["seconds"]
        while sent < wanted:
            due = min(wanted, (time.perf_counter() - began) * order["rate"])
            while sent < due:
                await streams[sent % len(streams)].write(data[sent % len(data)])
                sent += 1
            await asyncio.sleep(0.001)
        return {"messages": sent, "seconds": time.perf_counter() - began}


def _connect(order: dict[str, Any]) -> grpc.aio.Channel:
    """A channel, with the fields of `Credentials` that are in the order."""
    return Credentials(**order.get("credentials", {})).open_channel(order["address"], OPTIONS)


async def _read(call: Any) -> None:
    """Takes what comes back."""
    while await call.read() is not grpc.aio.EOF:
        pass


async def _beat(call: Any, data: bytes) -> None:
    """Keeps a stream alive."""
    while True:
        await asyncio.sleep(1.0)
        await call.write(data)


async def main() -> None:
    """Works off stdin until it closes."""
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    load = Load()
    while line := await reader.readline():
        order = json.loads(line)
        print(json.dumps(await getattr(load, order["do"])(order)), flush=True)


if __name__ == "__main__":
    raise_open_files_limit()
    asyncio.run(main())
