"""The only file that reads a clock."""

import time
from typing import Protocol

from orion_registry.core.model import Now


class Clock(Protocol):
    """Tells the time. Tests bring their own."""

    def now(self) -> Now:
        """This instant."""
        ...


stopwatch = time.perf_counter
"""Seconds, for spans that are only counted: no decision may rest on them. Cheaper than an instant."""


class SystemClock:
    """The machine's clocks: the monotonic one decides, the wall clock labels."""

    def now(self) -> Now:
        """See `Clock.now`."""
        return Now(mono=time.monotonic(), wall=time.time())
