"""The live screen: keys and news in, lines out."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from orion_registry.cli.top.control import press
from orion_registry.cli.top.screen import screen_of
from orion_registry.cli.top.source import Clients, Source
from orion_registry.cli.top.state import State
from orion_registry.cli.top.terminal import Terminal
from orion_registry.core.selector import Selector

NEWS_S = 0.2
"""Between two screens that news alone ask for, however many there are. Keys are answered at once."""
AGES_S = 1.0
"""Ages grow: so often a screen is drawn without news."""


class App:
    """One run of it.

    Args:
        state: what is shown.
        clients: of the registry, which has answered once.
        selector: the services that are wanted.
    """

    def __init__(self, state: State, clients: Clients, selector: Selector) -> None:
        self._state = state
        self._source = Source(state, clients, selector, self._news)
        self._terminal = Terminal(self._pressed, self._wake_up)
        self._wake = asyncio.Event()
        self._armed = False
        self._ended = False

    async def run(self) -> int:
        """Until `q`, or a failure.

        Raises:
            RegistryError: the registry refuses to tell of its services.
        """
        logging.getLogger("orion_registry").addHandler(logging.NullHandler())  # the screen is no place for it
        source = self._source
        async with self._terminal:
            await _first(
                self._draw_on(),
                source.follow_services(),
                source.follow_events(),
                source.follow_figures(),
                source.follow_detail(),
            )
        return 0

    async def _draw_on(self) -> None:
        while not self._ended:
            self._wake.clear()
            self._armed = False
            self._terminal.draw(screen_of(self._state, *self._terminal.size, time.time()))
            try:
                async with asyncio.timeout(AGES_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _pressed(self, key: str) -> None:
        if key == "ctrl-l":
            self._terminal.redraw()
        before = self._state.detail
        if not press(self._state, key):
            self._ended = True
        if self._state.detail is not before:
            self._source.look_now()
        self._wake_up()

    def _news(self) -> None:
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_later(NEWS_S, self._wake_up)

    def _wake_up(self) -> None:
        self._wake.set()


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Runs all until one ends, and then ends the others. Raises what that one raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
