"""What a scenario prints: services, edges and frames, in aligned columns; lines that say the same of numbered agents
become one.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from orion_registry.core.checks.active import CheckHealth
from orion_registry.core.frames import Ack, Drain, GoAway, Lost, RegistryFrame, SessionResult, Sessions, Welcome
from orion_registry.core.history import Edge
from orion_registry.core.model import Snapshot
from orion_registry.core.overlay import OverlayMode
from orion_registry.core.overlay_page import OverlayRow
from orion_registry.core.self_health import SelfHealth
from orion_registry.errors import RegistryError
from tests.scenarios.timing import WALL_BEGIN_S

_NUMBERED = re.compile(r"(.*?)(\d+)(\..*)?")


def span(seconds: float) -> str:
    """`1.5s`, to the millisecond, without zeros that say nothing."""
    return f"{round(seconds, 3):.10g}s"


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell."""
    cells = [tuple(row) for row in rows]
    if not cells:
        return []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def folded(rows: Iterable[tuple[str, ...]], name_at: int) -> list[tuple[str, ...]]:
    """Neighbours that differ only in the number of their name become one row, `calc-1..calc-3`."""
    runs: list[list[tuple[str, ...]]] = []
    for row in rows:
        if runs and _follows(runs[-1][-1], row, name_at):
            runs[-1].append(row)
        else:
            runs.append([row])
    return [run[0] if len(run) == 1 else _joined(run[0], run[-1], name_at) for run in runs]


def _joined(first: tuple[str, ...], last: tuple[str, ...], name_at: int) -> tuple[str, ...]:
    return (*first[:name_at], f"{first[name_at]}..{last[name_at]}", *first[name_at + 1 :])


def _follows(before: tuple[str, ...], after: tuple[str, ...], name_at: int) -> bool:
    if before[:name_at] + before[name_at + 1 :] != after[:name_at] + after[name_at + 1 :]:
        return False
    one, two = _NUMBERED.fullmatch(before[name_at]), _NUMBERED.fullmatch(after[name_at])
    return bool(one and two and one[1] == two[1] and one[3] == two[3] and int(two[2]) == int(one[2]) + 1)


# Services.


def services(snapshots: Iterable[Snapshot]) -> list[str]:
    """One line for each service, as it is now."""
    rows = folded(((one.service_id, *_state(one), _since(one)) for one in snapshots), 0)
    return table([("service", "status", "reasons", "ready", "since"), *rows]) if rows else ["no services"]


def tally(snapshots: Iterable[Snapshot]) -> list[str]:
    """How many services are in each state."""
    states = sorted(map(_state, snapshots))
    return table((str(len(list(same))), *state) for state, same in groupby(states)) or ["no services"]


def _state(snapshot: Snapshot) -> tuple[str, str, str]:
    codes = ", ".join(reason.code.name for reason in snapshot.reasons)
    return snapshot.status.name, codes, f"tier {snapshot.tier}" if snapshot.ready else "no"


def _since(snapshot: Snapshot) -> str:
    return ", ".join(span(reason.since_wall - WALL_BEGIN_S) for reason in snapshot.reasons)


# Active checks.


def checks(found: Iterable[CheckHealth]) -> list[str]:
    """One line for each: where it stands, and its last runs."""
    return table(_check(check) for check in found) or ["no checks"]


def _check(check: CheckHealth) -> tuple[str, ...]:
    row = f"{check.passes} passed" if check.passes else f"{check.failures} failed" if check.failures else ""
    runs = " ".join(result.outcome.verdict.name for result in check.results[-5:]) or "no runs"
    return check.name, check.state.name, row, "stale" if check.stale else "", runs


# Overlays.


def overlays(rows: Iterable[OverlayRow]) -> list[str]:
    """One line for each: whom for, what, and how far it is."""
    return table(_overlay(row) for row in rows) or ["nothing is set"]


def _overlay(row: OverlayRow) -> tuple[str, ...]:
    overlay = row.overlay
    weight = "own weight" if overlay.weight is None else f"weight {overlay.weight:g}"
    if row.entry is None:
        how = "not registered"
    elif overlay.mode is not OverlayMode.DRAIN:
        how = ""
    else:
        how = "drained" if row.drained else "draining"
    left = "" if row.left_s is None else f"{span(row.left_s)} left"
    return overlay.service_id, overlay.mode.name, weight, how, left, overlay.note


# Edges.


def edges(published: Iterable[tuple[int, Edge]]) -> list[str]:
    """One line for each edge: when, who, what from then on, and what else changed."""
    rows = folded(((span(ms / 1_000), edge.service_id, *_news(edge)) for ms, edge in published), 1)
    return table(rows) or ["no edges"]


def _news(edge: Edge) -> tuple[str, str, str, str]:
    if edge.after is None:
        return "removed", "" if edge.removal is None else edge.removal.name, "", ""
    return (*_state(edge.after), _also(edge.before, edge.after))


def _also(before: Snapshot | None, after: Snapshot) -> str:
    if before is None:
        return "new"
    told = []
    if before.record is not after.record:
        told.append("rewritten")
    if before.epoch != after.epoch:
        told.append(f"epoch {after.epoch}")
    if before.weight_set != after.weight_set:
        told.append("own weight" if after.weight_set is None else f"weight {after.weight_set:g}")
    return ", ".join(told)


# Frames.


def frames(streams: Iterable[tuple[int, Iterable[RegistryFrame | str]]]) -> list[str]:
    """What was sent on each stream, by its number."""
    rows = [(f"#{number}", line) for number, sent in streams for frame in sent for line in _told(frame)]
    return table(rows) or ["no frames"]


def _told(frame: RegistryFrame | str) -> list[str]:
    match frame:
        case str():
            return [frame]
        case Welcome():
            return [f"welcome: {_pace(frame)}"]
        case Ack():
            return [f"ack {frame.seq}: {_pace(frame)}"]
        case Sessions():
            return [f"session {result.service_id}: {_result(result)}" for result in frame.results] or ["sessions: none"]
        case Lost():
            return [f"lost {frame.service_id}: {frame.reason.name}"]
        case Drain():
            limit = "" if frame.deadline_s is None else f" within {span(frame.deadline_s)}"
            return [f"drain {', '.join(frame.service_ids)}{limit}"]
        case GoAway():
            return [f"go_away {frame.reason.name}: come back after {span(frame.reconnect_after_s)}"]


def _pace(frame: Welcome | Ack) -> str:
    return f"beat every {span(frame.interval_s)}, dead after {span(frame.timeout_s)}"


def _result(result: SessionResult) -> str:
    if result.error is not None:
        return f"refused, {result.error.reason}"
    code = result.previous_reason
    return f"epoch {result.epoch}, was {result.previous_status.name} ({code.name if code else 'nothing'})"


# Errors.


def failure(error: RegistryError) -> str:
    """An error as one line."""
    again = "" if error.retry_after_s is None else f" (again after {span(error.retry_after_s)})"
    return f"error: {error.reason} {error.message}{again}"


# The registry itself.


def self_health(health: SelfHealth) -> list[str]:
    """How well the registry keeps time, in one line."""
    worst = f"worst tick of the last minute {span(health.worst_lag_s)} late"
    credit = f"{health.stalls} stalls, {span(health.credited_s)} credited, the last {span(health.last_stall_s)}"
    return [f"{worst}; {credit}"]
