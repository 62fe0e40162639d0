"""What a registry tells of its selections, as the SDK hands it out: plain Python values, none of protobuf."""

from dataclasses import dataclass
from typing import Literal

from orion_registry.core.selection.candidate import Tier
from orion_registry.core.selection.explain import Considered, Verdict
from orion_registry.core.selection.scopes import Scope
from orion_registry.core.selection.strategy import StrategyName, StrategyStats
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.wire.enums import known
from orion_registry.wire.spans import decode_known_span
from orion_registry.wire.strategies import STRATEGIES
from orion_registry_pb.v1 import balancer_pb2 as pb

_VERDICTS = dict(enumerate(Verdict, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLease:
    """An open lease: on which service, of which caller, its age and what is left of it in seconds.

    on_stream: it lives on a Route stream that is open; one of another member that was killed counts as open.
    """

    selection_id: str
    service_id: str
    caller: str
    age_s: float
    left_s: float
    on_stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What a selection would choose now, and why.

    Attributes:
        strategy: that applies; None = one that this version does not know.
        chosen: service_id of the one; None = none.
        reason: the whole story in one line.
        candidates: all that match, up to 1,000. candidate_count: how many they are.
        waiting: callers that wait for these.
        near: the caller's zone if it goes first, else empty.
    """

    strategy: StrategyName | None
    chosen: str | None
    reason: str
    candidates: tuple[Considered, ...]
    candidate_count: int
    waiting: int
    near: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePerformance:
    """What the calls to one service have shown in this life of the registry; spans in seconds, None = no call yet."""

    service_id: str
    in_flight: int
    leases: int
    max_concurrency: int
    weight: float
    succeeded: int
    failed: int
    success_rate: float
    average_s: float | None
    min_s: float | None
    max_s: float | None
    p50_s: float | None
    p95_s: float | None
    ejected: bool


def decode_lease(lease: pb.OpenSelection) -> OpenLease:
    """One open lease."""
    return OpenLease(
        selection_id=lease.selection_id,
        service_id=lease.service_id,
        caller=lease.caller,
        age_s=decode_known_span(lease.age),
        left_s=decode_known_span(lease.ttl),
        on_stream=lease.on_stream,
    )


def decode_explanation(answer: pb.ExplainSelectionResponse) -> Explained:
    """An explanation. Candidates with a verdict that this version does not know count as OUTRANKED."""
    return Explained(
        strategy=STRATEGIES.get(answer.strategy),
        chosen=answer.chosen_service_id or None,
        reason=answer.reason,
        candidates=tuple(map(_candidate, answer.candidates)),
        candidate_count=answer.candidate_count,
        waiting=answer.waiting,
        near=answer.preferred_zone,
    )


def _candidate(one: pb.Candidate) -> Considered:
    return Considered(
        service_id=one.service_id,
        verdict=_VERDICTS.get(one.verdict, Verdict.OUTRANKED),
        tier=known(Tier, one.tier, Tier(max(Tier))),
        zone=one.zone,
        weight=one.weight,
        warmth=one.warmth,
        in_flight=one.in_flight,
        max_concurrency=one.max_concurrency,
        leases=one.leases,
        success_rate=one.success_rate,
        mean_s=decode_known_span(one.mean),
        ejected=one.ejected,
        cost=one.cost if one.HasField("cost") else None,
    )


def decode_stats(answer: pb.GetBalancerStatsResponse) -> tuple[BalancerStats, int]:
    """Selection in numbers, and how many Route streams are open. Strategies not known here are left out."""
    strategies = ((STRATEGIES.get(row.strategy), row) for row in answer.strategies)
    scopes = ((STRATEGIES.get(row.strategy), row) for row in answer.scopes)
    stats = BalancerStats(
        leases_open=answer.leases_open,
        leases_expired=answer.leases_expired,
        waiting=answer.waiting,
        ejected=answer.ejected,
        pools=answer.pools,
        strategies={
            name: StrategyStats(selections=row.selections, switches=row.switches, failures=row.failures)
            for name, row in strategies
            if name is not None
        },
        scopes={
            Scope(service_name=row.service_name, capability=row.capability): name
            for name, row in scopes
            if name is not None
        },
    )
    return stats, answer.streams


def decode_performance(answer: pb.GetServicePerformanceResponse) -> ServicePerformance:
    """What the calls to one service have shown."""

    def span(name: Literal["average", "min", "max", "p50", "p95"]) -> float | None:
        return decode_known_span(getattr(answer, name)) if answer.HasField(name) else None

    return ServicePerformance(
        service_id=answer.service_id,
        in_flight=answer.in_flight,
        leases=answer.leases,
        max_concurrency=answer.max_concurrency,
        weight=answer.weight,
        succeeded=answer.succeeded,
        failed=answer.failed,
        success_rate=answer.success_rate,
        average_s=span("average"),
        min_s=span("min"),
        max_s=span("max"),
        p50_s=span("p50"),
        p95_s=span("p95"),
        ejected=answer.ejected,
    )
