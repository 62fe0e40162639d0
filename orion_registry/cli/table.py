"""Tables for people: columns as wide as what is in them, cells in colour on a terminal."""

from collections.abc import Iterator, Sequence

from orion_registry.cli.showing import Paint

Cell = str | tuple[str, str]
"""Text, or text and its colour."""


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]], paint: Paint) -> Iterator[str]:
    """A line for the header and one for each row; two spaces between columns, none at the end of a line."""
    widths = [max(len(_text(row[at])) for row in (header, *rows)) for at in range(len(header))]
    yield paint(_line(header, widths), "dim")
    for row in rows:
        yield _line(row, widths, paint)


def _line(row: Sequence[Cell], widths: Sequence[int], paint: Paint | None = None) -> str:
    last = max((at for at, cell in enumerate(row) if _text(cell)), default=0)
    shown = []
    for at, cell in enumerate(row[: last + 1]):
        gap = "" if at == last else " " * (widths[at] - len(_text(cell)))
        text = _text(cell)
        shown.append((paint(text, cell[1]) if paint is not None and isinstance(cell, tuple) else text) + gap)
    return "  ".join(shown)


def _text(cell: Cell) -> str:
    return cell[0] if isinstance(cell, tuple) else cell
