"""What the keys are, and the words of a filter: for the screen and for the foot of it."""

from orion_registry.cli.top.line import Line
from orion_registry.cli.top.state import State, View

_KEYS = (
    ("Keys", ""),
    ("↑ ↓ PgUp PgDn", "move; also j k, Space, Home End, g G"),
    ("Enter", "one service at length; Esc goes back"),
    ("/", "filter as you type; Enter keeps it, Esc clears it"),
    ("S N L B T", "sort by status, name, load, beat, since; again: reverse"),
    ("o  R", "the next order; reverse"),
    ("e  E", "events below the table; events alone"),
    ("?  q", "this help; quit"),
    ("", ""),
    ("Filter: all terms must hold", ""),
    ("status:unhealthy", "begins with it; words: status, reason, cap, tag, zone,"),
    ("", "name, agent, id, version, type, host, ns, meta, is"),
    ("cap:=math.add", "the whole of it"),
    ("tag:gpu,tpu", "any of these"),
    ("-tag:slow", "not"),
    ("is:ready", "or degraded, static, draining;  meta:owner=ann"),
    ("text", "anywhere in what a row tells"),
    ("Columns", ""),
    ("STATUS", "● healthy  ◐ healthy, second choice or not ready"),
    ("", "○ starting  ? unknown  ▼ stopping  ✗ unhealthy"),
    ("REASON SINCE", "why, the worst first, and for how long"),
    ("LOAD", "slots taken of those there are; without a limit, calls"),
    ("BEAT", "since last heard of, by the clocks of both machines"),
)


def help_lines() -> list[Line]:
    """The help."""
    return [
        [(f"  {left:<22}", "cyan"), (right, "")] if right or not left else [(left, "bold")] for left, right in _KEYS
    ]


def foot(state: State) -> Line:
    """The keys that matter most where one is."""
    keys: tuple[tuple[str, str], ...]
    if state.typing:
        keys = (("Enter", "keep"), ("Esc", "clear"), ("status: cap: tag: zone: name: -", "words"))
    elif state.view is View.TABLE:
        order = state.sort + (" reversed" if state.reverse else "")
        keys = (
            ("/", "filter"),
            ("o", f"sort {order}"),
            ("Enter", "detail"),
            ("e", "events"),
            ("?", "help"),
            ("q", "quit"),
        )
    else:
        keys = (("Esc", "back"), ("↑↓", "scroll"), ("?", "help"), ("q", "quit"))
    return [piece for key, what in keys for piece in ((key, "bold"), (f" {what}  ", "dim"))]
