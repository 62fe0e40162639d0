"""Lines of a screen: pieces of text, each in a style, cut to a width. What a terminal needs to show them. Pure."""

import unicodedata
from collections.abc import Iterable, Sequence

Piece = tuple[str, str]
"""Text, and its style: words of `_CODES` with spaces between them; empty = plain."""
Line = Sequence[Piece]

_CODES = {
    "bold": "1",
    "dim": "2",
    "reverse": "7",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}
"""The terminal's own sixteen colours on its own background: its owner has chosen them to be read, light or dark."""
_COLOURS = frozenset({"red", "green", "yellow", "blue", "cyan"})
_ASCII = str.maketrans(
    {
        "●": "*",
        "◐": "o",
        "○": "o",
        "✗": "x",
        "…": "~",
        "─": "-",
        "│": "|",
        "▲": "^",
        "▼": "v",
        "→": ">",
        "↑": "^",
        "↓": "v",
    }
)
_ASCII |= dict(zip(map(ord, "▁▂▃▄▅▆▇█"), "_.,-=+*#", strict=True))


def clean(text: str) -> str:
    """Text as an agent gave it, without what a terminal, or a reader's eye, would take for a command."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def width_of(text: str) -> int:
    """Cells that text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(one: str) -> int:
    if unicodedata.combining(one):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Text that takes at most so many cells; with an ellipsis if something is missing."""
    if width_of(text) <= width:
        return text
    if width <= 0:
        return ""
    kept, cells = "", 0
    for one in text:
        cells += _cells(one)
        if cells > width - 1:
            break
        kept += one
    return kept + "…"


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Text that takes exactly so many cells."""
    shown = cut(text, width)
    gap = " " * (width - width_of(shown))
    return gap + shown if right else shown + gap


def fitted(line: Line, width: int, style: str = "") -> list[Piece]:
    """A line of exactly so many cells. style: added to all of it, and to what fills it up."""
    pieces: list[Piece] = []
    left = width
    for text, own in line:
        shown = cut(text, left)
        left -= width_of(shown)
        pieces.append((shown, f"{own} {style}".strip()))
        if shown != text:
            break
    return [*pieces, (" " * left, style)] if left > 0 else pieces


def marked(line: Line) -> list[Piece]:
    """A line as the cursor stands on it: one bar, whatever colours were in it."""
    return [(text, "bold" if "bold" in own else "") for text, own in line]


def spread(left: Line, right: Line, width: int) -> list[Piece]:
    """Two parts at the two ends of a line; what is on the right goes first if both do not fit."""
    room = width - sum(width_of(text) for text, _ in right) - 1
    if room < width // 3:
        return fitted(left, width)
    return [*fitted(left, room), (" ", ""), *right]


def plain(line: Line) -> str:
    """Without styles, and without spaces at the end."""
    return "".join(text for text, _ in line).rstrip()


class Pen:
    """Turns lines into what a terminal understands."""

    def __init__(self, *, colours: bool, unicode: bool) -> None:
        self._colours, self._unicode = colours, unicode

    def __call__(self, line: Iterable[Piece]) -> str:
        """A line with escape sequences."""
        told = ""
        for text, style in line:
            shown = text if self._unicode else text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
            names = [name for name in style.split() if self._colours or name not in _COLOURS]
            told += f"\x1b[{';'.join(_CODES[name] for name in names)}m{shown}\x1b[0m" if names and shown else shown
        return told
