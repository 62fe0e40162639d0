"""NATS for the load process: services that answer $SRV.INFO as NATS micro has it (ADR-32), and who asks them.

Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol. Few lines, and no library's cost is in the
figures.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

VERBS = ("PING", "INFO", "STATS")


class Connection:
    """One connection: subscriptions call back with (subject, reply subject, payload)."""

    def __init__(self) -> None:
        self._subscribed: dict[bytes, Callable[[bytes, bytes, bytes], None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def open(self, address: str) -> None:
        """Connects; returns once the server has answered."""
        host, _, port = address.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        await self._reader.readuntil(b"\r\n")  # INFO
        self._writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
        await self._reader.readuntil(b"PONG\r\n")
        self._reading = asyncio.create_task(self._read())

    def subscribe(self, subject: str, heard: Callable[[bytes, bytes, bytes], None]) -> None:
        """All messages of a subject."""
        sid = str(len(self._subscribed) + 1)
        self._subscribed[sid.encode()] = heard
        self._writer.write(f"SUB {subject} {sid}\r\n".encode())

    def publish(self, subject: bytes, payload: bytes, answer_to: bytes = b"") -> None:
        """One message."""
        words = [b"PUB", subject, *([answer_to] if answer_to else []), b"%d" % len(payload)]
        self._writer.write(b" ".join(words) + b"\r\n" + payload + b"\r\n")

    async def ended(self) -> None:
        """Waits for the end of what is read; raises RuntimeError if the server refused something."""
        if self._reading is not None:
            await self._reading

    def close(self) -> None:
        """Ends the connection."""
        self._writer.close()

    async def _read(self) -> None:
        while line := await self._reader.readline():
            kind, _, rest = line.strip().partition(b" ")
            if kind == b"PING":
                self._writer.write(b"PONG\r\n")
            elif kind == b"MSG":
                subject, sid, *answer_to, size = rest.split()
                payload = (await self._reader.readexactly(int(size) + 2))[:-2]
                self._subscribed[sid](subject, answer_to[0] if answer_to else b"", payload)
            elif kind == b"-ERR":
                raise RuntimeError(f"nats answered {line!r}")


class NatsLoad:
    """Services with a connection each, and one connection of the callers; kept between orders."""

    def __init__(self) -> None:
        self._services: list[Connection] = []
        self._caller = Connection()
        self._numbers = itertools.count()
        self._answers: dict[bytes, int] = {}
        self._done: dict[bytes, asyncio.Future[None]] = {}
        self._wanted = 0

    async def fill(self, order: dict[str, Any]) -> dict[str, float]:
        """Starts `found` services called search and others called draw; each answers with `size` bytes."""
        self._wanted = order["found"]
        for number in range(order["agents"]):
            service = Connection()
            await service.open(order["address"])
            self._services.append(service)
            name = "search" if number < order["found"] else "draw"
            told = {"name": name, "id": f"id-{number}", "version": "1.0.0", "description": ""}
            told["description"] = "x" * max(0, order["size"] - len(json.dumps(told)))
            answer = json.dumps(told).encode()
            for verb in VERBS:
                for subject in (f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.id-{number}"):
                    service.subscribe(subject, _answering(service, answer))
        await self._caller.open(order["address"])
        self._caller.subscribe("_INBOX.bench.*", self._hear)
        await asyncio.sleep(0.2)  # subscriptions are not acknowledged
        return {"agents": len(self._services)}

    async def lookup(self, order: dict[str, Any]) -> dict[str, float]:
        """Asks who is there; done once the last of those that are has answered. A real caller cannot know: it waits."""
        calls, began = 0, time.perf_counter()
        until = began + order["seconds"]
        loop = asyncio.get_running_loop()

        async def caller() -> None:
            nonlocal calls
            while time.perf_counter() < until:
                inbox = b"_INBOX.bench.%d" % next(self._numbers)
                self._done[inbox] = loop.create_future()
                self._answers[inbox] = 0
                self._caller.publish(b"$SRV.INFO.search", b"", inbox)
                await self._done[inbox]
                calls += 1

        await asyncio.gather(*(caller() for _ in range(order["concurrency"])))
        return {"calls": calls, "seconds": time.perf_counter() - began}

    async def close(self) -> None:
        """Ends all connections."""
        for connection in (*self._services, self._caller):
            connection.close()
            await connection.ended()

    def _hear(self, inbox: bytes, _answer_to: bytes, _payload: bytes) -> None:
        self._answers[inbox] += 1
        if self._answers[inbox] == self._wanted:
            del self._answers[inbox]
            self._done.pop(inbox).set_result(None)


def _answering(service: Connection, answer: bytes) -> Callable[[bytes, bytes, bytes], None]:
    return lambda _subject, answer_to, _payload: service.publish(answer_to, answer)
