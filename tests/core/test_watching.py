"""core/watching: a watcher misses no last state, and what is pending is bounded by what is in view."""

from collections.abc import Sequence

from orion_registry.core.history import Edge
from orion_registry.core.model import RemovalReason, Snapshot
from orion_registry.core.selector import Selector
from orion_registry.core.watching import WatchBuffer, WatchKind, in_view
from tests.building import ALL, make_record, make_snapshot, make_spec

READY = Selector()


def state(name: str, *, ready: bool = True, revision: int = 1) -> Snapshot:
    return make_snapshot(make_record(make_spec(service_id=name)), ready=ready, revision=revision)


def edge(
    before: Snapshot | None, after: Snapshot | None, removal: RemovalReason | None = None, revision: int = 9
) -> Edge:
    known = after or before
    assert known is not None
    return Edge(revision, known.service_id, before, after, removal)


def tell(buffer: WatchBuffer, *edges: Edge) -> None:
    for item in edges:
        buffer.offer(item, *in_view(buffer.selector, item))


def taken(buffer: WatchBuffer, most: int = 100, revision: int = 50) -> list[str]:
    return [
        f"{event.kind.name} {event.snapshot.service_id}" if event.snapshot else event.kind.name
        for event in buffer.take(most, revision).events
    ]


def started(selector: Selector = READY, members: Sequence[Snapshot] = ()) -> WatchBuffer:
    buffer = WatchBuffer(selector)
    buffer.start(members, resync=False)
    buffer.take(100, 5)
    return buffer


def test_a_snapshot_ends_with_a_bookmark() -> None:
    buffer = WatchBuffer(READY)
    buffer.start([state("a"), state("b"), state("c")], resync=False)
    first = buffer.take(2, 7)
    assert [event.kind.name for event in first.events] == ["ADDED", "ADDED"]
    assert first.revision == 0, "a part of a snapshot is nothing to resume from"
    last = buffer.take(2, 7)
    assert [event.kind.name for event in last.events] == ["ADDED", "BOOKMARK"]
    assert last.revision == 7
    assert buffer.idle


def test_a_resync_is_told_first_and_once() -> None:
    buffer = WatchBuffer(READY)
    buffer.start([state("a")], resync=True)
    assert taken(buffer) == ["RESYNC", "ADDED a", "BOOKMARK"]
    assert taken(buffer) == []


def test_an_empty_snapshot_still_says_that_it_is_done() -> None:
    buffer = WatchBuffer(READY)
    buffer.start([], resync=False)
    assert not buffer.idle
    assert taken(buffer) == ["BOOKMARK"]


def test_changes_in_view_and_across_its_border() -> None:
    ready, gone = state("a"), state("a", ready=False)
    table: list[tuple[Selector, list[Edge], list[str]]] = [
        (READY, [edge(None, ready)], ["ADDED a"]),
        (READY, [edge(None, gone)], []),
        (READY, [edge(gone, ready)], ["ADDED a"]),
        (READY, [edge(ready, gone)], ["REMOVED a"]),
        (READY, [edge(gone, gone)], []),
        (ALL, [edge(ready, gone)], ["MODIFIED a"]),
        (ALL, [edge(ready, None, RemovalReason.EXPIRED)], ["REMOVED a"]),
        (READY, [edge(gone, None, RemovalReason.EXPIRED)], []),
    ]
    for selector, edges, expected in table:
        buffer = started(selector)
        tell(buffer, *edges)
        assert taken(buffer) == expected


def test_several_changes_of_a_service_become_its_last_state() -> None:
    ready, newer, gone = state("a"), state("a", revision=2), state("a", ready=False)
    end = edge(newer, None, RemovalReason.REMOVED)
    table: list[tuple[list[Edge], list[str]]] = [
        ([edge(None, ready), edge(ready, newer)], ["ADDED a"]),
        ([edge(None, ready), edge(ready, None, RemovalReason.REMOVED)], []),
        ([edge(ready, newer), end], ["REMOVED a"]),
        ([edge(ready, gone), edge(gone, newer)], ["MODIFIED a"]),
        ([end, edge(None, ready)], ["MODIFIED a"]),
        ([edge(None, ready), edge(ready, gone), edge(gone, ready)], ["ADDED a"]),
    ]
    for edges, expected in table:
        buffer = started()
        tell(buffer, *edges)
        assert taken(buffer) == expected


def test_a_removal_says_how_and_with_the_last_state() -> None:
    ready, gone = state("a"), state("a", ready=False)
    buffer = started()
    tell(buffer, edge(ready, gone))
    (event,) = buffer.take(9, 9).events
    assert (event.removal, event.snapshot) == (RemovalReason.OUT_OF_VIEW, gone)
    tell(buffer, edge(ready, None, RemovalReason.EXPIRED))
    (event,) = buffer.take(9, 9).events
    assert (event.removal, event.snapshot) == (RemovalReason.EXPIRED, ready)


def test_the_revision_moves_when_nothing_is_pending() -> None:
    buffer = started()
    tell(buffer, edge(None, state("a")), edge(None, state("b")))
    assert buffer.take(1, 20).revision == 5
    assert buffer.take(1, 21).revision == 21


def test_what_is_pending_is_bounded_by_the_view() -> None:
    buffer = started()
    for revision in range(1_000):
        tell(buffer, edge(state("a"), state("a", revision=revision)))
        tell(buffer, edge(None, state("b")), edge(state("b"), None, RemovalReason.REMOVED))
    assert len(buffer._pending) == 1


def test_a_bookmark_waits_until_nothing_is_pending() -> None:
    buffer = started()
    tell(buffer, edge(None, state("a")), edge(None, state("b")))
    buffer.bookmark()
    assert taken(buffer, 1) == ["ADDED a"]
    assert taken(buffer, 1) == ["ADDED b", "BOOKMARK"]


def test_resuming_tells_what_changed_since() -> None:
    old, new = state("a"), state("a", revision=3)
    buffer = WatchBuffer(READY)
    buffer.resume([edge(old, new), edge(None, state("b")), edge(state("c"), None, RemovalReason.REMOVED)], 4)
    assert taken(buffer) == ["MODIFIED a", "ADDED b", "REMOVED c", "BOOKMARK"]


def test_resuming_takes_back_what_may_have_been_told_before_the_cut() -> None:
    """The first watch told of `a` within a part of its news, and was cut before its revision moved: `a` came and went
    since that revision, yet the watcher has it."""
    a, hidden = state("a"), state("h", ready=False)
    buffer = WatchBuffer(READY)
    buffer.resume([edge(None, a), edge(a, None, RemovalReason.EXPIRED), edge(None, hidden), edge(hidden, None)], 4)
    assert taken(buffer) == ["REMOVED a", "BOOKMARK"], "never of one that was not in view"


def test_resuming_takes_back_what_goes_before_it_is_told() -> None:
    buffer = WatchBuffer(READY)
    buffer.resume([edge(None, state("a"))], 4)
    tell(buffer, edge(state("a"), None, RemovalReason.EXPIRED))
    assert taken(buffer) == ["REMOVED a", "BOOKMARK"]


def test_kinds_have_the_numbers_of_the_wire() -> None:
    assert [kind.name for kind in WatchKind] == ["ADDED", "MODIFIED", "REMOVED", "BOOKMARK", "RESYNC"]
    assert [kind.value for kind in WatchKind] == [1, 2, 3, 4, 5]
