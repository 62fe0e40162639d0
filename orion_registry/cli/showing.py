"""How spans, times, counts and states are shown to people: plain, and in colour on a terminal."""

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import TypeVar

from orion_registry.core.model import ServiceStatus

E = TypeVar("E", bound=IntEnum | ServiceStatus)

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2"}
_OF_STATUS = {
    ServiceStatus.HEALTHY: "green",
    ServiceStatus.UNHEALTHY: "red",
    ServiceStatus.UNKNOWN: "yellow",
    ServiceStatus.STARTING: "yellow",
    ServiceStatus.STOPPING: "yellow",
}


class Paint:
    """Colours text for stdout; only on a terminal, and not if NO_COLOR is set (no-color.org).

    Args:
        on: whether to colour, whatever stdout is; None = as above.
    """

    def __init__(self, *, on: bool | None = None) -> None:
        self._on = sys.stdout.isatty() and not os.environ.get("NO_COLOR") if on is None else on

    def __call__(self, text: str, colour: str) -> str:
        """The text in a colour, or as it is."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._on else text

    def status(self, status: ServiceStatus) -> str:
        """A status by its name."""
        return self(status.name, colour_of(status))


def colour_of(status: ServiceStatus) -> str:
    """The colour of a status."""
    return _OF_STATUS.get(status, "dim")


def show_span(seconds: float) -> str:
    """Seconds, in the two units that matter."""
    if seconds < 1.0:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller_size, smaller in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    raise AssertionError  # a minute or more is one of these


def show_time(wall: float, timespec: str = "milliseconds") -> str:
    """Seconds since 1970 as UTC, in the form of RFC 3339."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def show_counts(counts: Mapping[E, int]) -> str:
    """Counts by name, the largest first."""
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return ", ".join(f"{count:,} {name.name}" for name, count in rows)


def plural(count: int, noun: str) -> str:
    """A count with its noun: 1 stream, 2 streams, 3 watches."""
    ending = "es" if noun.endswith("ch") else "s"
    return f"{count:,} {noun}" + ("" if count == 1 else ending)
