"""core/selector: what each term means, and that equal selectors mean the same query."""

from typing import Any

import pytest

from orion_registry.core.model import ServiceStatus
from orion_registry.core.selector import Selector, check_selector
from orion_registry.errors import InvalidArgument
from tests.building import STATIC, World, make_record, make_snapshot, make_spec

SPEC = make_spec(
    service_type="tool",
    zone="eu",
    capabilities=("add", "sub"),
    tags=("gpu", "beta"),
    metadata_scalars={"one": 1.0, "yes": True, "text": "x", "none": None},
)

TERMS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"namespace": "other"}, False),
    ({"service_type": "tool"}, True),
    ({"service_type": "agent"}, False),
    ({"service_name": "calc"}, True),
    ({"service_name": "cal"}, False),
    ({"agent_id": "agent"}, True),
    ({"agent_id": "b"}, False),
    ({"zone": "eu"}, True),
    ({"zone": "us"}, False),
    ({"capabilities": ("add", "sub")}, True),
    ({"capabilities": ("add", "mul")}, False),
    ({"tags": ("gpu",)}, True),
    ({"tags": ("gpu", "x")}, False),
    ({"tags_any": ("x", "beta")}, True),
    ({"tags_any": ("x",)}, False),
    ({"tags_none": ("x",)}, True),
    ({"tags_none": ("x", "beta")}, False),
    ({"metadata": (("one", 1.0),)}, True),
    ({"metadata": (("one", True),)}, False),
    ({"metadata": (("yes", True),)}, True),
    ({"metadata": (("yes", 1.0),)}, False),
    ({"metadata": (("text", "x"), ("one", 1.0))}, True),
    ({"metadata": (("text", "y"),)}, False),
    ({"metadata": (("none", None),)}, True),
    ({"metadata": (("absent", None),)}, False),
]


@pytest.mark.parametrize(("terms", "matches"), TERMS, ids=str)
def test_terms(terms: dict[str, Any], matches: bool) -> None:
    assert Selector(**terms).matches_spec(SPEC) is matches


@pytest.mark.parametrize(
    ("terms", "status", "ready", "shown"),
    [
        ({}, "HEALTHY", True, True),
        ({}, "HEALTHY", False, False),
        ({"include_not_ready": True}, "UNHEALTHY", False, True),
        ({"statuses": frozenset({ServiceStatus.UNHEALTHY})}, "UNHEALTHY", False, True),
        ({"statuses": frozenset({ServiceStatus.UNHEALTHY})}, "HEALTHY", True, False),
        ({"statuses": frozenset({ServiceStatus.UNHEALTHY}), "include_not_ready": True}, "HEALTHY", True, False),
    ],
)
def test_what_is_shown_by_status(terms: dict[str, Any], status: str, ready: bool, shown: bool) -> None:
    snapshot = make_snapshot(make_record(SPEC), ServiceStatus[status], ready=ready)
    assert Selector(**terms).shows(snapshot) is shown
    assert Selector(**terms).matches(snapshot) is shown
    assert Selector(**terms, zone="us").matches(snapshot) is False


BAD: list[tuple[dict[str, Any], str]] = [
    ({"namespace": ""}, "selector.namespace"),
    ({"service_type": "a b"}, "selector.service_type"),
    ({"service_name": "/"}, "selector.service_name"),
    ({"agent_id": "a" * 129}, "selector.agent_id"),
    ({"zone": "z" * 129}, "selector.zone"),
    ({"capabilities": ("",)}, r"selector.capabilities\[0\]"),
    ({"tags": tuple(str(i) for i in range(65))}, "selector.tags"),
    ({"tags_any": (" ",)}, "selector.tags_any"),
    ({"tags_none": ("a\n",)}, "selector.tags_none"),
    ({"metadata": tuple((str(i), 1.0) for i in range(65))}, "selector.metadata"),
    ({"statuses": frozenset({ServiceStatus.UNSPECIFIED})}, "selector.statuses"),
]


@pytest.mark.parametrize(("terms", "field"), BAD, ids=lambda case: str(case)[:40])
def test_limits(terms: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument, match=field):
        check_selector(Selector(**terms))


def test_repeated_labels_cost_nothing_later() -> None:
    """A hostile selector of 100,000 repeats would be walked at every edge."""
    assert check_selector(Selector(tags=("a",) * 100_000, tags_any=("b",))).tags == ("a",)
    world = World()
    assert world.registry.watch(Selector(tags=("a",) * 100_000)).selector.tags == ("a",)


def test_a_checked_selector_without_repeats_is_itself() -> None:
    selector = Selector(tags=("a", "b"), service_name="calc")
    assert check_selector(selector) is selector


def test_true_and_one_are_different_queries() -> None:
    """They share hash and equality in Python, so a view of one must not answer the other."""
    yes, one = Selector(metadata=(("k", True),)), Selector(metadata=(("k", 1.0),))
    assert yes != one
    world = World()
    world.add("a", liveness=STATIC, metadata_json='{"k":true}', metadata_scalars={"k": True})
    assert len(world.found(yes)) == 1
    assert world.found(one) == []
