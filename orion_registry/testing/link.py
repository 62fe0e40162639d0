"""One direction of a proxied connection, and what is done to it."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

CHUNK = 16 * 1024
MIN_RTO_S = 0.2
"""Linux never waits less before it sends a lost segment again (TCP_RTO_MIN)."""


class CutAsOrdered(ConnectionError):
    """The connection ends here, in the middle of a frame."""


@dataclass(slots=True)
class Weather:
    """What a direction does to bytes. Shared by all connections of a proxy; changed while they run.

    Attributes:
        delay_s, jitter_s: one way; the jitter is uniform, plus or minus. Order is kept.
        loss: chance that a chunk is lost. TCP hides a loss behind a retransmission, so a lost chunk comes late:
            after one RTO, twice that if it is lost again, and so on; all behind it wait. Fast retransmission is not
            modelled, so this is worse than a real link.
        rtt_s: added to the least RTO.
        rate: bytes a second; 0 = no limit.
        dropping: bytes are read and thrown away. A connection that lost bytes so is broken for good.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    rtt_s: float = 0.0
    rate: float = 0.0
    dropping: bool = False
    draw: Callable[[], float] = field(default=random.random, repr=False)
    flowing: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __post_init__(self) -> None:
        self.flowing.set()

    @property
    def passes(self) -> bool:
        """Whether bytes come through at all."""
        return self.flowing.is_set() and not self.dropping

    def lateness_s(self) -> float:
        """How late the next chunk comes."""
        late = max(0.0, self.delay_s + self.jitter_s * (2.0 * self.draw() - 1.0))
        rto = MIN_RTO_S + self.rtt_s
        while self.loss and self.draw() < self.loss:
            late += rto
            rto *= 2.0
        return late


class Pipe:
    """Carries the bytes of one direction of one connection, in order.

    Attributes:
        broken: bytes were thrown away; the connection can only be reset.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, weather: Weather) -> None:
        self._reader = reader
        self._writer = writer
        self._weather = weather
        self._queue: deque[tuple[float, bytes]] = deque()
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._cut_after: int | None = None
        self.broken = False

    def cut_after(self, count: int) -> None:
        """Lets so many bytes more through, then ends the connection in the middle of whatever it is."""
        self._cut_after = count

    async def run(self) -> None:
        """Until the source has ended and all is delivered. Raises ConnectionError if either side is reset."""
        tasks = [self._loop.create_task(self._read()), self._loop.create_task(self._write())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _read(self) -> None:
        weather, due = self._weather, 0.0
        while True:
            await weather.flowing.wait()
            data = await self._reader.read(CHUNK)
            if weather.dropping:
                self.broken = True
                if not data:
                    await asyncio.Event().wait()  # the end got lost, too: the proxy resets it one day
                continue
            due = max(due, self._loop.time() + weather.lateness_s())
            self._queue.append((due, data))
            self._arrived.set()
            if not data:
                return

    async def _write(self) -> None:
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            due, data = self._queue.popleft()
            if (early := due - self._loop.time()) > 0.0:
                await asyncio.sleep(early)
            await self._weather.flowing.wait()
            if not data:
                self._writer.write_eof()
                return
            if self._cut_after is not None and len(data) > self._cut_after:
                self._writer.write(data[: self._cut_after])
                await self._writer.drain()
                raise CutAsOrdered
            if self._cut_after is not None:
                self._cut_after -= len(data)
            await self._send(data)

    async def _send(self, data: bytes) -> None:
        rate = self._weather.rate
        if not rate:
            self._writer.write(data)
            await self._writer.drain()
            return
        step = max(1, round(rate * 0.05))
        for first in range(0, len(data), step):
            self._writer.write(data[first : first + step])
            await self._writer.drain()
            await asyncio.sleep(len(data[first : first + step]) / rate)
