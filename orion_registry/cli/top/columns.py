"""The columns of the table: which fit, how wide they are, what is in them. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orion_registry.cli.top.line import Line, Piece, padded
from orion_registry.cli.top.row import Row, Sort, mark_of, style_of

NARROW_GAP, WIDE_GAP, WIDE_FROM = 1, 2, 120
"""Cells between columns, and the width from which there is room for the wider gap."""

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def age(seconds: float) -> str:
    """A span in at most four characters: 7s, 59m, 23h, 999d."""
    whole = max(0, int(seconds))
    for size, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def bar(taken: int, most: int, width: int) -> list[Piece]:
    """Slots taken of those there are, `[|||||   3/4]`; without a limit only how many are taken."""
    if not most:
        return [(padded(f"{taken:,} " if taken else "- ", width, right=True), "" if taken else "dim")]
    inner = width - 2
    share = min(1.0, taken / most)
    style = "red" if share >= 1.0 else "yellow" if share >= 0.7 else "green"
    figures = f"{taken:,}/{most:,}"
    filled = max(int(share * inner + 0.5), taken > 0)
    text = padded("|" * filled, inner)
    figures = padded(figures, min(inner, len(figures)))
    start = inner - len(figures)
    return [("[", "dim"), (text[: min(filled, start)], style), (" " * (start - min(filled, start)), ""),
            (figures, style if share >= 1.0 else ""), ("]", "dim")]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        header: its name.
        cell: what a row has there, of exactly some width; at an instant of the wall clock.
        least, likes, most: cells that it needs, that it is comfortable with, and that it can use.
        of: the text of a row (`TEXTS`) that its width depends on, if it does.
        rank: those of a lower one go first if there is no room for all.
        right: whether its header stands on the right.
        sort: which order it shows.
    """

    header: str
    cell: Callable[[Row, int, float], Sequence[Piece]]
    least: int
    likes: int
    most: int
    rank: int
    right: bool = False
    sort: Sort | None = None
    of: str = ""


def _text(of: str, style: str = "") -> Callable[[Row, int, float], list[Piece]]:
    return lambda row, width, _: [(padded(getattr(row, of), width), style)]


def _status(row: Row, width: int, _: float) -> list[Piece]:
    return [(padded(f"{mark_of(row.service)} {row.service.status.name}", width), style_of(row.service))]


def _since(row: Row, width: int, now: float) -> list[Piece]:
    return [(padded(age(now - row.since), width, right=True), "")]


def _beat(row: Row, width: int, _: float) -> list[Piece]:
    shown = "-" if row.silent_s is None else age(row.silent_s)
    return [(padded(shown, width, right=True), "dim" if row.silent_s is None else "")]


def _load(row: Row, width: int, _: float) -> list[Piece]:
    return bar(row.taken, row.service.max_concurrency, width)


def _weight(row: Row, width: int, _: float) -> list[Piece]:
    own, set_by_operator = row.service.weight, row.service.overlay_weight
    return [(padded(f"{own:g}" if set_by_operator is None else f"{set_by_operator:g}!", width), "")]


def _reason(row: Row, width: int, _: float) -> list[Piece]:
    """All of them if they fit, else the one that decides."""
    shown = row.reasons if len(row.reasons) <= width else row.reasons.partition(",")[0]
    return [(padded(shown, width), "")]


NEEDED = 4
"""Rank up to which columns are there however narrow they must be; others wait until those have what they like."""
SELDOM, SPARE = 7, 14
"""Rank from which columns are there only if the others could have so many cells beyond what they like."""
_ALL = 1_000
COLUMNS = (
    Column(
        header="SERVICE", cell=_text("name", "bold"), least=18, likes=28, most=44, rank=0, sort=Sort.NAME, of="name"
    ),
    Column(header="STATUS", cell=_status, least=11, likes=11, most=11, rank=0, sort=Sort.STATUS),
    Column(header="REASON", cell=_reason, least=12, likes=15, most=32, rank=2, of="reasons"),
    Column(header="SINCE", cell=_since, least=6, likes=6, most=6, rank=2, right=True, sort=Sort.SINCE),
    Column(header="LOAD", cell=_load, least=10, likes=12, most=14, rank=1, sort=Sort.LOAD),
    Column(header="BEAT", cell=_beat, least=5, likes=5, most=5, rank=3, right=True, sort=Sort.BEAT),
    Column(header="ZONE", cell=_text("zone"), least=6, likes=10, most=14, rank=5, of="zone"),
    Column(header="VERSION", cell=_text("version"), least=7, likes=8, most=10, rank=6, of="version"),
    Column(
        header="CAPABILITIES",
        cell=_text("capabilities", "cyan"),
        least=12,
        likes=20,
        most=_ALL,
        rank=4,
        of="capabilities",
    ),
    Column(header="TAGS", cell=_text("tags"), least=12, likes=20, most=40, rank=7, of="tags"),
    Column(header="ADDRESS", cell=_text("address"), least=16, likes=21, most=32, rank=8, of="address"),
    Column(header="WEIGHT", cell=_weight, least=6, likes=6, most=6, rank=9),
)
"""From left to right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The columns that fit, each with its width."""

    columns: tuple[tuple[Column, int], ...]
    gap: int

    def header(self, sort: Sort, *, reverse: bool) -> Line:
        """Names of the columns; that of the order is marked."""
        arrow = "▲" if reverse else "▼"
        told: list[Piece] = []
        for column, width in self.columns:
            sorted_by = column.sort is sort
            name = column.header + (arrow if sorted_by and len(column.header) < width else "")
            told += [(padded(name, width, right=column.right), "bold cyan" if sorted_by else "bold"), self._space]
        return told[:-1]

    def line(self, row: Row, now: float) -> Line:
        """A row."""
        told: list[Piece] = []
        for column, width in self.columns:
            told += [*column.cell(row, width, now), self._space]
        return told[:-1]

    @property
    def _space(self) -> Piece:
        return (" " * self.gap, "")


def layout(width: int, widest: Mapping[str, int]) -> Table:
    """The columns for a width. widest: characters of the longest text of each of `TEXTS`."""
    gap = WIDE_GAP if width >= WIDE_FROM else NARROW_GAP
    needs = {column.header: _need(column, widest) for column in COLUMNS}
    leasts = {column.header: min(column.least, needs[column.header]) for column in COLUMNS}
    fitting: list[Column] = []
    liked = used = -gap
    for column in sorted(COLUMNS, key=lambda one: one.rank):
        spare = SPARE if column.rank >= SELDOM else 0
        if column.rank <= NEEDED or liked + gap + leasts[column.header] + spare <= width:
            fitting.append(column)
            used += gap + leasts[column.header]
            liked += gap + min(column.likes, needs[column.header])
    widths = {column.header: leasts[column.header] for column in fitting}
    by_most = sorted(fitting, key=lambda one: -one.most)
    for column, wish in (*((one, one.likes) for one in fitting), *((one, one.most) for one in by_most)):
        wished = min(wish, needs[column.header])
        more = max(0, min(width - used, wished - widths[column.header]))
        widths[column.header] += more
        used += more
    return Table(columns=tuple((column, widths[column.header]) for column in COLUMNS if column in fitting), gap=gap)


def _need(column: Column, widest: Mapping[str, int]) -> int:
    """Cells for all that is in a column, and for its header with an arrow."""
    return max(len(column.header) + 1, widest.get(column.of, 0)) if column.of else column.most
