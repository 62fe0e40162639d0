"""One service at length: what it is, its reasons, checks, leases, latency and last changes. Pure."""

import json
from collections.abc import Iterator, Sequence

from orion_registry.cli.showing import colour_of, plural, show_span, show_time
from orion_registry.cli.top.columns import age, bar
from orion_registry.cli.top.line import Line, Piece, clean, padded
from orion_registry.cli.top.row import mark_of, style_of
from orion_registry.cli.top.state import Detail
from orion_registry.core.checks.active import CheckHealth
from orion_registry.core.checks.threshold import CheckState
from orion_registry.core.checks.verdict import Verdict
from orion_registry.core.overlay import OverlayMode

LEASES_SHOWN, CHANGES_SHOWN = 20, 10
_RUNS = {Verdict.PASSED: ("●", "green"), Verdict.FAILED: ("✗", "red"), Verdict.UNAVAILABLE: ("?", "yellow")}
_STATES = {CheckState.PASSING: "green", CheckState.FAILING: "red", CheckState.AWAITING: "yellow"}
_SPARKS = "▁▂▃▄▅▆▇█"


def detail_lines(detail: Detail, width: int, now: float) -> list[Line]:
    """From the top; there may be more than fit."""
    lines: list[Line] = [_title(detail), [], *_reasons(detail, now), *_selection(detail, width)]
    # What changes goes first: on a small screen the rest is a key away.
    for part in (_checks(detail, now), _past(detail, now), _leases(detail), _about(detail)):
        told = list(part)
        lines += [[], *told] if told else []
    for what, why in detail.trouble.items():
        lines.append([(f"{what}: {clean(why)}", "yellow")])
    return lines


def spark(values: Sequence[float], width: int) -> str:
    """The last values as a line of bars; the highest is the whole height."""
    shown = list(values)[-width:]
    peak = max(shown, default=0.0)
    if not peak:
        return ""
    return "".join(_SPARKS[min(len(_SPARKS) - 1, int(value / peak * (len(_SPARKS) - 1) + 0.5))] for value in shown)


def _title(detail: Detail) -> Line:
    service = detail.row.service
    state = (f"{mark_of(service)} {service.status.name}", style_of(service))
    ready = ("  ready", "green") if service.ready else ("  not ready", "red")
    gone: list[Piece] = (
        [("  GONE: it is registered no more; this was its last state", "red bold")] if detail.gone else []
    )
    return [(f"{detail.name}  ", "bold"), state, ready, *gone]


def _row(name: str, *pieces: Piece) -> Line:
    return [(f"{name:<14}", "dim"), *pieces]


def _reasons(detail: Detail, now: float) -> Iterator[Line]:
    service = detail.row.service
    for index, reason in enumerate(service.reasons):
        since = f"  for {show_span(max(0.0, now - reason.since_wall))}, since {show_time(reason.since_wall, 'seconds')}"
        yield _row("" if index else "reasons", (reason.code.name, style_of(service) if not index else ""), (since, ""))
    if not service.ready and not detail.gone:
        yield _row("", (f"orion-registry doctor {detail.name} says what to do", "dim"))
    overlay = detail.overlay
    if overlay is not None and (overlay.mode is not OverlayMode.NONE or overlay.weight is not None):
        told = overlay.mode.name if overlay.mode is not OverlayMode.NONE else f"weight {overlay.weight:g}"
        told += f" by {clean(overlay.set_by)}" if overlay.set_by else ""
        told += f": {clean(overlay.note)}" if overlay.note else ""
        told += f", {plural(overlay.leases_left, 'lease')} left" if overlay.mode is OverlayMode.DRAIN else ""
        yield _row("operator set", (told, "yellow"))


def _about(detail: Detail) -> Iterator[Line]:
    row = detail.row
    service = row.service
    yield _row("address", (clean(f"{service.address} ({service.protocol})"), ""))
    place = [text for text in (f"zone {service.zone}" if service.zone else "", f"version {service.version}") if text]
    yield _row(
        "place", (clean(", ".join([*place, f"namespace {service.namespace}", f"type {service.service_type}"])), "")
    )
    if row.capabilities:
        yield _row("capabilities", (row.capabilities, "cyan"))
    if row.tags:
        yield _row("tags", (row.tags, ""))
    if service.metadata:
        yield _row("metadata", (clean(json.dumps(service.metadata, sort_keys=True, ensure_ascii=False)), ""))
    beat = "not heard of" if row.silent_s is None else f"heard of {age(row.silent_s)} ago"
    yield _row("liveness", (f"{service.liveness.name}, {beat}, epoch {service.epoch:,}", ""))
    registered = f"{show_time(service.registration_time, 'seconds')}, generation {service.generation:,}"
    yield _row("registered", (registered, ""))
    yield _row("service_id", (service.service_id, ""))


def _selection(detail: Detail, width: int) -> Iterator[Line]:
    row, found = detail.row, detail.performance
    service = row.service
    load = service.max_concurrency
    most = f" of {load:,}" if load else ", no limit"
    taken = row.taken if found is None else found.in_flight
    pieces = [*bar(taken, load, 24), ("  ", "")] if load else []
    weight = (
        f", weight {service.weight:g}" if service.overlay_weight is None else f", weight {service.overlay_weight:g}!"
    )
    yield _row("slots", *pieces, (f"{taken:,} taken{most}{weight}", ""))
    if found is None:
        return
    calls = found.succeeded + found.failed
    style = "red" if found.failed and found.success_rate < 0.9 else ""
    rate = f", {100 * found.success_rate:.4g}% succeeded" if calls else ""
    ejected: list[Piece] = [("  EJECTED: left out for a while", "red bold")] if found.ejected else []
    yield _row("calls", (f"{calls:,}{rate}", style), *ejected)
    times = (("average", found.average_s), ("p50", found.p50_s), ("p95", found.p95_s), ("max", found.max_s))
    told = ", ".join(f"{what} {_time(value)}" for what, value in times if value is not None)
    if told:
        yield _row("latency", (told, ""))
        if line := spark(detail.latencies, max(8, width - 16)):
            yield _row("", (line, "cyan"))


def _checks(detail: Detail, now: float) -> Iterator[Line]:
    health = detail.health
    if health is None or not health.checks:
        return
    runs = max(len("LAST RUNS"), *(len(check.results) for check in health.checks))
    yield [(f"CHECK           STATE      SINCE  {'LAST RUNS':<{runs}}  LATEST", "bold")]
    for check in health.checks:
        yield _check(check, runs, now)


def _check(check: CheckHealth, width: int, now: float) -> Line:
    last = check.results[-1].outcome if check.results else None
    latest = "no run yet"
    if last is not None:
        latest = f"{last.verdict.name} {_time(last.latency_s)}" + (f"  {clean(last.detail)}" if last.detail else "")
    runs = [_RUNS.get(result.outcome.verdict, ("-", "yellow")) for result in check.results]
    return [
        (padded(clean(check.name), 15) + " ", "bold"),
        (f"{check.state.name:<10} ", _STATES.get(check.state, "")),
        (padded(age(now - check.since_wall), 5, right=True) + "  ", ""),
        *runs,
        (" " * (width - len(runs) + 2), ""),
        ("stale  " if check.stale else "", "yellow"),
        (latest, ""),
    ]


def _leases(detail: Detail) -> Iterator[Line]:
    if not detail.leases:
        return
    yield [("LEASE OF                        AGE    LEFT  STREAM", "bold")]
    for lease in detail.leases[:LEASES_SHOWN]:
        ages = f"{padded(age(lease.age_s), 6, right=True)}  {padded(age(lease.left_s), 6, right=True)}"
        yield [(padded(clean(lease.caller or "-"), 28), ""), (f" {ages}  {'open' if lease.on_stream else '-'}", "")]
    if len(detail.leases) > LEASES_SHOWN:
        yield [
            (
                f"and {len(detail.leases) - LEASES_SHOWN:,} more: orion-registry leases --service {detail.service_id}",
                "dim",
            )
        ]


def _past(detail: Detail, now: float) -> Iterator[Line]:
    health = detail.health
    if health is None or not health.timeline:
        return
    yield [("CHANGED               AGO  STATUS     REASONS", "bold")]
    for edge in reversed(health.timeline[-CHANGES_SHOWN:]):
        yield [
            (f"{show_time(edge.wall, 'seconds')} ", "dim"),
            (padded(age(now - edge.wall), 4, right=True) + "  ", ""),
            (f"{edge.status.name:<10} ", colour_of(edge.status)),
            (", ".join(code.name for code in edge.codes), ""),
        ]
    if len(health.timeline) > CHANGES_SHOWN:
        more = len(health.timeline) - CHANGES_SHOWN
        yield [(f"and {more:,} more: orion-registry health {detail.service_id}", "dim")]


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 1.0 else show_span(seconds)
