"""Answers of BalancerService as bytes."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from google.protobuf.duration_pb2 import Duration

from orion_registry.core.holder import name_of
from orion_registry.core.selection.explain import Considered, Explanation, Verdict
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.slots import Slots
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.errors import RegistryError
from orion_registry.wire.encode import HasSnapshot, encode_entry
from orion_registry.wire.packing import blob, number, varint
from orion_registry.wire.spans import span_of
from orion_registry.wire.status import encode_error
from orion_registry.wire.strategies import STRATEGY_NUMBERS
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1 import service_pb2

_VERDICTS = {verdict: n for n, verdict in enumerate(Verdict, 1)}

CANDIDATES = 1_000
"""Candidates of one explanation."""


@lru_cache(maxsize=256)
def encode_ttl(seconds: float) -> bytes:
    """How long a selection lasts, as a field of it."""
    return blob(3, span_of(seconds).SerializeToString())


def encode_selection(lease: Lease, entry: HasSnapshot | None, left_s: float) -> bytes:
    """One selection, as a field of SelectServiceResponse."""
    if entry is None:
        service = service_pb2.ServiceInfo(service_id=lease.slots.service_id).SerializeToString()
    else:
        service = encode_entry(entry)
    name, ttl = lease.selection_id.encode(), encode_ttl(left_s)
    name_size, size = varint(len(name)), varint(len(service))
    # As blob(1, blob(1, name) + blob(2, service) + ttl), joined once.
    inner = 2 + len(name_size) + len(name) + len(size) + len(service) + len(ttl)
    return b"".join((b"\x0a", varint(inner), b"\x0a", name_size, name, b"\x12", size, service, ttl))


def encode_renewal(selection_id: str, outcome: float | RegistryError) -> bytes:
    """One renewal, as a field of RenewSelectionsResponse: how long the lease lasts now, or why it was refused."""
    name = blob(1, selection_id.encode())
    if isinstance(outcome, RegistryError):
        return blob(1, name + blob(3, encode_error(outcome).SerializeToString()))
    return blob(1, name + blob(2, span_of(round(outcome, 3)).SerializeToString()))


def encode_listed(leases: Iterable[tuple[Lease, float, float]], token: str) -> bytes:
    """A ListSelectionsResponse: leases, with age and what is left of each in seconds."""
    answer = pb.ListSelectionsResponse(next_page_token=token)
    for lease, age_s, left_s in leases:
        answer.selections.add(
            selection_id=lease.selection_id,
            service_id=lease.slots.service_id,
            caller=name_of(lease),
            age=span_of(age_s),
            ttl=span_of(left_s),
            on_stream=bool(lease.stream),
        )
    return answer.SerializeToString()


def encode_strategy_set(previous: StrategyName | None) -> bytes:
    """A SetStrategyResponse."""
    return number(1, STRATEGY_NUMBERS[previous])


def encode_explanation(told: Explanation, waiting: int) -> bytes:
    """An ExplainSelectionResponse."""
    shown = list(islice(told.candidates, CANDIDATES))
    if len(told.candidates) > CANDIDATES and all(one.verdict is not Verdict.CHOSEN for one in shown):
        shown[-1:] = [one for one in told.candidates if one.verdict is Verdict.CHOSEN] or shown[-1:]
    return pb.ExplainSelectionResponse(
        strategy=pb.SelectionStrategy.ValueType(STRATEGY_NUMBERS[told.strategy]),
        chosen_service_id=told.chosen or "",
        reason=told.reason,
        candidates=[_candidate(one) for one in shown],
        candidate_count=len(told.candidates),
        waiting=waiting,
        preferred_zone=told.near,
    ).SerializeToString()


def _candidate(one: Considered) -> pb.Candidate:
    return pb.Candidate(
        service_id=one.service_id,
        verdict=pb.CandidateVerdict.ValueType(_VERDICTS[one.verdict]),
        tier=one.tier,
        zone=one.zone,
        weight=one.weight,
        warmth=one.warmth,
        in_flight=one.in_flight,
        max_concurrency=one.max_concurrency,
        leases=one.leases,
        success_rate=one.success_rate,
        mean=span_of(one.mean_s),
        ejected=one.ejected,
        cost=one.cost,
    )


def encode_stats(stats: BalancerStats, streams: int) -> bytes:
    """A GetBalancerStatsResponse."""
    answer = pb.GetBalancerStatsResponse(
        leases_open=stats.leases_open,
        leases_expired=stats.leases_expired,
        waiting=stats.waiting,
        ejected=stats.ejected,
        pools=stats.pools,
        streams=streams,
    )
    for name, totals in stats.strategies.items():
        answer.strategies.add(
            strategy=pb.SelectionStrategy.ValueType(STRATEGY_NUMBERS[name]),
            selections=totals.selections,
            switches=totals.switches,
            failures=totals.failures,
        )
    for scope, name in stats.scopes.items():
        answer.scopes.add(
            service_name=scope.service_name,
            capability=scope.capability,
            strategy=pb.SelectionStrategy.ValueType(STRATEGY_NUMBERS[name]),
        )
    return answer.SerializeToString()


def encode_performance(slots: Slots) -> bytes:
    """A GetServicePerformanceResponse."""
    seen = slots.performance
    times = seen.times

    def span(seconds: float) -> Duration | None:
        return span_of(seconds) if times.count else None

    return pb.GetServicePerformanceResponse(
        service_id=slots.service_id,
        in_flight=slots.in_flight,
        leases=len(slots.leases),
        max_concurrency=slots.max_concurrency,
        weight=slots.weight,
        succeeded=seen.succeeded,
        failed=seen.failed,
        success_rate=seen.success_rate,
        average=span(times.average_s),
        min=span(times.min_s),
        max=span(times.max_s),
        p50=span(times.quantile(0.5)),
        p95=span(times.quantile(0.95)),
        ejected=slots.ejected,
    ).SerializeToString()
