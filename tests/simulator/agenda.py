"""What is to happen, in the order of time."""

import heapq
from collections.abc import Callable
from typing import Any

Act = Callable[[Any], None]


class Agenda:
    """A heap of things to do. `now` is the instant of the one being done; `steps` counts them."""

    __slots__ = ("_heap", "_order", "now", "steps")

    def __init__(self, start: float) -> None:
        self._heap: list[tuple[float, int, Act, Any]] = []
        self._order = 0
        self.now = start
        self.steps = 0

    def at(self, when: float, act: Act, what: Any) -> None:
        """Has `act(what)` done at `when`; what is asked for first is done first at the same instant."""
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, act, what))

    def run(self, until: float) -> None:
        """Lets everything happen up to `until`."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until:
            self.now, _, act, what = pop(heap)
            self.steps += 1
            act(what)
        self.now = until
