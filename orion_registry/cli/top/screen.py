"""A whole screen: head, filter, table or text, events, foot. Pure: a state, a size and an instant make lines."""

from orion_registry.cli.top.columns import layout
from orion_registry.cli.top.control import keep_in_sight
from orion_registry.cli.top.detail import detail_lines
from orion_registry.cli.top.happening import event_lines
from orion_registry.cli.top.header import header_lines
from orion_registry.cli.top.helping import foot, help_lines
from orion_registry.cli.top.line import Line, Piece, fitted, marked, spread
from orion_registry.cli.top.state import EVENTS_KEPT, State, View

LEAST_WIDTH, LEAST_HEIGHT = 40, 10
"""Below this nothing worth reading fits."""
PANE_FROM = 30
"""Height from which events are shown below the table."""
HELP_BELOW = 32
"""Height below which help takes the place of the head."""

Screen = list[list[Piece]]


def screen_of(state: State, width: int, height: int, now: float) -> Screen:
    """Exactly `height` lines of exactly `width` cells; now: seconds since 1970."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        told = f"{width}x{height} is too small: at least {LEAST_WIDTH}x{LEAST_HEIGHT}"
        return [fitted([(told if not at else "", "")], width) for at in range(height)]
    state.pane_fits = height >= PANE_FROM
    head = [*header_lines(state, width, now)[: height - 6], fitted([], width)]
    if state.view is View.HELP and height < HELP_BELOW:
        head = []
    room = height - len(head) - 1
    if state.view is View.TABLE:
        body, place = _table(state, width, room, now)
    else:
        body, place = _text(state, width, room, now)
    return [*head, *body, spread(foot(state), [(place, "dim")], width)]


# The table.


def _table(state: State, width: int, room: int, now: float) -> tuple[Screen, str]:
    above: Screen = []
    rows = state.rows()
    total = len(state.fleet.rows)
    if state.typing or state.typed:
        above.append(spread(_filter_line(state), [(f"{len(rows):,} of {total:,}", "bold")], width))
    pane = _pane(state, width, room - len(above) - 1)
    state.room = max(1, room - len(above) - 1 - len(pane))
    at = keep_in_sight(state, rows, state.room)
    table = layout(width, state.fleet.widest)
    above.append(fitted(table.header(state.sort, reverse=state.reverse), width))
    shown = rows[state.top : state.top + state.room]
    old = "dim" if state.lost_since is not None else ""
    lines = [
        fitted(marked(table.line(row, now)), width, "reverse")
        if state.top + index == at
        else fitted(table.line(row, now), width, old)
        for index, row in enumerate(shown)
    ]
    if not rows:
        lines.append(fitted([(nothing(state), "dim")], width))
    lines += [fitted([], width)] * (state.room - len(lines))
    place = f"{state.top + 1:,}-{state.top + len(shown):,} of {len(rows):,}" if rows else ""
    return [*above, *lines, *pane], place


def _filter_line(state: State) -> Line:
    cursor: list[Piece] = [(" ", "reverse")] if state.typing else []
    note = ""
    if state.query.unknown:
        note = f"  {state.query.unknown[0]} is no word of the filter: ? shows them"
    return [("filter ", "bold cyan"), (state.typed, ""), *cursor, (note, "yellow")]


def nothing(state: State) -> str:
    """Why there are no rows."""
    if not state.synced:
        return "asking the registry…"
    return "no service satisfies the filter; Esc clears it" if state.fleet.rows else "no service is registered here"


def _pane(state: State, width: int, room: int) -> Screen:
    if not state.has_pane:
        return []
    most = max(3, min(12, room // 3))
    lines = event_lines(state, width, most)
    title: list[Piece] = [("─ events ".ljust(width, "─"), "dim")]
    filled = [fitted(line, width) for line in lines]
    return [title, *filled, *[fitted([], width)] * (most - len(filled))]


# Texts.


def _text(state: State, width: int, room: int, now: float) -> tuple[Screen, str]:
    detail = state.follow_detail()
    if state.view is View.DETAIL and detail is not None:
        lines = detail_lines(detail, width, now)
    elif state.view is View.EVENTS:
        lines = event_lines(state, width, EVENTS_KEPT)[::-1]  # the latest is looked for first
        lines = lines or [[("no event yet", "dim")]]
    else:
        lines = help_lines()
    state.room = room
    state.scroll = max(0, min(state.scroll, len(lines) - room))
    shown = [fitted(line, width) for line in lines[state.scroll : state.scroll + room]]
    shown += [fitted([], width)] * (room - len(shown))
    more = len(lines) - room
    return shown, f"{state.scroll + 1}-{min(len(lines), state.scroll + room)} of {len(lines)}" if more > 0 else ""
