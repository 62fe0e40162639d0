"""What a caller sends on a Route stream, built from values, and what it gets back."""

from collections.abc import Collection

from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.wire.requests import encode_selector
from orion_registry.wire.spans import span_of
from orion_registry.wire.strategies import STRATEGY_NUMBERS
from orion_registry_pb.v1 import balancer_pb2 as pb


def encode_select(
    selector: Selector,
    *,
    strategy: StrategyName | None,
    exclude: Collection[str],
    affinity_key: str,
    wait_s: float,
    ttl_s: float | None,
    allow_degraded: bool,
) -> pb.SelectServiceRequest:
    """One selection; spans in seconds."""
    return pb.SelectServiceRequest(
        selector=encode_selector(selector),
        strategy=pb.SelectionStrategy.ValueType(STRATEGY_NUMBERS[strategy]),
        exclude_service_ids=sorted(exclude),
        affinity_key=affinity_key,
        wait_timeout=span_of(wait_s) if wait_s else None,
        lease_ttl=span_of(ttl_s) if ttl_s is not None else None,
        allow_degraded=allow_degraded,
    )


def encode_release(selection_id: str, outcome: Outcome, response_time_s: float | None) -> pb.ReleaseServiceRequest:
    """The end of a lease."""
    return pb.ReleaseServiceRequest(
        selection_id=selection_id,
        outcome=pb.CallOutcome.ValueType(outcome),
        response_time=None if response_time_s is None else span_of(response_time_s),
    )


def encode_report(service_id: str, outcome: Outcome, response_time_s: float) -> pb.ReportOutcomeRequest:
    """What became of a call without a lease."""
    return pb.ReportOutcomeRequest(
        service_id=service_id, outcome=pb.CallOutcome.ValueType(outcome), response_time=span_of(response_time_s)
    )
