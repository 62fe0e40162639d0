"""Redis for the load process: its protocol is few lines, and no library's cost is in the figures.

Protocol: https://redis.io/docs/latest/develop/reference/protocol-spec
"""

import asyncio
import time
from typing import Any


def command(*words: str | bytes) -> bytes:
    """One command."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


async def reply(reader: asyncio.StreamReader) -> Any:
    """One reply: bytes, a number or a list. Raises RuntimeError if it is an error."""
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], line[1:]
    match kind:
        case b"*":
            return [await reply(reader) for _ in range(int(rest))]
        case b"$":
            return (await reader.readexactly(int(rest) + 2))[:-2]
        case b":":
            return int(rest)
        case b"+":
            return rest
        case _:
            raise RuntimeError(f"redis answered {line!r}")


class RedisLoad:
    """Connections, kept between orders."""

    def __init__(self) -> None:
        self._connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def fill(self, order: dict[str, Any]) -> dict[str, float]:
        """Opens `connections` and writes so many agents: a hash each, ten of them members of the set `search`."""
        while len(self._connections) < order["connections"]:
            host, _, port = order["address"].rpartition(":")
            self._connections.append(await asyncio.open_connection(host, int(port)))
        reader, writer = self._connections[0]
        for number in range(order["agents"]):
            writer.write(command("HSET", f"agent:{number}", "service", b"s" * order["size"], "load", "3"))
            await reply(reader)
            if number < order["found"]:
                writer.write(command("SADD", "search", f"agent:{number}"))
                await reply(reader)
        return {"agents": order["agents"]}

    async def lookup(self, order: dict[str, Any]) -> dict[str, float]:
        """Who is in the set, then all their hashes in one pipeline: two round trips, by a caller a connection."""
        calls, began = 0, time.perf_counter()
        until = began + order["seconds"]

        async def caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal calls
            while time.perf_counter() < until:
                writer.write(command("SMEMBERS", "search"))
                names = await reply(reader)
                writer.write(b"".join(command("HGETALL", name) for name in names))
                for _ in names:
                    await reply(reader)
                calls += 1

        await asyncio.gather(*(caller(*pair) for pair in self._connections[: order["concurrency"]]))
        return {"calls": calls, "seconds": time.perf_counter() - began}

    async def beats(self, order: dict[str, Any]) -> dict[str, float]:
        """HSET and EXPIRE in one pipeline on each connection in turn, evenly spread in time."""
        began, sent, wanted = time.perf_counter(), 0, order["rate"] * order["seconds"]
        reading = [asyncio.create_task(_drain(reader)) for reader, _ in self._connections]
        while sent < wanted:
            due = min(wanted, (time.perf_counter() - began) * order["rate"])
            while sent < due:
                number = sent % len(self._connections)
                name = f"agent:{number}"
                self._connections[number][1].write(command("HSET", name, "load", "3") + command("EXPIRE", name, "30"))
                sent += 1
            await asyncio.sleep(0.001)
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)
        return {"messages": sent, "seconds": time.perf_counter() - began}


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass
