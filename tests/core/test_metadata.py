"""core/metadata: one canonical form, within limits, whatever Python is put in."""

import math
from typing import Any

import pytest

from orion_registry.core.metadata import canonical_metadata
from orion_registry.errors import InvalidArgument


def nested(depth: int) -> Any:
    return "leaf" if depth == 1 else [nested(depth - 1)]


GOOD: list[tuple[dict[Any, Any], str]] = [
    ({}, "{}"),
    ({"b": 1, "a": "ü"}, '{"a":"ü","b":1.0}'),
    ({"a": None, "b": True, "c": 1}, '{"a":null,"b":true,"c":1.0}'),
    ({"a": {"z": [1, (2,)], "y": {}}}, '{"a":{"y":{},"z":[1.0,[2.0]]}}'),
    ({"a": nested(8)}, '{"a":[[[[[[["leaf"]]]]]]]}'),
    ({"a": "x" * (16 * 1024 - 8)}, '{"a":"' + "x" * (16 * 1024 - 8) + '"}'),
]

BAD: list[tuple[dict[Any, Any], str]] = [
    ({str(i): 0 for i in range(65)}, "metadata: must be at most 64 keys"),
    ({"a": nested(9)}, "nested at most 8 deep"),
    ({"a": "x" * (16 * 1024 - 7)}, "metadata: must be at most 16,384 bytes as JSON, got 16,385"),
    ({"a": "ü" * 8_200}, "bytes as JSON"),
    ({"a": math.nan}, r"metadata\['a'\]: must be a finite number"),
    ({"a": [{"b": -math.inf}]}, "a finite number"),
    ({"a": 10**400}, "a finite number"),
    ({"a": {1: 2}}, "keyed by strings"),
    ({1: 2, "a": 3}, "keyed by strings"),
    ({"a": b"bytes"}, "null, bool, number, string, list or object, got bytes$"),
]


@pytest.mark.parametrize(("metadata", "text"), GOOD, ids=lambda case: str(case)[:30])
def test_good_metadata_has_one_text(metadata: dict[Any, Any], text: str) -> None:
    assert canonical_metadata(metadata)[0] == text


@pytest.mark.parametrize(("metadata", "message"), BAD, ids=lambda case: str(case)[:30])
def test_bad_metadata_is_refused(metadata: dict[Any, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        canonical_metadata(metadata)


def test_bad_metadata_is_refused_by_the_name_that_its_field_has() -> None:
    cases: tuple[tuple[dict[Any, Any], str], ...] = (
        ({"a": math.inf}, r"x\.y\['a'\]"),
        ({1: 2}, r"x\.y"),
        (dict.fromkeys(map(str, range(65))), r"x\.y"),
    )
    for metadata, where in cases:
        with pytest.raises(InvalidArgument, match=f"^BAD_FIELD: {where}: must be "):
            canonical_metadata(metadata, "x.y")


def test_scalars_are_the_top_level_values_that_are_not_containers() -> None:
    _, scalars = canonical_metadata({"s": "x", "n": 1, "b": False, "z": None, "l": [1], "m": {}})
    assert scalars == {"s": "x", "n": 1.0, "b": False, "z": None}
    assert isinstance(scalars["n"], float)
    assert isinstance(scalars["b"], bool)
