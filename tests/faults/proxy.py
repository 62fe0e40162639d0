"""A TCP proxy that is as bad as it is told to be: a process of its own, commanded over its standard input.

    python -m tests.faults.proxy HOST:PORT

It prints {"address": ...}, then answers each line. `way` is "both" (default), "up" (agent to registry) or "down":

    {"do": "freeze", "way": W}   no byte passes and none is lost: a cut link, as TCP sees it. New connections hang, too
    {"do": "drop", "way": W}     reads and throws away
    {"do": "heal"}               all passes again; connections that lost bytes are reset
    {"do": "weather", "way": W, "delay_s": .., "jitter_s": .., "loss": .., "rtt_s": .., "rate": ..}
    {"do": "reset"}              RST to both ends of every connection
    {"do": "cut", "bytes": N}    so many bytes more from each agent, then the end, mid-frame
    {"do": "count"}              how many connections there are

Each is answered with {"connections": N} after it has taken effect.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

from examples.demo.processes import Child, Nursery
from tests.faults.link import CutAsOrdered, Pipe, Weather

LINGER_0 = struct.pack("ii", 1, 0)
WAYS = {"both": ("up", "down"), "up": ("up",), "down": ("down",)}


class Proxy:
    """The runner's side: commands a child."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.address: str = child.ready["address"]

    @classmethod
    async def start(cls, nursery: Nursery, name: str, upstream: str, *options: str) -> "Proxy":
        """Starts one before `upstream`; `address` is where agents are to connect."""
        return cls(await nursery.start_ready(name, "-m", "tests.faults.proxy", upstream, *options))

    async def tell(self, do: str, **details: Any) -> int:
        """Commands it; returns how many connections it has."""
        self.child.write_json({"do": do, **details})
        count: int = (await self.child.read_json(5.0))["connections"]
        return count


class Conn:
    """One proxied connection."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter, up: Pipe, down: Pipe) -> None:
        self._writers = (near, far)
        self.up, self.down = up, down
        self._pipes = {asyncio.create_task(up.run()), asyncio.create_task(down.run())}

    async def run(self) -> None:
        """Until both directions have ended, one failed, or it was reset. A reset of one end is passed on."""
        try:
            await asyncio.wait(self._pipes, return_when=asyncio.FIRST_EXCEPTION)
            errors = [pipe.exception() for pipe in self._pipes if pipe.done() and not pipe.cancelled()]
            for error in errors:
                if error is not None and not isinstance(error, OSError):
                    raise error
                if error is not None and not isinstance(error, CutAsOrdered):
                    self.reset()
        finally:
            for pipe in self._pipes:
                pipe.cancel()
            await asyncio.gather(*self._pipes, return_exceptions=True)
            for writer in self._writers:
                writer.close()

    def reset(self) -> None:
        """RST to both ends."""
        for writer in self._writers:
            with suppress(OSError):
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
            writer.transport.abort()
        for pipe in self._pipes:
            pipe.cancel()


class Server:
    """The child's side."""

    def __init__(self, upstream: str, seed: int) -> None:
        self._host, _, self._port = upstream.rpartition(":")
        rng = random.Random(seed)
        self.weather = {way: Weather(draw=rng.random) for way in ("up", "down")}
        self._conns: set[Conn] = set()
        self._healed = asyncio.Condition()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end. While a direction is cut it leads nowhere: so would a handshake."""
        try:
            async with self._healed:
                await self._healed.wait_for(lambda: all(weather.passes for weather in self.weather.values()))
            far_reader, far = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            writer.transport.abort()
            return
        up = Pipe(reader, far, self.weather["up"])
        conn = Conn(writer, far, up, Pipe(far_reader, writer, self.weather["down"]))
        self._conns.add(conn)
        try:
            await conn.run()
        finally:
            self._conns.discard(conn)

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carries out one order."""
        weathers = [self.weather[way] for way in WAYS[order.get("way", "both")]]
        match order["do"]:
            case "freeze":
                for weather in weathers:
                    weather.flowing.clear()
            case "drop":
                for weather in weathers:
                    weather.dropping = True
            case "heal":
                await self._heal()
            case "weather":
                for weather in weathers:
                    for name in ("delay_s", "jitter_s", "loss", "rtt_s", "rate"):
                        setattr(weather, name, order.get(name, 0.0))
            case "reset":
                for conn in tuple(self._conns):
                    conn.reset()
            case "cut":
                for conn in self._conns:
                    conn.up.cut_after(order["bytes"])
            case "count":
                pass
            case other:
                raise ValueError(f"no such order: {other}")
        return {"connections": len(self._conns)}

    async def _heal(self) -> None:
        for weather in self.weather.values():
            weather.dropping = False
            weather.flowing.set()
        for conn in tuple(self._conns):
            if conn.up.broken or conn.down.broken:
                conn.reset()
        async with self._healed:
            self._healed.notify_all()


async def serve(upstream: str, seed: int) -> None:
    """Serves until standard input ends."""
    proxy = Server(upstream, seed)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0, backlog=1_024)
    host, port = server.sockets[0].getsockname()
    print(json.dumps({"address": f"{host}:{port}"}), flush=True)
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while line := await stdin.readline():
        print(json.dumps(await proxy.obey(json.loads(line))), flush=True)
    os._exit(0)  # as a link goes: without a word


def main() -> None:
    """Entry point of the child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream", metavar="HOST:PORT")
    parser.add_argument("--seed", type=int, default=1, help="of jitter and loss")
    options = parser.parse_args()
    asyncio.run(serve(options.upstream, options.seed))


if __name__ == "__main__":
    main()
