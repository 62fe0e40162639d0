"""How health and checks are shown: as lines for people, or as plain values for JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from orion_registry.cli.showing import Paint, plural, show_span, show_time
from orion_registry.core.checks.active import CheckHealth, Result
from orion_registry.core.checks.stats import HealthStats, RunStats
from orion_registry.core.checks.threshold import CheckState
from orion_registry.core.checks.verdict import Verdict
from orion_registry.core.model import ServiceStatus, StatusReason
from orion_registry.wire.monitor import CheckedNow, ServiceHealth

RUNS_SHOWN = 5
CHANGES_SHOWN = 10

_OF_VERDICT = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "red",
    Verdict.UNAVAILABLE: "yellow",
    Verdict.DENIED: "yellow",
}
_OF_STATE = {CheckState.PASSING: "green", CheckState.FAILING: "red", CheckState.AWAITING: "yellow"}


# For people.


def health_lines(health: ServiceHealth, paint: Paint) -> Iterator[str]:
    """How a service is."""
    yield _row("service", health.service_id)
    yield _row("status", _status(health.status, health.ready, paint))
    for index, reason in enumerate(health.reasons):
        yield _row("" if index else "reasons", f"{reason.code.name} since {show_time(reason.since_wall, 'seconds')}")
    heard = "never" if health.last_heartbeat is None else show_time(health.last_heartbeat, "seconds")
    yield _row("heard of", heard)
    if not health.checks:
        yield _row("checks", "none")
    for check in health.checks:
        yield from _check(check, paint)
    shown = health.timeline[-CHANGES_SHOWN:]
    for index, change in enumerate(shown):
        why = ", ".join(code.name for code in change.codes)
        yield _row("" if index else "timeline", f"{show_time(change.wall)}  {paint.status(change.status)} ({why})")


def _check(check: CheckHealth, paint: Paint) -> Iterator[str]:
    told = [f"{check.name}: {paint(check.state.name, _OF_STATE[check.state])}"]
    told.append(f"since {show_time(check.since_wall, 'seconds')}")
    if check.stale:
        told.append(paint("STALE", "yellow"))
    if check.failures and check.state is not CheckState.FAILING:
        told.append(f"failed {plural(check.failures, 'time')} in a row")
    if check.passes and check.state is CheckState.FAILING:
        told.append(f"passed {plural(check.passes, 'time')} in a row")
    told.append(f"every {show_span(check.interval_s)}")
    told.append(f"next in {show_span(check.next_run_s)}" if check.next_run_s else "running, or waiting for its turn")
    yield _row("check", ", ".join(told))
    for result in check.results[-RUNS_SHOWN:]:
        yield _row("", f"{show_time(result.wall)}  {_outcome(result, paint)}")


def checked_lines(checked: CheckedNow, paint: Paint) -> Iterator[str]:
    """What checks found that were run on demand."""
    width = max([12, *(len(result.check) + 2 for result in checked.results)])
    for result in checked.results:
        yield f"{result.check:<{width}}{_outcome(result, paint)}"
    if not checked.results:
        yield "nothing was run: the checks were changed meanwhile"
    why = ", ".join(reason.code.name for reason in checked.reasons)
    yield f"{'service':<{width}}{_status(checked.status, checked.ready, paint)} ({why})"


def stats_lines(stats: HealthStats, paint: Paint) -> Iterator[str]:
    """How all checks fare."""
    states = (f"{stats.passing:,} PASSING", f"{stats.failing:,} FAILING", f"{stats.awaiting:,} AWAITING")
    yield _row("checks", f"{stats.checks:,}: {', '.join(states)}")
    stale = f"{stats.stale:,} stale"
    late = paint(stale, "yellow") if stats.stale else stale
    yield _row("now", f"{stats.running:,} running, {stats.waiting:,} waiting for their turn, {late}")
    yield from _run_stats("runs", stats.total)
    for kind in stats.kinds:
        yield from _run_stats("", kind)


def _run_stats(name: str, stats: RunStats) -> Iterator[str]:
    kind = "in all" if stats.kind is None else stats.kind.name
    told = f"{kind:<8}{stats.runs:,}: {stats.passed:,} passed, {stats.failed:,} failed"
    told += f", {stats.unavailable:,} unavailable, {stats.denied:,} denied"
    if stats.average_s is not None:
        quantiles = ((0.5, stats.p50_s), (0.95, stats.p95_s), (0.99, stats.p99_s))
        times = ", ".join(f"p{100 * q:.0f} {_time(span)}" for q, span in quantiles if span is not None)
        told += f"; {100 * stats.success_rate:.4g} % success; average {_time(stats.average_s)}, {times}"
    yield _row(name, told)


def _outcome(result: Result, paint: Paint) -> str:
    outcome = result.outcome
    told = paint(f"{outcome.verdict.name:<11}", _OF_VERDICT[outcome.verdict])
    told += f"  {outcome.kind.name:<6}  {_time(outcome.latency_s):>9}"
    if outcome.attempts > 1:
        told += f"  {outcome.attempts} attempts"
    return told + (f"  {outcome.detail}" if outcome.detail else "")


def _status(status: ServiceStatus, ready: bool, paint: Paint) -> str:
    return f"{paint.status(status)}, {'ready' if ready else 'not ready'}"


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 1.0 else show_span(seconds)


def _row(name: str, text: str) -> str:
    return f"{name:<12}{text}"


# For JSON.


def health_plain(health: ServiceHealth) -> dict[str, Any]:
    """How a service is: enums by name, times as text."""
    last = health.last_heartbeat
    return {
        "service_id": health.service_id,
        **_status_plain(health.status, health.ready, health.reasons),
        "last_heartbeat": None if last is None else show_time(last),
        "checks": [_check_plain(check) for check in health.checks],
        "timeline": [
            {
                "at": show_time(change.wall),
                "status": change.status.name,
                "reasons": [code.name for code in change.codes],
            }
            for change in health.timeline
        ],
        "revision": health.revision,
    }


def checked_plain(service_id: str, checked: CheckedNow) -> dict[str, Any]:
    """What checks found that were run on demand."""
    return {
        "service_id": service_id,
        "results": [_result_plain(result) for result in checked.results],
        **_status_plain(checked.status, checked.ready, checked.reasons),
    }


def stats_plain(stats: HealthStats) -> dict[str, Any]:
    """How all checks fare; kinds by name."""
    plain = asdict(stats)
    plain["total"] = _figures(stats.total)
    plain["kinds"] = {kind.kind.name: _figures(kind) for kind in stats.kinds if kind.kind is not None}
    return plain


def _figures(stats: RunStats) -> dict[str, Any]:
    plain = asdict(stats)
    del plain["kind"]
    return plain


def _status_plain(status: ServiceStatus, ready: bool, reasons: Iterable[StatusReason]) -> dict[str, Any]:
    told = [{"code": reason.code.name, "since": show_time(reason.since_wall)} for reason in reasons]
    return {"status": status.name, "ready": ready, "reasons": told}


def _check_plain(check: CheckHealth) -> dict[str, Any]:
    return {
        "name": check.name,
        "state": check.state.name,
        "since": show_time(check.since_wall),
        "stale": check.stale,
        "passes": check.passes,
        "failures": check.failures,
        "interval_s": check.interval_s,
        "next_run_s": check.next_run_s,
        "runs": [_result_plain(result) for result in check.results],
    }


def _result_plain(result: Result) -> dict[str, Any]:
    outcome = result.outcome
    return {
        "check": result.check,
        "verdict": outcome.verdict.name,
        "kind": outcome.kind.name,
        "detail": outcome.detail,
        "latency_s": outcome.latency_s,
        "attempts": outcome.attempts,
        "at": show_time(result.wall),
    }
