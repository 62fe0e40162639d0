"""A bar chart in a few lines of SVG."""

from collections.abc import Sequence
from html import escape

from tests.simulation.results import CaseResult

COLOURS = ("#1b6ca8", "#8fbc5a", "#c96a4a", "#6b4c9a")
LEFT, WIDTH, BAR, GAP = 340, 480, 9, 12
MOST = 5.0


def svg(results: Sequence[CaseResult], ways: Sequence[str]) -> str:
    """Regret by case, a bar for each way; bars end at `MOST`, what is beyond is told by number."""
    group = BAR * len(ways) + GAP
    height = 50 + group * len(results)
    scale = WIDTH / MOST
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    x: float
    for place, way in enumerate(ways):
        x = 10 + place * 200
        parts.append(f'<rect x="{x}" y="8" width="10" height="10" fill="{COLOURS[place]}"/>')
        parts.append(f'<text x="{x + 15}" y="17">{escape(way)}</text>')
    for mark in range(int(MOST) + 1):
        x = LEFT + mark * scale
        parts.append(f'<line x1="{x}" y1="38" x2="{x}" y2="{height - 8}" stroke="#{"333" if mark == 1 else "ddd"}"/>')
        parts.append(f'<text x="{x - 3}" y="34">{mark}</text>')
    for row, result in enumerate(results):
        y = 44 + row * group
        parts.append(f'<text x="{LEFT - 8}" y="{y + group / 2}" text-anchor="end">{escape(result.case.name)}</text>')
        for place, way in enumerate(ways):
            regret = result.of(way).regret
            length, top = min(regret, MOST) * scale, y + place * BAR
            parts.append(
                f'<rect x="{LEFT}" y="{top}" width="{length:.0f}" height="{BAR - 1}" fill="{COLOURS[place]}"/>'
            )
            if regret > MOST:
                parts.append(f'<text x="{LEFT + length + 4:.0f}" y="{top + 8}" font-size="9">{regret:.1f}</text>')
    return "\n".join([*parts, "</svg>", ""])
