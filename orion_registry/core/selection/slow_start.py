"""Slow start: a new or returned service grows to its full weight."""

from orion_registry.core.selection.slots import Slots

LEAST = 0.1
"""Share of its weight that it begins with (Envoy: min_weight_percent 10)."""
STEPS = 20
"""Changes of weight on the way: each is a change in every ranking."""


def warmth_at(age_s: float, span_s: float) -> float:
    """The factor on the weight: its share of the span, `LEAST` at least (Envoy's, with aggression 1)."""
    return 1.0 if age_s >= span_s else max(LEAST, age_s / span_s)


class SlowStart:
    """Those that are still warming up."""

    __slots__ = ("_span_s", "_stepped", "_warming")

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._warming: dict[Slots, float] = {}
        self._stepped = 0.0

    def begin(self, slots: Slots, now: float) -> None:
        """It is new, or back."""
        if self._span_s:
            if not self._warming:
                self._stepped = now
            self._warming[slots] = now
            self._set(slots, LEAST)

    def forget(self, slots: Slots) -> None:
        """It is gone."""
        self._warming.pop(slots, None)

    def step(self, now: float) -> None:
        """Goes on; to be called from time to time."""
        if now < (self.next() or now):
            return
        self._stepped = now
        for slots, since in tuple(self._warming.items()):
            warmth = warmth_at(now - since, self._span_s)
            self._set(slots, warmth)
            if warmth == 1.0:
                del self._warming[slots]

    def next(self) -> float | None:
        """When the next step is due, in monotonic seconds; None = nobody is warming up."""
        return self._stepped + self._span_s / STEPS if self._warming else None

    def _set(self, slots: Slots, warmth: float) -> None:
        slots.warmth = warmth
        slots.settle()
