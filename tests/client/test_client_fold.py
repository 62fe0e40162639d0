"""A watch's fold is what the registry has, never goes back, and its events add up to it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orion_registry.client.fold import Fold, Mark, WatchBatch, WatchEvent, WatchKind, coalesce
from orion_registry.core.model import RemovalReason
from orion_registry.wire.service import Service


def service(name: str, generation: int = 1) -> Service:
    return Service(service_id=name, agent_id="a", service_name="s", generation=generation)


def event(kind: WatchKind, name: str, generation: int = 1) -> WatchEvent:
    removal = RemovalReason.UNREGISTERED if kind is WatchKind.REMOVED else None
    return WatchEvent(kind=kind, service=service(name, generation), removal=removal)


def added(name: str, generation: int = 1) -> WatchEvent:
    return event(WatchKind.ADDED, name, generation)


def batch(*items: WatchEvent | Mark, revision: int = 1, history: str = "h") -> WatchBatch:
    return WatchBatch(items=items, revision=revision, history_id=history)


def told(events: list[WatchEvent]) -> list[tuple[str, str]]:
    return [(one.kind.value, "" if one.service is None else one.service.service_id) for one in events]


def synced_fold(*names: str, revision: int = 5) -> Fold:
    fold = Fold()
    fold.stream_started()
    fold.apply(batch(*(added(name) for name in names), Mark.BOOKMARK, revision=revision))
    return fold


def test_snapshot_is_shown_whole_at_its_bookmark() -> None:
    fold = Fold()
    fold.stream_started()
    assert fold.apply(batch(added("x"), revision=0)) == []
    assert not fold.services
    assert fold.position == (0, "")
    events = fold.apply(batch(added("y"), Mark.BOOKMARK, revision=7))
    assert told(events) == [("added", "x"), ("added", "y"), ("synced", "")]
    assert fold.position == (7, "h")


def test_resumed_changes_are_shown_as_they_come() -> None:
    fold = synced_fold("x")
    fold.stream_started()
    events = fold.apply(batch(event(WatchKind.MODIFIED, "x", 2), added("y"), revision=5))
    assert told(events) == [("modified", "x"), ("added", "y")]
    assert told(fold.apply(batch(event(WatchKind.REMOVED, "y"), Mark.BOOKMARK, revision=8))) == [
        ("removed", "y"),
        ("synced", ""),
    ]
    assert fold.position == (8, "h")
    assert told(fold.apply(batch(Mark.BOOKMARK, revision=9))) == [], "later bookmarks only move the position"
    assert fold.position == (9, "h")


def test_resync_drops_what_was_not_added_again_and_tells_only_differences() -> None:
    fold = synced_fold("x", "y", "z")
    fold.stream_started()
    assert fold.apply(batch(Mark.RESYNC, added("y"), revision=0, history="new")) == []
    assert set(fold.services) == {"x", "y", "z"}, "the old view stays until the new one is whole"
    events = fold.apply(batch(added("z", 2), added("w"), Mark.BOOKMARK, revision=3, history="new"))
    assert told(events) == [("removed", "x"), ("modified", "z"), ("added", "w"), ("synced", "")]
    assert fold.position == (3, "new")


def test_a_resync_cut_short_changes_nothing() -> None:
    fold = synced_fold("x", "y")
    fold.stream_started()
    fold.apply(batch(Mark.RESYNC, added("y", 9), revision=0, history="new"))
    fold.stream_started()
    assert fold.position == (5, "h")
    assert fold.services == {"x": service("x"), "y": service("y")}
    assert told(fold.apply(batch(added("x", 2), revision=6))) == [("modified", "x")]


def test_an_older_answer_of_the_same_history_is_ignored() -> None:
    fold = synced_fold("x", revision=10)
    fold.stream_started()
    assert fold.apply(batch(event(WatchKind.MODIFIED, "x", 2), revision=4)) == []
    assert fold.services["x"].generation == 1
    assert fold.position == (10, "h")


def test_pending_events_merge_to_the_last_state() -> None:
    def merged(*events: WatchEvent) -> list[tuple[str, str, int]]:
        pending: dict[str, WatchEvent] = {}
        for one in events:
            coalesce(pending, one)
        return [
            (one.kind.value, one.service.service_id, one.service.generation)
            for one in pending.values()
            if one.service is not None
        ]

    modified, removed = event(WatchKind.MODIFIED, "x", 2), event(WatchKind.REMOVED, "x", 3)
    assert merged(added("x"), modified) == [("added", "x", 2)]
    assert merged(added("x"), modified, removed) == []
    assert merged(modified, removed) == [("removed", "x", 3)]
    assert merged(removed, added("x", 4)) == [("modified", "x", 4)]
    assert merged(removed, added("x", 4), replace(removed, service=service("x", 5))) == [("removed", "x", 5)]


names = st.sampled_from(["a", "b", "c", "d"])
changes = st.lists(st.tuples(names, st.integers(0, 5)), max_size=30)


@given(changes, st.lists(st.sampled_from(["go on", "cut", "resync", "cut short"]), max_size=30), st.integers(0, 3))
def test_fold_equals_the_registry_whatever_happens_to_the_stream(
    edits: list[tuple[str, int]], faults: list[str], taken_every: int
) -> None:
    """Random changes, cuts and resyncs: fold, events taken and registry agree whenever the fold is in sync."""
    registry: dict[str, Service] = {}
    fold, shown, pending = Fold(), dict[str, Service](), dict[str, WatchEvent]()

    def show(events: list[WatchEvent]) -> None:
        for one in events:
            coalesce(pending, one)

    def take() -> None:
        while pending:
            one = pending.pop(next(iter(pending)))
            if one.service is not None and one.kind is WatchKind.REMOVED:
                shown.pop(one.service.service_id)
            elif one.service is not None:
                assert (one.service.service_id in shown) == (one.kind is WatchKind.MODIFIED)
                shown[one.service.service_id] = one.service

    def snapshot() -> list[WatchEvent]:
        return [WatchEvent(kind=WatchKind.ADDED, service=one) for one in registry.values()]

    fold.stream_started()
    show(fold.apply(batch(Mark.BOOKMARK, revision=0)))
    for step, (name, generation) in enumerate(edits):
        revision = step + 1
        known = name in registry
        if generation:
            registry[name] = service(name, generation)
            change = event(WatchKind.MODIFIED if known else WatchKind.ADDED, name, generation)
        else:
            registry.pop(name, None)
            change = event(WatchKind.REMOVED, name)
        fault = faults[step] if step < len(faults) else "go on"
        if fault == "go on":
            show(fold.apply(batch(change, revision=revision)))
        else:
            before = dict(fold.services)
            fold.stream_started()
            if fault == "cut":
                show(fold.apply(batch(change, Mark.BOOKMARK, revision=revision)))
            else:
                show(fold.apply(batch(Mark.RESYNC, *snapshot()[:1], revision=0)))
                if fault == "cut short":
                    assert dict(fold.services) == before
                    fold.stream_started()
                    show(fold.apply(batch(Mark.RESYNC, revision=0)))
                show(fold.apply(batch(*snapshot(), Mark.BOOKMARK, revision=revision)))
        assert dict(fold.services) == registry
        if taken_every and step % taken_every == 0:
            take()
            assert shown == registry
    take()
    assert shown == registry
