"""Answers of the health monitor: what the registry encodes is what the SDK hands out."""

from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.checks.active import CheckHealth, Result
from orion_registry.core.checks.spec import CheckSpec, ProbeKind, TcpProbe
from orion_registry.core.checks.stats import HealthStats, RunStats
from orion_registry.core.checks.threshold import CheckState
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.core.model import Snapshot, StatusReasonCode
from orion_registry.core.timeline import StatusEdge
from orion_registry.wire.checks import decode_known_checks, encode_check
from orion_registry.wire.monitor import decode_checked, decode_health, decode_health_stats
from orion_registry.wire.monitor_answers import encode_checked, encode_health, encode_health_stats
from orion_registry_pb.v1 import monitor_pb2 as pb
from tests.building import make_snapshot
from tests.wire.values import counts, ids, labels, snapshots, spans, statuses, walls

outcomes = st.builds(
    Outcome,
    verdict=st.sampled_from(Verdict),
    kind=st.sampled_from(ProbeKind),
    detail=labels,
    latency_s=spans,
    attempts=st.integers(1, 24),
)
results = st.builds(Result, check=ids, outcome=outcomes, wall=walls)
healths = st.builds(
    CheckHealth,
    name=ids,
    state=st.sampled_from(CheckState),
    since_wall=walls,
    stale=st.booleans(),
    passes=counts,
    failures=counts,
    interval_s=spans,
    next_run_s=spans,
    results=st.lists(results, max_size=3).map(tuple),
)
maybe = st.none() | spans
codes = st.lists(st.sampled_from(StatusReasonCode), max_size=3).map(tuple)


def run_stats(kinds: st.SearchStrategy[ProbeKind | None]) -> st.SearchStrategy[RunStats]:
    return st.builds(
        RunStats,
        kind=kinds,
        runs=counts,
        passed=counts,
        failed=counts,
        unavailable=counts,
        denied=counts,
        success_rate=st.floats(0, 1),
        average_s=maybe,
        min_s=maybe,
        max_s=maybe,
        p50_s=maybe,
        p95_s=maybe,
        p99_s=maybe,
    )


stats = st.builds(
    HealthStats,
    checks=counts,
    awaiting=counts,
    passing=counts,
    failing=counts,
    stale=counts,
    running=counts,
    waiting=counts,
    total=run_stats(st.none()),
    kinds=st.lists(run_stats(st.sampled_from(ProbeKind)), max_size=3).map(tuple),
)


@given(snapshots(), st.none() | walls, st.lists(healths, max_size=3), st.lists(st.tuples(walls, statuses, codes)))
def test_health(
    snapshot: Snapshot, last: float | None, checks: list[CheckHealth], changes: list[tuple[float, object, object]]
) -> None:
    timeline = tuple(
        StatusEdge(service_id=snapshot.service_id, wall=wall, status=status, codes=why)  # type: ignore[arg-type]
        for wall, status, why in changes
    )
    sent = pb.GetServiceHealthResponse.FromString(encode_health(snapshot, last, checks, timeline))
    got = decode_health(sent)
    assert (got.service_id, got.status, got.ready) == (snapshot.service_id, snapshot.status, snapshot.ready)
    assert (got.reasons, got.revision, got.last_heartbeat) == (snapshot.reasons, snapshot.revision, last)
    assert (got.checks, got.timeline) == (tuple(checks), timeline)


@given(st.lists(results, max_size=4), snapshots())
def test_checked(found: list[Result], snapshot: Snapshot) -> None:
    got = decode_checked(pb.CheckServiceHealthResponse.FromString(encode_checked(found, snapshot)))
    assert got.results == tuple(found)
    assert (got.status, got.reasons, got.ready) == (snapshot.status, snapshot.reasons, snapshot.ready)


@given(stats)
def test_stats(told: HealthStats) -> None:
    assert decode_health_stats(pb.GetHealthStatsResponse.FromString(encode_health_stats(told))) == told


def test_what_this_version_does_not_know_is_left_out() -> None:
    """Of a newer registry: kinds, verdicts and reasons with other numbers."""
    result = Result(check="c", outcome=Outcome(verdict=Verdict.PASSED, kind=ProbeKind.TCP), wall=1.0)
    answer = pb.CheckServiceHealthResponse.FromString(encode_checked([result, result], make_snapshot()))
    answer.results[0].verdict = 99  # type: ignore[assignment]
    answer.status = 99  # type: ignore[assignment]
    answer.reasons[0].code = 99  # type: ignore[assignment]
    got = decode_checked(answer)
    assert (got.results, got.reasons, got.status.name) == ((result,), (), "UNKNOWN")
    known = encode_check(CheckSpec(name="known", probes=(TcpProbe(),)))
    newer = encode_check(CheckSpec(name="newer", probes=(TcpProbe(),)))
    newer.ClearField("tcp")
    backed = encode_check(CheckSpec(name="backed", probes=(TcpProbe(), TcpProbe())))
    backed.fallbacks[0].ClearField("tcp")
    assert [check.name for check in decode_known_checks([newer, known, backed])] == ["known"]
