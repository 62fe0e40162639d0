"""What a soak must show: nothing grows, and all that was held for clients is given back when they have gone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.soak.gauges import HELD, Reading
from tests.soak.slope import Slope, slope

GROWTH_KB = 4 * 1024
"""What the memory may have grown by, all but certainly, over the second half of the load. In the first one caches fill:
callers, addresses, selectors and events are kept up to a number, and the allocator keeps what it was given back."""
DRIFT = 24
"""Tasks, files or threads that may be more at the end of the load than at its beginning: life is uneven."""
LEFT = {"tasks": 2, "fds": 4, "threads": 8}
"""What may be left when all have gone: gRPC's pool of threads is as large as the last seconds wanted it, and the HTTP
client's connections stay open for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure: its name, what it was, and whether it holds."""

    name: str
    text: str
    holds: bool


def judge(floor: Reading, load: Sequence[Reading], rest: Reading) -> list[Line]:
    """Floor and rest: before the load and after it, nobody being there; load: all readings between.

    Raises:
        ValueError: fewer than 10 readings under load.
    """
    return [*_slopes(load), *_leftovers(floor, rest)]


def _slopes(load: Sequence[Reading]) -> Iterator[Line]:
    half = load[len(load) // 2 :]
    yield _grown("rss_kb", "rss_kb in the second half", half, GROWTH_KB)
    for name in LEFT:
        yield _grown(name, f"{name} under load", load, DRIFT)
    early = slope([(one.at, one.rss_kb) for one in load[: len(load) // 2]])
    yield Line(name="rss_kb in the first half", text=f"{_told(early)} a minute (told)", holds=True)
    line = slope([(one.at, one.disk_kb) for one in load])
    yield Line(name="disk_kb under load", text=f"{_told(line)} a minute (told)", holds=True)


def _grown(field: str, name: str, readings: Sequence[Reading], most: float) -> Line:
    minutes = (readings[-1].at - readings[0].at) / 60.0
    line = slope([(one.at, float(getattr(one, field))) for one in readings])
    values = [getattr(one, field) for one in readings]
    text = f"{_told(line)} a minute, {min(values):g} to {max(values):g}; at most {most / minutes:.3g} a minute"
    return Line(name=name, text=text, holds=line.least * minutes <= most)


def _told(line: Slope) -> str:
    return f"{line.per_minute:+.3g} (standard error {line.error:.2g})"


def _leftovers(floor: Reading, rest: Reading) -> Iterator[Line]:
    for name, most in LEFT.items():
        before, after = getattr(floor, name), getattr(rest, name)
        yield Line(
            name=f"{name} at rest", text=f"{before} before, {after} after; at most {most} more",
            holds=after - before <= most,
        )  # fmt: skip
    kinds = {kind: rest.kinds.get(kind, 0) - floor.kinds.get(kind, 0) for kind in {**floor.kinds, **rest.kinds}}
    more = ", ".join(f"{kind} {count:+}" for kind, count in sorted(kinds.items()) if count)
    yield Line(name="files at rest", text=f"{more or 'as before'} (told)", holds=True)
    grown = rest.rss_kb - floor.rss_kb
    text = f"{floor.rss_kb / 1024:.1f} MB before, {rest.rss_kb / 1024:.1f} after ({grown:+,.0f} kB, told)"
    yield Line(name="memory at rest", text=text, holds=True)
    for name in HELD:
        before, after = floor.held[name], rest.held[name]
        yield Line(name=f"{name} at rest", text=f"{before:g} before, {after:g} after", holds=after == before)
