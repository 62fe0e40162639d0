"""python -m tests.bench.plot FILE.json docs/growth.svg: the growth curves of a bench's --json, as one picture."""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tests.bench.growth import SIZES, UNITS

COLUMNS, WIDTH, HEIGHT, GAP, TOP = 3, 250, 150, 70, 60
COLOUR, GRID = "#1b6ca8", "#ddd"

Curve = Sequence[tuple[int, float]]


def curves(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Curve]:
    """By kind: (agents, median) for each size that was measured."""
    made = {
        kind: [
            (size, statistics.median(figures[name]["ours"]))
            for size in SIZES
            if (name := f"growth-{size}-{kind}") in figures
        ]
        for kind in UNITS
    }
    return {kind: curve for kind, curve in made.items() if curve}


def svg(made: Mapping[str, Curve], told: str) -> str:
    """A small chart for each kind: agents from left to right, every step ten times as many; values from 0."""
    rows = -(-len(made) // COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + 20, rows * (HEIGHT + GAP) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11" role="img" aria-label="What grows with the number of agents">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{GAP}" y="20" font-size="10" fill="#555">{escape(told)}</text>',
    ]
    for place, (kind, curve) in enumerate(made.items()):
        row, column = divmod(place, COLUMNS)
        parts += _chart(kind, curve, GAP + column * (WIDTH + GAP), TOP + row * (HEIGHT + GAP))
    return "\n".join([*parts, "</svg>", ""])


def _chart(kind: str, curve: Curve, left: float, top: float) -> list[str]:
    what, unit = UNITS[kind]
    most = _ceiling(max(value for _, value in curve))
    places = [
        (left + _decades(size) / _decades(SIZES[-1]) * WIDTH, top + HEIGHT * (1 - value / most))
        for size, value in curve
    ]
    parts = [f'<text x="{left}" y="{top - 8}" font-weight="bold">{escape(what)}, {escape(unit)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = top + HEIGHT * (1 - share)
        parts.append(f'<line x1="{left}" y1="{y:g}" x2="{left + WIDTH}" y2="{y:g}" stroke="{GRID}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:g}" text-anchor="end">{most * share:g}</text>')
    for size in SIZES:
        x = left + _decades(size) / _decades(SIZES[-1]) * WIDTH
        parts.append(f'<text x="{x:g}" y="{top + HEIGHT + 15}" text-anchor="middle">{_short(size)}</text>')
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOUR}" stroke-width="2"/>')
    for (x, y), (size, value) in zip(places, curve, strict=True):
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOUR}"><title>{size:,}: {value:.3g}</title></circle>'
        )
        parts.append(f'<text x="{x:.1f}" y="{y - 7:.1f}" text-anchor="middle" fill="#333">{value:.3g}</text>')
    return parts


def _decades(size: int) -> float:
    """Where a size stands: powers of ten from the smallest on."""
    return math.log10(size / SIZES[0])


def _ceiling(value: float) -> float:
    """A round number above a value, with room for its label."""
    wanted = max(value, 0.001) * 1.2
    step = 10.0 ** math.floor(math.log10(wanted))
    return next(step * each for each in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * each >= wanted)


def _short(size: int) -> str:
    return f"{size // 1_000}k" if size >= 1_000 else str(size)


def main() -> int:
    """Draws."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.plot", description=__doc__)
    parser.add_argument("file", type=Path, help="what scripts/bench --json wrote")
    parser.add_argument("picture", type=Path, help="where the SVG goes")
    options = parser.parse_args()
    result = json.loads(options.file.read_text())
    options.picture.write_text(svg(curves(result["figures"]), result["machine"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
