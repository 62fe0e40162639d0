"""The words of the filter of top: the same lines as in the page's own tests."""

import pytest

from orion_registry.cli.top.query import read_query
from orion_registry.cli.top.row import Row
from orion_registry.core.model import StatusReasonCode
from orion_registry.wire.service import Service
from tests.cli.top_building import fallen, late, service


def matches(line: str, one: Service | None = None) -> bool:
    row = Row(one or service())
    return read_query(line).matches(row.facts, row.text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", True),
        ("status:healthy", True),
        ("status:unhealthy", False),
        ("status:unhealthy,healthy", True),
        ("STATUS:Healthy", True),
        ("cap:math.add", True),
        ("cap:math", True),
        ("cap:=math", False),
        ("cap:=math.add", True),
        ("cap:math.*", True),
        ("capability:math.add", True),
        ("cap:add", False),
        ("cap:math.add cap:math.multiply", True),
        ("tag:gpu", True),
        ("-tag:gpu", False),
        ("-tag:slow", True),
        ("zone:eu", True),
        ("zone:us-1,eu-1", True),
        ("name:calc agent:ada version:1.2", True),
        ("id:id-of host:10.0 type:agent", True),
        ("ns:default", True),
        ("meta:owner", True),
        ("meta:owner=ann", True),
        ("meta:owner=bob", False),
        ("meta:own", False),
        ("meta:pid=7", True),
        ("reason:stream", True),
        ('reason:"stream open"', True),
        ("is:ready", True),
        ("is:degraded", False),
        ("-is:degraded", True),
        ("ada", True),
        ("ADA", True),
        ("-ada", False),
        ('"math.add"', True),
        ("nobody", False),
        ("calc nobody", False),
    ],
)
def test_a_line_matches(line: str, expected: bool) -> None:
    assert matches(line) is expected


@pytest.mark.parametrize("line", ["status:", "cap:=", "-", "is:re", '"', "meta:", "zone:,"])
def test_what_is_half_typed_does_not_restrict(line: str) -> None:
    assert matches(line)


def test_the_states_of_a_service() -> None:
    assert matches("is:degraded status:healthy is:ready", late())
    assert not matches("is:ready", fallen())
    assert matches("status:unhealthy reason:disconnected", fallen())
    assert matches("is:draining", service(reason=StatusReasonCode.DRAINED))
    assert matches("is:static", service(reason=StatusReasonCode.STATIC))
    assert matches("is:static,degraded", late())


def test_a_word_that_does_not_exist_is_told_and_looked_for_as_text() -> None:
    assert read_query("colour:red").unknown == ("colour",)
    assert not matches("colour:red")
    assert matches("10.0.0.7:9000"), "what is no word at all is text"
    assert read_query("10.0.0.7:9000").unknown == ()
    assert read_query("is:blue").unknown == ("is:blue",)
    assert read_query("http://x").unknown == ()


def test_quotes_hold_a_term_together() -> None:
    spaced = service(tags=("two words", "a,b"))
    assert matches('tag:"two words"', spaced)
    assert matches('tag:"two w', spaced)
    assert matches('tag:="a,b"', spaced)
    assert not matches('tag:"two  words"', spaced)
