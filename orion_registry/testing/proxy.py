"""A TCP proxy that is as bad as it is told to be, in this event loop."""

import asyncio
import random
import socket
import struct
from contextlib import suppress
from typing import Final, Literal

from orion_registry.testing.link import CutAsOrdered, Pipe, Weather

LINGER_0: Final = struct.pack("ii", 1, 0)
BACKLOG: Final = 1_024

Way = Literal["both", "up", "down"]
"""A direction: up is from the agent to the registry."""
WAYS: Final[dict[str, tuple[str, ...]]] = {"both": ("up", "down"), "up": ("up",), "down": ("down",)}


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

    def end(self) -> None:
        """Ends both sides, as the kernel does for a process that was killed."""
        for pipe in self._pipes:
            pipe.cancel()

    def reset(self) -> None:
        """RST to both ends."""
        for writer in self._writers:
            with suppress(OSError):
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
            writer.transport.abort()
        for pipe in self._pipes:
            pipe.cancel()


class LinkProxy:
    """All connections of one link to one server.

    Attributes:
        weather: what is done to each direction, "up" and "down".
        refusing: new connections are reset: nobody is there.
    """

    def __init__(self, upstream: str, seed: int = 1) -> None:
        """Args: upstream: HOST:PORT of the server; seed: of jitter and loss."""
        self._host, _, self._port = upstream.rpartition(":")
        rng = random.Random(seed)
        self.weather = {way: Weather(draw=rng.random) for way in WAYS["both"]}
        self.refusing = False
        self._conns: set[Conn] = set()
        self._healed = asyncio.Condition()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._conns)

    @property
    def passes(self) -> bool:
        """Whether bytes come through both ways."""
        return all(weather.passes for weather in self.weather.values())

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end. While a direction is cut it leads nowhere: so would a handshake."""
        try:
            async with self._healed:
                await self._healed.wait_for(lambda: self.passes or self.refusing)
            if self.refusing:
                writer.transport.abort()
                return
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

    def freeze(self, way: Way = "both") -> None:
        """No byte passes and none is lost: a cut link, as TCP sees it. New connections hang, too."""
        for one in WAYS[way]:
            self.weather[one].flowing.clear()

    def drop(self, way: Way = "both") -> None:
        """Reads and throws away."""
        for one in WAYS[way]:
            self.weather[one].dropping = True

    def reset(self) -> None:
        """RST to both ends of every connection."""
        for conn in tuple(self._conns):
            conn.reset()

    def end(self) -> None:
        """Ends every connection."""
        for conn in tuple(self._conns):
            conn.end()

    def cut(self, count: int) -> None:
        """So many bytes more from each agent, then the end, mid-frame."""
        for conn in self._conns:
            conn.up.cut_after(count)

    async def refuse(self) -> None:
        """Ends every connection, and resets new ones: the process at this end of the link was killed."""
        self.refusing = True
        self.end()
        async with self._healed:
            self._healed.notify_all()

    async def heal(self) -> None:
        """All passes again; connections that lost bytes are reset."""
        self.refusing = False
        for weather in self.weather.values():
            weather.dropping = False
            weather.flowing.set()
        for conn in tuple(self._conns):
            if conn.up.broken or conn.down.broken:
                conn.reset()
        async with self._healed:
            self._healed.notify_all()
