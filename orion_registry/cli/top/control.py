"""What keys do. Pure: it changes the state, and says when it is time to go."""

from collections.abc import Sequence

from orion_registry.cli.top.row import Row, Sort
from orion_registry.cli.top.state import Detail, State, View

_SORTS = {"S": Sort.STATUS, "N": Sort.NAME, "L": Sort.LOAD, "B": Sort.BEAT, "T": Sort.SINCE}
_NEXT = {sort: tuple(Sort)[(at + 1) % len(Sort)] for at, sort in enumerate(Sort)}
_UP, _DOWN = ("up", "k"), ("down", "j")


def press(state: State, key: str) -> bool:
    """Does what a key means; `gone`: the terminal has. Returns False if it ends the command."""
    if key == "gone":
        return False
    if state.typing:
        _type(state, key)
        return True
    if key == "q":
        return False
    if key in ("?", "f1", "h"):
        _toggle(state, View.HELP)
    elif state.view is View.TABLE:
        _in_table(state, key)
    else:
        _in_text(state, key)
    return True


def _toggle(state: State, view: View) -> None:
    """There, and back."""
    if state.view is view:
        state.view = state.came_from if view is View.HELP else View.TABLE
    else:
        state.came_from, state.view = state.view, view
    state.scroll = 0


def _type(state: State, key: str) -> None:
    match key:
        case "enter":
            state.typing = False
        case "escape":
            state.typing = False
            state.type("")
        case "backspace":
            state.type(state.typed[:-1])
        case "ctrl-u":
            state.type("")
        case "ctrl-w":
            state.type(" ".join(state.typed.split(" ")[:-1]))
        case "up" | "down" | "pageup" | "pagedown":
            _move(state, key)
        case _ if len(key) == 1:
            state.type(state.typed + key)


def _in_table(state: State, key: str) -> None:
    match key:
        case "/":
            state.typing = True
        case "escape":
            state.type("")
        case "enter" | "right" | "l":
            _open(state)
        case "o" | ">":
            state.sort, state.reverse, state.top = _NEXT[state.sort], False, 0
        case "R":
            state.reverse = not state.reverse
        case "e":
            state.pane = not state.has_pane
        case "E":
            _toggle(state, View.EVENTS)
        case _ if key in _SORTS:
            wanted = _SORTS[key]
            state.reverse = not state.reverse if state.sort is wanted else False
            state.sort = wanted
        case _:
            _move(state, key)


def _in_text(state: State, key: str) -> None:
    page = max(1, state.room - 1)
    match key:
        case "escape" | "left" | "backspace":
            back = state.came_from if state.view is View.HELP else View.TABLE
            state.view, state.scroll = back, 0
        case "enter" if state.view is View.DETAIL:
            state.view, state.scroll = View.TABLE, 0
        case "E":
            _toggle(state, View.EVENTS)
        case _ if key in _UP:
            state.scroll -= 1
        case _ if key in _DOWN:
            state.scroll += 1
        case "pageup" | "ctrl-b":
            state.scroll -= page
        case "pagedown" | " " | "ctrl-f":
            state.scroll += page
        case "home" | "g":
            state.scroll = 0
        case "end" | "G":
            state.scroll = 1_000_000  # the screen knows how far that is
    state.scroll = max(0, state.scroll)


def _move(state: State, key: str) -> None:
    rows = state.rows()
    if not rows:
        return
    at = state.index(rows)
    page = max(1, state.room - 1)
    if key in _UP:
        at = max(0, at) - 1
    elif key in _DOWN:
        at += 1
    elif key in ("pageup", "ctrl-b"):
        at -= page
    elif key in ("pagedown", " ", "ctrl-f"):
        at = max(0, at) + page
    elif key in ("home", "g"):
        at = 0
    elif key in ("end", "G"):
        at = len(rows) - 1
    else:
        return
    at = min(max(0, at), len(rows) - 1)
    state.chosen = rows[at].service.service_id if at else ""  # at the top it stays at the top, whoever is there


def _open(state: State) -> None:
    rows = state.rows()
    if not rows:
        return
    row = rows[max(0, state.index(rows))]
    state.chosen = row.service.service_id
    state.detail = Detail(service_id=row.service.service_id, name=row.name, row=row)
    state.came_from, state.view, state.scroll = View.TABLE, View.DETAIL, 0


def keep_in_sight(state: State, rows: Sequence[Row], room: int) -> int:
    """Moves the window so that the cursor is in it; returns the cursor's index, -1 = there is none."""
    at = state.index(rows)
    if at < 0 and rows:  # its service has gone: the one that took its place
        at = min(state.cursor, len(rows) - 1)
        state.chosen = rows[at].service.service_id if at else ""
    state.cursor = max(0, at)
    state.top = max(min(state.top, state.cursor), state.cursor - room + 1)
    state.top = max(0, min(state.top, len(rows) - room))
    return at
