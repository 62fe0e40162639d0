"""core/views: an answer kept up to date equals one worked out anew; the unused make room."""

from orion_registry.core.catalog import Catalog
from orion_registry.core.selector import Selector
from orion_registry.core.views import Views
from tests.building import ALL, STATIC, World, make_entry, make_spec, ref_of


def test_a_view_follows_services_in_and_out() -> None:
    world = World()
    selector = Selector(tags=("gpu",))
    view = world.registry._fleet.views.get(selector)
    first, second = (world.add(name, tags=("gpu",), liveness=STATIC) for name in "ab")
    assert (view.shown, view.not_ready) == ([1, 2], 0)
    world.update(ref_of(first), ("tags",), tags=("cpu",))
    assert (view.shown, view.not_ready) == ([2], 0)
    world.update(ref_of(first), ("tags",), tags=("cpu", "gpu"))
    assert view.shown == [1, 2]
    world.remove(second.service_id)
    assert (view.shown, list(view.members)) == ([1], [1])
    assert world.registry._fleet.views.get(selector) is view


def test_not_ready_members_are_counted_but_not_shown() -> None:
    world = World()
    view = world.registry._fleet.views.get(Selector())
    seen = world.registry._fleet.views.get(ALL)
    entry = world.add("a")
    assert (view.shown, view.not_ready, seen.shown, seen.not_ready) == ([], 1, [1], 1)
    stream = world.live(entry)
    assert (view.shown, view.not_ready, seen.shown, seen.not_ready) == ([1], 0, [1], 0)
    world.close(stream)
    assert (view.shown, view.not_ready, seen.shown, seen.not_ready) == ([], 1, [1], 1)


def test_paging_through_a_view() -> None:
    world = World()
    view = world.registry._fleet.views.get(ALL)
    for number in range(5):
        world.add(f"a{number}")
    assert [entry.ordinal for entry in view.page(0, 2)] == [1, 2]
    assert [entry.ordinal for entry in view.page(4, 2)] == [5]
    assert [view.more_after(ordinal) for ordinal in (0, 4, 5)] == [True, True, False]


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
