"""The bench's own arithmetic, without a bench."""

import pytest

from orion_registry_pb.v1 import registry_pb2
from tests.bench.durable import registration
from tests.bench.etcd import put_request
from tests.bench.figures import BUDGETS, Budget, Figure, table
from tests.bench.numbers import NUMBER


def figure(name: str, ours: list[float], reference: list[float], *, inverse: bool = False) -> Figure:
    made = Figure(name=name, what=name, unit="us", inverse=inverse)
    for pair in zip(ours, reference, strict=True):
        made.add(*pair)
    return made


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """One disturbed round changes nothing."""
    assert figure("beat", [100.0, 120.0, 900.0], [100.0, 100.0, 100.0]).ratio == pytest.approx(1.2)
    assert figure("get", [100.0, 125.0, 900.0], [100.0, 100.0, 100.0], inverse=True).ratio == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("budget", "ratio", "held", "held_quick"),
    [
        (Budget(limit=0.7, at_least=True), 0.70, True, True),
        (Budget(limit=0.7, at_least=True), 0.69, False, True),
        (Budget(limit=0.7, at_least=True), 0.34, False, False),
        (Budget(limit=1.3, at_least=False), 1.30, True, True),
        (Budget(limit=1.3, at_least=False), 1.31, False, True),
        (Budget(limit=1.3, at_least=False), 2.61, False, False),
    ],
)
def test_a_quick_run_guards_only_against_ratios_that_halve(
    budget: Budget, ratio: float, held: bool, held_quick: bool
) -> None:
    assert (budget.allows(ratio), budget.allows(ratio, quick=True)) == (held, held_quick)


def test_the_table_names_what_was_missed() -> None:
    slow, told = figure("beat", [2.0], [1.0]), figure("discover-speed", [1.0], [2.0])
    lines = table([slow, told], quick=False).splitlines()
    assert lines[1].endswith("MISSED")
    assert lines[2].endswith("-"), "a figure without a budget is told, not judged"
    assert "beat" in BUDGETS


def test_a_budget_may_be_absolute_and_a_reference_missing() -> None:
    """Durable writes are judged by themselves: where etcd is not installed there is nothing beside them."""
    alone = Figure(name="durable-256", what="durable", unit="writes/s", beside="etcd")
    alone.add(2_100.0, None)
    assert (alone.ratio, alone.ratios, alone.verdict(quick=False)) == (None, [], "held")
    assert table([alone], quick=False).splitlines()[1].split() == [
        "durable", "(etcd)", "2100.0", "writes/s", ">=", "2,000", "held"
    ]  # fmt: skip
    beside = figure("durable-256", [1_900.0], [100.0])
    assert (beside.verdict(quick=False), beside.verdict(quick=True)) == ("MISSED", "-"), (
        "a ratio of 19 helps not; the quick form judges ratios only"
    )


def test_requests_of_durable_writes_differ_by_a_number_of_fixed_width() -> None:
    """The client replaces bytes: no length on the wire may change with them."""
    numbered = registration().replace(NUMBER, b"0000012345")
    request = registry_pb2.RegisterServiceRequest.FromString(numbered)
    assert (request.service.agent_id, request.secret[:11]) == ("agent-0000012345", "0000012345x")
    assert put_request(b"k", b"v" * 300) == b"\x0a\x01k\x12\xac\x02" + b"v" * 300
