"""store/rows: what is written is read back, and nothing else passes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.checks.spec import CheckSpec, HttpProbe, TcpProbe
from orion_registry.store.rows import record_from_json, record_to_json
from tests.building import make_record, make_spec
from tests.wire.values import checks


@given(st.lists(checks, max_size=3))
def test_checks_come_back(some: list[CheckSpec]) -> None:
    record = make_record(make_spec("agent-1", checks=tuple(some)))
    assert record_from_json(record_to_json(record)) == record


HTTP = CheckSpec(name="http", probes=(HttpProbe(headers=(("accept", "text/plain"),)), TcpProbe(port=80)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), 3),
        (("interval_s",), "30"),
        (("interval_s",), None),
        (("fall",), 1.5),
        (("unknown",), 1),
        (("probes", 0, "kind"), "ICQ"),
        (("probes", 0, "port"), "80"),
        (("probes", 0, "https"), 1),
        (("probes", 0, "headers"), [["one"]]),
        (("probes", 1, "service"), "x"),
        (("probes",), 7),
    ],
)
def test_no_other_types_pass(path: tuple[Any, ...], value: object) -> None:
    plain = json.loads(record_to_json(make_record(make_spec("agent-1", checks=(HTTP,)))))
    *way, last = ("spec", "checks", 0, *path)
    inner = plain
    for step in way:
        inner = inner[step]
    inner[last] = value
    with pytest.raises(ValueError, match="not a record"):
        record_from_json(json.dumps(plain))
