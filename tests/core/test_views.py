"""core/views: an answer kept up to date equals one worked out anew; the unused make room."""

import pytest

from orion_registry.core.catalog import Catalog
from orion_registry.core.selector import Selector
from orion_registry.core.views import CHANGED, Views
from tests.building import ALL, STATIC, World, make_entry, make_spec, ref_of


def test_a_view_follows_services_in_and_out() -> None:
    world = World()
    views, selector = world.registry._fleet.views, Selector(tags=("gpu",))
    view = views.get(selector)
    others = [world.add(f"other-{number}", tags=("gpu",), liveness=STATIC) for number in range(20)]
    first, second = (world.add(name, tags=("gpu",), liveness=STATIC) for name in "ab")
    known = [entry.ordinal for entry in others]
    for change, shown in (
        (lambda: None, [first.ordinal, second.ordinal]),
        (lambda: world.update(ref_of(first), ("tags",), tags=("cpu",)), [second.ordinal]),
        (lambda: world.update(ref_of(first), ("tags",), tags=("cpu", "gpu")), [first.ordinal, second.ordinal]),
        (lambda: world.remove(second.service_id), [first.ordinal]),
    ):
        change()
        assert views.get(selector) is view
        assert (view.shown, view.not_ready) == ([*known, *shown], 0)
        assert set(view.members) == set(view.shown)


def test_not_ready_members_are_counted_but_not_shown() -> None:
    world = World()
    views = world.registry._fleet.views
    for number in range(10):
        world.add(f"static-{number}", liveness=STATIC)
    entry = world.add("a")
    stream = None
    for ready in (False, True, False):
        if ready:
            stream = world.live(entry)
        elif stream is not None:
            world.close(stream)
        view, seen = views.get(Selector()), views.get(ALL)
        assert (entry.ordinal in view.shown, view.not_ready) == (ready, 0 if ready else 1)
        assert (entry.ordinal in seen.shown, seen.not_ready) == (True, 0 if ready else 1)


def test_paging_through_a_view() -> None:
    world = World()
    for number in range(5):
        world.add(f"a{number}")
    view = world.registry._fleet.views.get(ALL)
    assert [entry.ordinal for entry in view.page(0, 2)] == [1, 2]
    assert [entry.ordinal for entry in view.page(4, 2)] == [5]
    assert [view.more_after(ordinal) for ordinal in (0, 4, 5)] == [True, True, False]


def test_an_edge_only_notes_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many broad views somebody asks for, an edge stays cheap: no view looks at it before it is asked."""
    world = World()
    entry = world.add("a")
    views = world.registry._fleet.views
    broad = [views.get(Selector(tags_none=(str(number),), include_not_ready=True)) for number in range(50)]
    monkeypatch.setattr(Selector, "matches_spec", lambda *_: pytest.fail("a view was worked out by an edge"))
    stream = world.live(entry)
    world.close(stream)
    assert all(view.changed == {entry.ordinal: entry} for view in broad)


def test_a_view_that_nobody_asks_for_is_dropped_when_much_has_changed() -> None:
    """Else it would grow with every service that comes and goes."""
    world = World()
    views = world.registry._fleet.views
    view = views.get(ALL)
    for number in range(CHANGED):
        world.add(f"a{number}")
    assert len(view.changed) == CHANGED
    assert len(views) == 1
    world.add("one-more")
    assert len(views) == 0
    assert views._anchored == {}
    assert len(views.get(ALL).shown) == CHANGED + 1


def test_a_view_that_nobody_asks_for_holds_on_to_no_service_that_has_gone() -> None:
    """It may be asked for again hours later, or never: a spec of 64 KiB must not stay with it."""
    world = World()
    views, selector = world.registry._fleet.views, Selector(tags=("gpu",), include_not_ready=True)
    stay = [world.add(f"s{number}", tags=("gpu",)) for number in range(20)]
    go = [world.add(f"g{number}", tags=("gpu",)) for number in range(2)]
    view = views.get(selector)
    go.append(world.add("later", tags=("gpu",)))
    world.update(ref_of(go[0]), ("tags",), tags=("cpu",))  # not the view's any more: its end is told elsewhere
    for entry in go:
        world.remove(entry.service_id)
    assert set(view.members.values()) == set(stay)
    assert set(view.changed.values()) == {None}
    assert views.get(selector) is view
    assert (view.shown, set(view.members.values()), view.not_ready) == ([one.ordinal for one in stay], set(stay), 20)


def test_views_hold_a_bounded_number_of_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orion_registry.core.views.MEMBERS", 10)
    world = World()
    for number in range(4):
        world.add(f"a{number}")
    views = world.registry._fleet.views
    for number in range(6):
        views.get(Selector(tags_none=(str(number),)))
    assert len(views) == 2


def test_the_view_unused_for_longest_makes_room() -> None:
    catalog = Catalog()
    views = Views(catalog, 2)
    first, second = (views.get(Selector(tags=(name,))) for name in "ab")
    views.get(first.selector)
    views.get(Selector(tags=("c",)))
    assert len(views) == 2
    assert views.get(first.selector) is first
    assert views.get(second.selector) is not second
    assert set(views._anchored) == {first.anchor, second.anchor}, "a dropped view is not followed any more"


def test_neighbours_at_one_anchor_are_dropped_one_by_one() -> None:
    views = Views(Catalog(), 1)
    for zone in ("a", "b"):
        views.get(Selector(zone=zone))
    assert [view.selector.zone for followed in views._anchored.values() for view in followed] == ["b"]


def test_without_views_an_edge_costs_nothing() -> None:
    views = Views(Catalog(), 1)
    views.update(make_entry(spec=make_spec()), None, None)
    assert len(views) == 0
