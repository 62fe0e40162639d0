"""One screen that is printed: as text, or its data as JSON."""

import json
import os
import shutil
import sys
import time
from typing import Any

from orion_registry.cli.event_showing import event_plain
from orion_registry.cli.info import as_plain as info_plain
from orion_registry.cli.service_showing import as_plain
from orion_registry.cli.showing import show_time
from orion_registry.cli.top.columns import layout
from orion_registry.cli.top.happening import event_lines
from orion_registry.cli.top.header import header_lines
from orion_registry.cli.top.line import Line, Pen, fitted, plain
from orion_registry.cli.top.row import Row
from orion_registry.cli.top.screen import nothing
from orion_registry.cli.top.source import Clients, Source
from orion_registry.cli.top.state import State
from orion_registry.core.events import EventFilter, LoggedEvent
from orion_registry.core.selector import Selector
from orion_registry.errors import PermissionDenied

EVENTS = 10
PIPED_WIDTH = 120
"""Columns of a screen that no terminal shows, unless COLUMNS says otherwise."""


async def show_once(state: State, clients: Clients, selector: Selector, *, as_json: bool) -> None:
    """Asks once, and prints.

    Raises:
        RegistryError: the registry is out of reach, or refuses to tell of its services.
    """
    found = await clients.registry.discover(selector)
    for service in found.services:
        state.fleet.put(service)
    state.synced = True
    await Source(state, clients, selector, lambda: None).look()
    if state.info is not None:
        after = max(0, state.info.event_seq - EVENTS)
        state.events.extend(await _last_events(clients, selector, after, state.info.history_id))
    now = time.time()
    if as_json:
        print(json.dumps(screen_plain(state, now)))
        return
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((PIPED_WIDTH, 24)).columns
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    colours = is_terminal and not os.environ.get("NO_COLOR")
    pen = Pen(colours=colours, unicode=encoding.startswith("utf"))
    for line in screen_lines(state, width, now):
        shown = pen(fitted(line, width)) if is_terminal else pen([(plain(line), "")])
        print(shown.rstrip())


async def _last_events(
    clients: Clients, selector: Selector, after_seq: int, history_id: str
) -> tuple[LoggedEvent, ...]:
    """All, or those of the selector's namespace for whoever may not see all."""
    try:
        page = await clients.admin.list_events(after_seq=after_seq, history_id=history_id)
    except PermissionDenied:
        wanted = EventFilter(namespace=selector.namespace)
        page = await clients.admin.list_events(wanted, after_seq=after_seq, history_id=history_id)
    return page.events


def screen_lines(state: State, width: int, now: float) -> list[Line]:
    """Head, all rows that satisfy the filter, the last events."""
    rows = state.rows()
    table = layout(width, state.fleet.widest)
    lines: list[Line] = [*header_lines(state, width, now), []]
    if state.typed:
        lines.append(
            [("filter ", "bold cyan"), (f"{state.typed}  ", ""), (f"{len(rows):,} of {len(state.fleet.rows):,}", "")]
        )
    lines.append(fitted(table.header(state.sort, reverse=state.reverse), width))
    lines += [fitted(table.line(row, now), width) for row in rows]
    if not rows:
        lines.append([(nothing(state), "dim")])
    if state.events:
        lines += [[], *(fitted(line, width) for line in event_lines(state, width, EVENTS))]
    return lines


def screen_plain(state: State, now: float) -> dict[str, Any]:
    """For JSON: what `services`, `info` and `events` print, in one object."""
    stats = state.stats
    selection = None
    if stats is not None:
        names = ("leases_open", "leases_expired", "waiting", "ejected", "pools")
        selection = {name: getattr(stats, name) for name in names}
    taken, most = state.fleet.slots()
    return {
        "time": show_time(now),
        "address": state.address,
        "registered": len(state.fleet.rows),
        "by_status": {status.name: count for status, count in state.fleet.census().items()},
        "slots": {"taken": taken, "most": most},
        "selection": selection,
        "info": None if state.info is None else info_plain(state.info),
        "trouble": state.trouble,
        "services": [_row_plain(row) for row in state.rows()],
        "events": [event_plain(logged) for logged in state.events],
    }


def _row_plain(row: Row) -> dict[str, Any]:
    return as_plain(row.service) | {"slots_taken": row.taken, "leases": row.leases}
