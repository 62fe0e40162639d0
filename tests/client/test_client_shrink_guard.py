"""The shrink guard: one update that removes over half is shown only once a fresh snapshot of that life confirms it."""

from orion_registry.client.fold import Fold, Mark, WatchKind
from orion_registry.client.shrink_guard import CONFIRM_S, ShrinkGuard
from tests.client.test_client_fold import added, batch, event, told

NAMES = ("a", "b", "c", "d")


def guarded(*names: str) -> tuple[Fold, ShrinkGuard]:
    guard = ShrinkGuard()
    fold = Fold(guard)
    snapshot(fold, *names, history="h")
    return fold, guard


def snapshot(fold: Fold, *names: str, history: str, revision: int = 9) -> list[tuple[str, str]]:
    """A stream that begins with a RESYNC."""
    fold.stream_started()
    return told(
        fold.apply(
            batch(Mark.RESYNC, *(added(name) for name in names), Mark.BOOKMARK, history=history, revision=revision)
        )
    )


def doubt(guard: ShrinkGuard) -> float | None:
    return guard.confirm_in_s


def test_half_may_go_at_once() -> None:
    fold, guard = guarded(*NAMES)
    assert snapshot(fold, "a", "b", history="new") == [("removed", "c"), ("removed", "d"), ("synced", "")]
    assert doubt(guard) is None


def test_a_snapshot_without_over_half_is_asked_again_when_agents_have_had_time_to_come_back() -> None:
    fold, guard = guarded(*NAMES)
    assert snapshot(fold, "a", "e", history="new") == [("added", "e"), ("synced", "")]
    assert set(fold.services) == {*NAMES, "e"}, "what is new is shown, what is missing stays"
    assert doubt(guard) == CONFIRM_S
    assert set(guard.withheld) == {"b", "c", "d"}
    guard.asked()
    fold.start_over()
    assert fold.position == (0, "")
    assert snapshot(fold, "a", "e", history="new") == [
        ("removed", "b"),
        ("removed", "c"),
        ("removed", "d"),
        ("synced", ""),
    ]
    assert doubt(guard) is None
    assert not guard.withheld


def test_agents_that_come_back_take_the_doubt_away() -> None:
    fold, guard = guarded(*NAMES)
    snapshot(fold, history="new")
    for name in NAMES:
        assert doubt(guard) == CONFIRM_S
        fold.apply(batch(added(name), history="new", revision=10))
    assert doubt(guard) is None
    assert set(fold.services) == set(NAMES)


def test_another_life_of_the_registry_confirms_nothing() -> None:
    fold, guard = guarded(*NAMES)
    snapshot(fold, history="second")
    guard.asked()
    fold.start_over()
    assert snapshot(fold, history="third") == [("synced", "")]
    assert doubt(guard) == CONFIRM_S
    guard.asked()
    fold.start_over()
    assert len(snapshot(fold, history="third")) == len(NAMES) + 1


def test_removals_one_by_one_are_confirmed_without_delay() -> None:
    fold, guard = guarded(*NAMES)
    leave = [event(WatchKind.REMOVED, name) for name in ("a", "b", "c")]
    assert fold.apply(batch(*leave, added("e"), revision=10)) == [added("e")]
    assert doubt(guard) == 0.0
    guard.asked()
    fold.start_over()
    assert snapshot(fold, "d", "e", history="h") == [
        ("removed", "a"),
        ("removed", "b"),
        ("removed", "c"),
        ("synced", ""),
    ]


def test_few_removals_pass_and_so_does_one_of_what_is_withheld() -> None:
    fold, guard = guarded(*NAMES)
    assert told(fold.apply(batch(event(WatchKind.REMOVED, "a"), revision=10))) == [("removed", "a")]
    snapshot(fold, history="new")
    assert set(guard.withheld) == {"b", "c", "d"}
    assert told(fold.apply(batch(event(WatchKind.REMOVED, "b"), history="new", revision=10))) == [("removed", "b")]
    assert set(guard.withheld) == {"c", "d"}


def test_what_is_seeded_is_guarded_too_and_replaced_by_what_is_true() -> None:
    fold = Fold(ShrinkGuard())
    assert told(fold.seed(service for service in [added("a").service, added("b").service] if service)) == [
        ("added", "a"),
        ("added", "b"),
    ]
    assert snapshot(fold, "a", history="h") == [("removed", "b"), ("synced", "")]
