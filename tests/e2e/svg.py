"""A terminal's screen, with its escape sequences, as a picture that scales and needs no fonts of its own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE, BASELINE, EDGE, BAR = 8.4, 18, 14, 13.5, 14, 30
_FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_GROUND, _TEXT, _FRAME = "#0d1117", "#d0d7de", "#30363d"
_COLOURS = {31: "#ff7b72", 32: "#56d364", 33: "#e3b341", 34: "#79c0ff", 36: "#76e3ea"}
_WORDS = re.compile(r"\S+(?: \S+)*")  # wider gaps are left out: not every viewer keeps them
_SEQUENCE = re.compile(r"\x1b\[([0-9;]*)m")


@dataclass(frozen=True, slots=True)
class Style:
    """How text looks."""

    colour: str = ""
    bold: bool = False
    dim: bool = False
    reverse: bool = False

    def after(self, code: int) -> "Style":
        """What a code of SGR makes of it."""
        match code:
            case 0:
                return Style()
            case 1:
                return replace(self, bold=True)
            case 2:
                return replace(self, dim=True)
            case 7:
                return replace(self, reverse=True)
            case 22:
                return replace(self, bold=False, dim=False)
            case 27:
                return replace(self, reverse=False)
            case 39:
                return replace(self, colour="")
            case _:
                return replace(self, colour=_COLOURS.get(code, self.colour))


def runs_of(line: str, style: Style) -> tuple[list[tuple[str, Style]], Style]:
    """Pieces of one style each, and the style at the end: a terminal goes on with it in the next line."""
    runs, at = [], 0
    for found in _SEQUENCE.finditer(line):
        if found.start() > at:
            runs.append((line[at : found.start()], style))
        for code in found[1].split(";"):
            style = style.after(int(code or 0))
        at = found.end()
    return [*runs, *([(line[at:], style)] if at < len(line) else [])], style


def picture(screen: str, columns: int, title: str) -> str:
    """An SVG of what `tmux capture-pane -p -e` printed."""
    lines = screen.rstrip("\n").split("\n")
    width = columns * CELL_WIDTH + 2 * EDGE
    height = len(lines) * CELL_HEIGHT + 2 * EDGE + BAR
    told = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(title)}">',
        f'<rect width="100%" height="100%" rx="8" fill="{_GROUND}" stroke="{_FRAME}"/>',
        *(f'<circle cx="{18 + 18 * n}" cy="17" r="5.5" fill="{_FRAME}"/>' for n in range(3)),
        f'<g font-family="{_FONTS}" font-size="{FONT_SIZE}" fill="{_TEXT}">',
        f'<text x="{width / 2:g}" y="21" text-anchor="middle" opacity="0.6">{escape(title)}</text>',
    ]
    style = Style()
    for row, line in enumerate(lines):
        runs, style = runs_of(line, style)
        told += _row(runs, EDGE + BAR + row * CELL_HEIGHT)
    return "\n".join([*told, "</g>", "</svg>", ""])


def _row(runs: list[tuple[str, Style]], top: float) -> Iterator[str]:
    at = 0
    for text, style in runs:
        left, wide = EDGE + at * CELL_WIDTH, len(text) * CELL_WIDTH
        at += len(text)
        ink = style.colour or _TEXT
        if style.reverse:
            yield f'<rect x="{left:g}" y="{top:g}" width="{wide:g}" height="{CELL_HEIGHT}" fill="{ink}"/>'
            ink = _GROUND
        looks = f' fill="{ink}"' if ink != _TEXT else ""
        looks += ' font-weight="bold"' * style.bold + ' opacity="0.6"' * style.dim
        for words in _WORDS.finditer(text):
            x, long = left + words.start() * CELL_WIDTH, len(words[0]) * CELL_WIDTH
            span = f'x="{x:g}" y="{top + BASELINE:g}" textLength="{long:g}" lengthAdjust="spacingAndGlyphs"'
            yield f"<text {span}{looks}>{escape(words[0])}</text>"
