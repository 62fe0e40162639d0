"""A bidirectional call: what is never done, whatever comes together. The other side is a fake that takes its time."""

import asyncio
from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orion_registry.server.duplex import Duplex

turns = st.lists(st.integers(0, 4), max_size=6)


async def wait(number: int) -> None:
    """Lets so many turns of the loop go by."""
    for _ in range(number):
        await asyncio.sleep(0)


class SlowContext:
    """Takes two turns of the loop for a write. gRPC refuses a second one meanwhile, and loses it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self._writing = False

    async def write(self, data: bytes) -> None:
        assert not self._writing, "two writes at once"
        self._writing = True
        await wait(2)
        self.written.append(data)
        self._writing = False


class Numbers(Duplex):
    """Answers after so many turns, and has news after so many; both are the next number."""

    def __init__(self, context: Any, answers: list[int], news: list[int]) -> None:
        super().__init__(context)
        self.said: list[bytes] = []
        self._outbox: deque[bytes] = deque()
        self._answers = answers
        self._teller = asyncio.create_task(self._tell_all(news))

    async def _take_all(self) -> None:
        for number in self._answers:
            await wait(number)
            self._say()
            await self._send_before_reading_on()
        await self._teller
        self._finish_once_sent(None)
        self._wake()

    async def _tell_all(self, news: list[int]) -> None:
        for number in news:
            await wait(number)
            self._say()
            self._wake()

    def _say(self) -> None:
        data = b"%d" % len(self.said)
        self.said.append(data)
        self._outbox.append(data)

    def _next_message(self) -> bytes | None:
        return self._outbox.popleft() if self._outbox else None

    def _drop_messages(self) -> None:
        self._outbox.clear()

    def _over(self) -> None:
        """There is nothing to let go of."""


@given(answers=turns, news=turns)
def test_never_two_writes_at_once(answers: list[int], news: list[int]) -> None:
    """And everything is sent, in its order, before the end."""

    async def serve() -> None:
        context = SlowContext()
        call = Numbers(context, answers, news)
        await call.run()
        assert context.written == call.said

    asyncio.run(serve())
