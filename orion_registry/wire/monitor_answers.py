"""Answers of the health monitor as bytes."""

from collections.abc import Iterable, Sequence

from google.protobuf.duration_pb2 import Duration

from orion_registry.core.checks.active import CheckHealth, Result
from orion_registry.core.checks.stats import HealthStats, RunStats
from orion_registry.core.model import Snapshot, StatusReason
from orion_registry.core.timeline import StatusEdge
from orion_registry.wire.spans import span_of, timestamp_of
from orion_registry.wire.status import safe_message
from orion_registry_pb.v1 import monitor_pb2 as pb
from orion_registry_pb.v1 import service_pb2

_Status = service_pb2.ServiceStatus
_Code = service_pb2.StatusReasonCode


def encode_checked(results: Iterable[Result], snapshot: Snapshot) -> bytes:
    """A CheckServiceHealthResponse."""
    return pb.CheckServiceHealthResponse(
        results=map(_result, results),
        status=_Status.ValueType(snapshot.status),
        reasons=map(_reason, snapshot.reasons),
        ready=snapshot.ready,
    ).SerializeToString()


def encode_health(
    snapshot: Snapshot, last_beat_wall: float | None, checks: Iterable[CheckHealth], timeline: Sequence[StatusEdge]
) -> bytes:
    """A GetServiceHealthResponse."""
    return pb.GetServiceHealthResponse(
        service_id=snapshot.service_id,
        status=_Status.ValueType(snapshot.status),
        reasons=map(_reason, snapshot.reasons),
        ready=snapshot.ready,
        last_heartbeat=None if last_beat_wall is None else timestamp_of(last_beat_wall),
        checks=map(_check, checks),
        timeline=map(_change, timeline),
        revision=snapshot.revision,
    ).SerializeToString()


def encode_health_stats(stats: HealthStats) -> bytes:
    """A GetHealthStatsResponse."""
    return pb.GetHealthStatsResponse(
        checks=stats.checks,
        awaiting=stats.awaiting,
        passing=stats.passing,
        failing=stats.failing,
        stale=stats.stale,
        running=stats.running,
        waiting=stats.waiting,
        total=_run_stats(stats.total),
        kinds=map(_run_stats, stats.kinds),
    ).SerializeToString()


def _check(check: CheckHealth) -> pb.CheckHealth:
    return pb.CheckHealth(
        name=check.name,
        state=pb.CheckState.ValueType(check.state),
        since=timestamp_of(check.since_wall),
        stale=check.stale,
        passes=check.passes,
        failures=check.failures,
        interval=span_of(check.interval_s),
        next_run=span_of(check.next_run_s),
        timeline=map(_result, check.results),
    )


def _result(result: Result) -> pb.CheckResult:
    outcome = result.outcome
    return pb.CheckResult(
        check=result.check,
        verdict=pb.CheckVerdict.ValueType(outcome.verdict),
        detail=safe_message(outcome.detail),
        kind=pb.ProbeKind.ValueType(outcome.kind),
        latency=span_of(outcome.latency_s),
        at=timestamp_of(result.wall),
        attempts=outcome.attempts,
    )


def _change(edge: StatusEdge) -> pb.StatusChange:
    return pb.StatusChange(
        at=timestamp_of(edge.wall),
        status=_Status.ValueType(edge.status),
        reasons=[_Code.ValueType(code) for code in edge.codes],
    )


def _reason(reason: StatusReason) -> service_pb2.StatusReason:
    return service_pb2.StatusReason(code=_Code.ValueType(reason.code), since=timestamp_of(reason.since_wall))


def _run_stats(stats: RunStats) -> pb.RunStats:
    return pb.RunStats(
        kind=pb.ProbeKind.ValueType(stats.kind or 0),
        runs=stats.runs,
        passed=stats.passed,
        failed=stats.failed,
        unavailable=stats.unavailable,
        denied=stats.denied,
        success_rate=stats.success_rate,
        average=_span(stats.average_s),
        min=_span(stats.min_s),
        max=_span(stats.max_s),
        p50=_span(stats.p50_s),
        p95=_span(stats.p95_s),
        p99=_span(stats.p99_s),
    )


def _span(seconds: float | None) -> Duration | None:
    return None if seconds is None else span_of(seconds)
