"""The head of a screen: the registry, the services in numbers, and what is wrong. Pure."""

from collections.abc import Iterator

from orion_registry.cli.showing import plural, show_span, show_time
from orion_registry.cli.top.columns import bar
from orion_registry.cli.top.line import Line, Piece, clean, fitted, spread
from orion_registry.cli.top.row import MARKS
from orion_registry.cli.top.state import State
from orion_registry.core.model import ServiceStatus, StatusReasonCode

BACK_SHOWN_S = 5.0
"""For how long it is told that the registry is back."""
SLOW_S = 0.1
"""Lag from which the registry is slow: what the tests of its promises call late."""

_ORDER = (
    ServiceStatus.HEALTHY,
    ServiceStatus.UNHEALTHY,
    ServiceStatus.UNKNOWN,
    ServiceStatus.STARTING,
    ServiceStatus.STOPPING,
)
_STYLES = {ServiceStatus.HEALTHY: "green", ServiceStatus.UNHEALTHY: "red bold"}
_LEASTS = 100
"""Width from which there is room for words beside figures."""


def header_lines(state: State, width: int, now: float) -> list[list[Piece]]:
    """From the top of the screen."""
    lines = [
        spread(_registry(state, width, now), [(show_time(now, "seconds")[11:], "dim")], width),
        fitted(_services(state, width), width),
        fitted(_selection(state, width), width),
    ]
    return [*lines, *(fitted([(f" {text} ", style)], width, "reverse") for text, style in _wrong(state, now))]


def _registry(state: State, width: int, now: float) -> Line:
    info = state.info
    told: list[Piece] = [("orion-registry ", "bold"), (f"{clean(state.address)}  ", "")]
    if state.lost_since is not None:
        return [*told, ("away", "red bold")]
    if info is None:
        return [*told, ("connecting…", "yellow")]
    told.append(("serving", "green") if info.serving else ("starting or stopping", "yellow"))
    version = f"  {info.version}" if width >= _LEASTS else ""
    told.append((f"  up {show_span(info.uptime_s)}{version}  ", ""))
    told.append((f"lag {show_span(info.worst_lag_s)}", "yellow" if info.worst_lag_s >= SLOW_S else "dim"))
    return told


def _services(state: State, width: int) -> Line:
    counts = state.fleet.census()
    told: list[Piece] = [(f"{plural(len(state.fleet.rows), 'service')}  ", "bold")]
    for status in _ORDER:
        if count := counts.get(status, 0):
            told += [(f"{MARKS[status]} {count:,} {status.name}", _STYLES.get(status, "yellow")), ("  ", "")]
    if state.info is not None and width >= _LEASTS:
        told.append((f"  {plural(state.info.agents, 'agent')} on {plural(state.info.streams, 'stream')}", "dim"))
    return told


def _selection(state: State, width: int) -> Line:
    taken, most = state.fleet.slots()
    slots = bar(taken, most, max(20, min(40, width // 4))) if most else [("-", "dim")]
    told: list[Piece] = [("slots ", ""), *slots, ("  ", "")]
    stats = state.stats
    if stats is None:
        return told
    told.append((plural(stats.leases_open, "lease"), ""))
    if state.selections_s is not None:
        told.append((f"  {state.selections_s:,.0f} selections/s", ""))
    told.append((f"  {stats.waiting:,} waiting", "yellow" if stats.waiting else "dim"))
    told.append((f"  {stats.ejected:,} ejected", "yellow" if stats.ejected else "dim"))
    return told


def _wrong(state: State, now: float) -> Iterator[tuple[str, str]]:
    """Texts and their styles, the worst first."""
    if state.lost_since is not None:
        ago, when = show_span(max(0.0, now - state.lost_since)), show_time(state.lost_since, "seconds")[11:]
        yield f"CONNECTION LOST {ago} ago: what is shown is of {when}; trying again", "red"
    elif state.back_at is not None and now - state.back_at < BACK_SHOWN_S:
        yield f"{clean(state.address)} is back", "green"
    if state.info is not None and state.lost_since is None:
        for alarm in state.info.alarms:
            since = show_span(max(0.0, now - alarm.since_wall))
            yield f"ALARM {alarm.name} for {since}: {clean(alarm.text)}", "red"
        held = state.info.by_reason.get(StatusReasonCode.HELD, 0)
        if held and not any(alarm.name == "MASS_HOLD" for alarm in state.info.alarms):
            yield f"{plural(held, 'service')} held: cut off rather than dead", "yellow"
    if state.lost_since is None:
        for what, why in state.trouble.items():
            yield f"{what}: {clean(why)}", "yellow"
