"""How services and their checks are, as the SDK hands it out: plain Python values, none of protobuf."""

from collections.abc import Iterable
from dataclasses import dataclass

from orion_registry.core.checks.active import CheckHealth, Result
from orion_registry.core.checks.spec import ProbeKind
from orion_registry.core.checks.stats import HealthStats, RunStats
from orion_registry.core.checks.threshold import CheckState
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.core.model import ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.core.timeline import StatusEdge
from orion_registry.wire.enums import known
from orion_registry.wire.service import decode_reasons
from orion_registry.wire.spans import decode_known_span, wall_of
from orion_registry_pb.v1 import monitor_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHealth:
    """How a service is and why, as the registry saw it when it answered.

    Attributes:
        service_id: which service.
        reasons: why it has its status, the worst first.
        ready: whether it may be selected.
        last_heartbeat: when it was last heard of, seconds since 1970 (a label); None = never.
        checks: in the order of its configuration, each with its last runs.
        timeline: its last changes of status, the oldest first.
        revision: of its last change.
    """

    service_id: str
    status: ServiceStatus
    reasons: tuple[StatusReason, ...]
    ready: bool
    last_heartbeat: float | None
    checks: tuple[CheckHealth, ...]
    timeline: tuple[StatusEdge, ...]
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedNow:
    """What checks found that were run on demand, and how their service is after that. reasons: the worst first."""

    results: tuple[Result, ...]
    status: ServiceStatus
    reasons: tuple[StatusReason, ...]
    ready: bool


def decode_health(answer: pb.GetServiceHealthResponse) -> ServiceHealth:
    """What GetServiceHealth answered. Reasons and runs that this version does not know are left out."""
    return ServiceHealth(
        service_id=answer.service_id,
        status=known(ServiceStatus, answer.status, ServiceStatus.UNKNOWN),
        reasons=decode_reasons(answer.reasons),
        ready=answer.ready,
        last_heartbeat=wall_of(answer.last_heartbeat) if answer.HasField("last_heartbeat") else None,
        checks=tuple(map(_check, answer.checks)),
        timeline=tuple(_change(answer.service_id, change) for change in answer.timeline),
        revision=answer.revision,
    )


def decode_checked(answer: pb.CheckServiceHealthResponse) -> CheckedNow:
    """What CheckServiceHealth answered."""
    return CheckedNow(
        results=_results(answer.results),
        status=known(ServiceStatus, answer.status, ServiceStatus.UNKNOWN),
        reasons=decode_reasons(answer.reasons),
        ready=answer.ready,
    )


def decode_health_stats(answer: pb.GetHealthStatsResponse) -> HealthStats:
    """What GetHealthStats answered."""
    return HealthStats(
        checks=answer.checks,
        awaiting=answer.awaiting,
        passing=answer.passing,
        failing=answer.failing,
        stale=answer.stale,
        running=answer.running,
        waiting=answer.waiting,
        total=_run_stats(answer.total),
        kinds=tuple(_run_stats(stats) for stats in answer.kinds if stats.kind in _KINDS),
    )


def _check(check: pb.CheckHealth) -> CheckHealth:
    return CheckHealth(
        name=check.name,
        state=known(CheckState, check.state, CheckState.AWAITING),
        since_wall=wall_of(check.since),
        stale=check.stale,
        passes=check.passes,
        failures=check.failures,
        interval_s=decode_known_span(check.interval),
        next_run_s=decode_known_span(check.next_run),
        results=_results(check.timeline),
    )


def _results(results: Iterable[pb.CheckResult]) -> tuple[Result, ...]:
    return tuple(_result(result) for result in results if result.verdict in _VERDICTS and result.kind in _KINDS)


def _result(result: pb.CheckResult) -> Result:
    outcome = Outcome(
        verdict=Verdict(result.verdict),
        kind=ProbeKind(result.kind),
        detail=result.detail,
        latency_s=decode_known_span(result.latency),
        attempts=result.attempts,
    )
    return Result(check=result.check, outcome=outcome, wall=wall_of(result.at))


def _change(service_id: str, change: pb.StatusChange) -> StatusEdge:
    return StatusEdge(
        service_id=service_id,
        wall=wall_of(change.at),
        status=known(ServiceStatus, change.status, ServiceStatus.UNKNOWN),
        codes=tuple(StatusReasonCode(code) for code in change.reasons if code in _CODES),
    )


def _run_stats(stats: pb.RunStats) -> RunStats:
    return RunStats(
        kind=ProbeKind(stats.kind) if stats.kind in _KINDS else None,
        runs=stats.runs,
        passed=stats.passed,
        failed=stats.failed,
        unavailable=stats.unavailable,
        denied=stats.denied,
        success_rate=stats.success_rate,
        average_s=decode_known_span(stats.average) if stats.HasField("average") else None,
        min_s=decode_known_span(stats.min) if stats.HasField("min") else None,
        max_s=decode_known_span(stats.max) if stats.HasField("max") else None,
        p50_s=decode_known_span(stats.p50) if stats.HasField("p50") else None,
        p95_s=decode_known_span(stats.p95) if stats.HasField("p95") else None,
        p99_s=decode_known_span(stats.p99) if stats.HasField("p99") else None,
    )


_VERDICTS = frozenset(map(int, Verdict))
_KINDS = frozenset(map(int, ProbeKind))
_CODES = frozenset(map(int, StatusReasonCode))
