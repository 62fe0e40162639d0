"""core/history: all edges after a revision, or an honest None."""

import pytest

from orion_registry.core.history import Edge, History


def ring_of(capacity: int, *revisions: int) -> History:
    history = History(capacity)
    for revision in revisions:
        history.append(Edge(revision, f"s{revision}", None, None))
    return history


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (6, []),
        (5, [6]),
        (4, [5, 6]),
        (3, [4, 5, 6]),
        (2, None),  # edge 3 fell out
        (1, None),
        (0, None),
        (-1, None),
        (7, None),  # the future
    ],
)
def test_since(since: int, expected: list[int] | None) -> None:
    edges = ring_of(3, 2, 3, 4, 5, 6).since(since, 6)
    assert (edges if edges is None else [edge.revision for edge in edges]) == expected


def test_an_empty_history_knows_the_present_only() -> None:
    assert ring_of(3).since(1, 1) == []
    assert ring_of(3).since(1, 2) is None
