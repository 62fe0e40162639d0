"""The table of metrics. docs/metrics.md is made from it, and a test holds the two together."""

import asyncio
from collections.abc import Iterator

from orion_registry.core.registry import Registry
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.core.self_health import SelfHealth
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.web import readings
from orion_registry.web.metric import Row, Sources
from orion_registry.web.readings import number


def _coordinator(sources: Sources) -> Coordinator:
    return sources.served.coordinator


def _registry(sources: Sources) -> Registry:
    return sources.served.coordinator.registry


def _health(sources: Sources) -> SelfHealth:
    return _registry(sources).self_health()


def _balancer(sources: Sources) -> BalancerStats:
    return _registry(sources).balancing.stats


_RPC = ("service", "method")

_FLEET = (
    Row(name="orion_services", kind="gauge", labels=("status",), read=readings.services,
        help="Services registered, by effective status."),
    Row(name="orion_service_reasons", kind="gauge", labels=("reason",), read=readings.reasons,
        help="Services that a reason holds for; one with two reasons counts twice."),
    Row(name="orion_agents", kind="gauge", read=number(lambda s: _registry(s).census.agents_live),
        help="Agents that are heard of."),
    Row(name="orion_heartbeat_streams", kind="gauge", read=number(lambda s: _registry(s).census.streams_open),
        help="Heartbeat streams open."),
    Row(name="orion_beats", kind="counter", labels=("kind",), read=readings.beats,
        help="Beats taken: on a stream, or unary."),
    Row(name="orion_hellos_refused", kind="counter", read=number(lambda s: _registry(s).refused_hellos),
        help="Agents that were told to come back later, because too many came at once."),
    Row(name="orion_status_changes", kind="counter", labels=("status", "reason"), read=readings.status_changes,
        help="Changes of effective status, by the new status and its worst reason."),
    Row(name="orion_removals", kind="counter", labels=("removal",), read=readings.removals,
        help="Services that are not registered any more, by why."),
    Row(name="orion_events", kind="counter", labels=("type",), read=readings.events,
        help="Events in the log, by type."),
    Row(name="orion_detection_seconds", kind="histogram", labels=("reason",), read=readings.detection,
        help="From the moment at which the registry could know of a fall (the end of the stream as its code hears of "
        "it, or the deadline) to the change of status being told."),
    Row(name="orion_silence_seconds", kind="histogram", labels=("reason",), read=readings.silences,
        help="From the last sign of life of a service that fell to the change of status being told."),
)  # fmt: skip

_SELECTION = (
    Row(name="orion_selections", kind="counter", labels=("strategy", "result"), read=readings.selections,
        help="Selections, by the strategy that decided: GRANTED, or the reason why there was none."),
    Row(name="orion_strategy_failures", kind="counter", labels=("strategy",), read=readings.strategy_failures,
        help="How often a strategy raised, so that round robin stood in."),
    Row(name="orion_selections_waiting", kind="gauge", read=number(lambda s: _balancer(s).waiting),
        help="Callers that wait for a slot."),
    Row(name="orion_selection_wait_seconds", kind="histogram", read=readings.waits,
        help="How long callers waited for a slot, or until they were told that there is none."),
    Row(name="orion_leases_open", kind="gauge", read=number(lambda s: _balancer(s).leases_open),
        help="Slots that are reserved."),
    Row(name="orion_lease_ends", kind="counter", labels=("cause",), read=readings.lease_ends,
        help="Leases that ended: released by their callers, or expired (a caller that crashed, or forgot it)."),
    Row(name="orion_outcomes", kind="counter", labels=("outcome",), read=readings.outcomes,
        help="What callers said of their calls."),
    Row(name="orion_route_streams", kind="gauge", read=number(lambda s: _coordinator(s).selections.streams),
        help="Route streams open."),
)  # fmt: skip

_CHECKS = (
    Row(name="orion_checks", kind="gauge", labels=("state",), read=readings.checks,
        help="Active checks, by where they stand."),
    Row(name="orion_checks_stale", kind="gauge", read=number(lambda s: _registry(s).monitoring.stats().stale),
        help="Active checks of which nothing has been known for too long."),
    Row(name="orion_checks_running", kind="gauge", read=number(lambda s: _registry(s).monitoring.stats().running),
        help="Runs of checks under way."),
    Row(name="orion_checks_due", kind="gauge", read=number(lambda s: _registry(s).monitoring.stats().waiting),
        help="Checks that are due and wait for their turn."),
    Row(name="orion_check_runs", kind="counter", labels=("kind", "verdict"), read=readings.check_runs,
        help="Runs of checks, by the kind of probe that decided and what it found."),
)  # fmt: skip

_REGISTRY = (
    Row(name="orion_build_info", kind="gauge", labels=("version", "python", "grpcio"), read=readings.build,
        help="1, for what runs."),
    Row(name="orion_serving", kind="gauge", read=number(lambda s: _coordinator(s).serving),
        help="1 while the registry serves, 0 while it starts and stops."),
    Row(name="orion_alarm", kind="gauge", labels=("alarm",), read=readings.alarms,
        help="1 while an alarm holds."),
    Row(name="orion_revision", kind="gauge", read=number(lambda s: _registry(s).revision),
        help="Revision of the latest change in this life of the registry."),
    Row(name="orion_loop_tasks", kind="gauge", read=number(lambda _: len(asyncio.all_tasks())),
        help="Tasks of the registry's event loop: about one for each call and stream that is open."),
    Row(name="orion_loop_lag_seconds", kind="gauge", read=number(lambda s: _health(s).lag_s),
        help="How late the last tick of the registry's own clock was."),
    Row(name="orion_loop_lag_worst_seconds", kind="gauge", read=number(lambda s: _health(s).worst_lag_s),
        help="How late the latest tick of the last minute was."),
    Row(name="orion_stalls", kind="counter", read=number(lambda s: _health(s).stalls),
        help="How often the registry stood still so long that it gave everybody credit for it."),
    Row(name="orion_stall_credit_seconds", kind="counter", read=number(lambda s: _health(s).credited_s),
        help="Credit given for that."),
    Row(name="orion_store_commit_seconds", kind="histogram", read=readings.commits,
        help="From a write's way to the store to its answer; writes in one commit count each."),
    Row(name="orion_store_failures", kind="counter", read=number(lambda s: _coordinator(s).commits.failed),
        help="Writes that the store did not take."),
    Row(name="orion_watchers", kind="gauge", labels=("of",), read=readings.watchers,
        help="Watches open, over gRPC and HTTP: of services, and of events."),
    Row(name="orion_watch_resyncs", kind="counter", read=number(lambda s: _registry(s).resyncs),
        help="Watches that asked for a revision that was not known any more."),
    Row(name="orion_watch_cuts", kind="counter", read=number(lambda s: _coordinator(s).cuts + s.watched.cuts),
        help="Watches that took nothing for too long, and were cut."),
)  # fmt: skip

_CALLS = (
    Row(name="orion_rpcs", kind="counter", labels=(*_RPC, "code"), read=readings.rpcs,
        help="RPCs that ended, by gRPC code. What gRPC itself answers, such as a message that is too large, is not in "
        "it."),
    Row(name="orion_rpc_seconds", kind="histogram", labels=_RPC, read=readings.rpc_times,
        help="How long unary RPCs took in the registry."),
    Row(name="orion_rpc_streams", kind="gauge", labels=_RPC, read=readings.rpc_streams,
        help="Streams open."),
    Row(name="orion_refusals", kind="counter", labels=(*_RPC, "reason"), read=readings.refusals,
        help="RPCs that were refused, by reason."),
    Row(name="orion_limits_hit", kind="counter", labels=("limit",), read=readings.limits_hit,
        help="How often each limit turned somebody away, over gRPC and HTTP."),
    Row(name="orion_http_requests", kind="counter", labels=("path", "status"), read=readings.requests,
        help="Answers over HTTP, by path as it is documented."),
    Row(name="orion_http_streams", kind="gauge", read=number(lambda s: s.watched.streams),
        help="Server-sent streams open."),
)  # fmt: skip

GROUPS = {
    "The fleet": _FLEET,
    "Selection": _SELECTION,
    "Active checks": _CHECKS,
    "The registry itself": _REGISTRY,
    "Calls": _CALLS,
}
"""In the order in which people read them."""

TABLE: tuple[Row, ...] = tuple(row for rows in GROUPS.values() for row in rows)


def as_markdown() -> Iterator[str]:
    """The tables of docs/metrics.md, line by line."""
    for title, rows in GROUPS.items():
        yield f"## {title}"
        yield ""
        yield "| metric | type | labels | what it says |"
        yield "|---|---|---|---|"
        for row in rows:
            labels = ", ".join(f"`{label}`" for label in row.labels)
            yield f"| `{row.shown_name}` | {row.kind} | {labels} | {row.help} |"
        yield ""
