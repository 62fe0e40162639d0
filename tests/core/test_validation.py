"""core/validation: every limit holds at its edge, and the message names field, limit and what came."""

import math
from dataclasses import replace
from typing import Any

import pytest

from orion_registry.core import limits
from orion_registry.core.admissible import check_spec
from orion_registry.core.model import Load
from orion_registry.core.validation import (
    check_id,
    check_labels,
    check_load,
    check_number,
    check_secret,
    check_text,
)
from orion_registry.errors import InvalidArgument, Reason
from tests.building import make_spec

GOOD_SPECS: list[dict[str, Any]] = [
    {},
    {"agent_id": "a" * 128},
    {"service_id": "a.b_c:d-e"},
    {"port": 0},
    {"port": 65_535},
    {"host": "::1"},
    {"host": "[::1]"},
    {"host": "h" * 253},
    {"host": "xn--bcher-kva.example"},
    {"version": "v" * 128},
    {"zone": ""},
    {"max_concurrency": 1_000_000},
    {"weight": 1000.0},
    {"weight": 1e-9},
    {"liveness_ttl_s": 1.0},
    {"liveness_ttl_s": 86_400.0},
    {"retention_s": 0.0},
    {"retention_s": 30 * 86_400.0},
    {"silence_timeout_s": 1.0},
    {"silence_timeout_s": 86_400.0},
    {"stuck_after_s": 0.0},
    {"stuck_after_s": 86_400.0},
    {"capabilities": tuple(f"c{i}" for i in range(64))},
    {"tags": ("ü with space",)},
]

BAD_SPECS: list[tuple[dict[str, Any], str]] = [
    ({"namespace": ""}, "service.namespace"),
    ({"agent_id": ""}, "service.agent_id"),
    ({"service_name": "a" * 129}, "service.service_name"),
    ({"service_name": "a/b"}, "service.service_name"),
    ({"service_name": "a\n"}, "service.service_name"),
    ({"service_type": ".a"}, "service.service_type"),
    ({"protocol": "ht tp"}, "service.protocol"),
    ({"service_id": "-a"}, "service.service_id"),
    ({"port": -1}, "service.port"),
    ({"port": 70_000}, "service.port"),
    ({"host": "h" * 254}, "service.host"),
    ({"host": "http://host"}, "service.host"),
    ({"host": "user@host"}, "service.host"),
    ({"host": "host:80"}, "service.host"),
    ({"host": "b\u00fccher.example"}, "service.host"),
    ({"host": "\u0430pp"}, "service.host"),
    ({"host": "host\uff0eexample"}, "service.host"),
    ({"host": "a\x00b"}, "service.host"),
    ({"version": "v" * 129}, "service.version"),
    ({"zone": "a\tb"}, "service.zone"),
    ({"health_check_url": "u" * 2049}, "service.health_check_url"),
    ({"max_concurrency": -1}, "service.max_concurrency"),
    ({"max_concurrency": 1_000_001}, "service.max_concurrency"),
    ({"weight": 0.0}, "service.weight"),
    ({"weight": 1000.1}, "service.weight"),
    ({"weight": math.nan}, "service.weight"),
    ({"liveness_ttl_s": 0.9}, "service.liveness_ttl"),
    ({"liveness_ttl_s": math.nan}, "service.liveness_ttl"),
    ({"liveness_ttl_s": 86_401.0}, "service.liveness_ttl"),
    ({"retention_s": -1.0}, "service.retention"),
    ({"retention_s": math.inf}, "service.retention"),
    ({"silence_timeout_s": 0.9}, "service.silence_timeout"),
    ({"silence_timeout_s": math.nan}, "service.silence_timeout"),
    ({"stuck_after_s": -0.1}, "service.stuck_after"),
    ({"stuck_after_s": 86_401.0}, "service.stuck_after"),
    ({"capabilities": ("c" * 129,)}, "service.capabilities[0]"),
    ({"capabilities": ("a", "")}, "service.capabilities[1]"),
    ({"tags": tuple(f"t{i}" for i in range(65))}, "service.tags"),
    ({"tags": (" a",)}, "service.tags[0]"),
    ({"tags": ("a\nb",)}, "service.tags[0]"),
]


@pytest.mark.parametrize("fields", GOOD_SPECS, ids=str)
def test_what_is_within_limits_passes_unchanged(fields: dict[str, Any]) -> None:
    spec = replace(make_spec(), **fields)
    assert check_spec(spec) == spec


@pytest.mark.parametrize(("fields", "field"), BAD_SPECS, ids=lambda case: str(case)[:40])
def test_what_breaks_a_limit_is_refused_by_the_name_of_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_spec(replace(make_spec(), **fields))
    assert caught.value.reason is Reason.BAD_FIELD
    assert caught.value.message.startswith(f"{field}: must be ")
    assert ", got " in caught.value.message


def test_repeated_labels_are_dropped_and_count_once() -> None:
    spec = check_spec(make_spec(capabilities=("b", "a", "b"), tags=("t",) * 100))
    assert (spec.capabilities, spec.tags) == (("b", "a"), ("t",))


@pytest.mark.parametrize("value", ["", " ", "a" * 129, "-", "ä", "a b", "a\n"])
def test_ids(value: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^BAD_FIELD: name: must be 1 to 128 of"):
        check_id("name", value)
    assert check_id("name", "0") == "0"


def test_text_and_labels_return_what_they_checked() -> None:
    assert check_text("zone", "z") == "z"
    assert check_labels("tags", ["a", "a"]) == ("a",)


def test_numbers_include_their_bounds_and_refuse_nan() -> None:
    assert [check_number("n", value, 0, 1) for value in (0, 1)] == [0, 1]
    for value in (-0.1, 1.1, math.nan, math.inf):
        with pytest.raises(InvalidArgument, match="n: must be 0 to 1, got"):
            check_number("n", value, 0, 1)


def test_large_whole_limits_are_told_in_full() -> None:
    with pytest.raises(InvalidArgument, match=r"n: must be 0 to 9,223,372,036,854,775,807, got -1$"):
        check_number("n", -1, 0, 2**63 - 1)
    with pytest.raises(InvalidArgument, match=r"n: must be 0.5 to 86,400, got 0.25$"):
        check_number("n", 0.25, 0.5, 86_400.0)


def test_a_secret_has_a_length_and_its_value_never_shows() -> None:
    assert check_secret("secret", "s" * 32)
    assert check_secret("secret", "ä" * 16), "bytes count, not characters"
    for secret in ("short-secret", "s" * 257, "\ud800"):
        with pytest.raises(InvalidArgument) as caught:
            check_secret("secret", secret)
        assert secret not in str(caught.value)
        assert "bytes" in caught.value.message


GOOD_LOADS = [Load(), Load(in_flight=limits.COUNT, utilization=100.0, named={"gpu": -1.0})]
BAD_LOADS = [
    (Load(in_flight=-1), "load.in_flight"),
    (Load(queue_depth=limits.COUNT + 1), "load.queue_depth"),
    (Load(utilization=math.nan), "load.utilization"),
    (Load(named={str(i): 0.0 for i in range(17)}), "load.named"),
    (Load(named={"a" * 129: 0.0}), "load.named key"),
    (Load(named={"gpu": math.inf}), "load.named['gpu']"),
]


@pytest.mark.parametrize("load", GOOD_LOADS)
def test_load_within_limits(load: Load) -> None:
    assert check_load("load", load) is load


@pytest.mark.parametrize(("load", "field"), BAD_LOADS)
def test_load_beyond_limits(load: Load, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_load("load", load)
    assert caught.value.message.startswith(field)
