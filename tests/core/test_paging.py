"""core/paging: pages cover everything once, in order; a token is good for its query and this life only."""

import base64

import pytest

from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument, Reason
from tests.building import ALL, World


def fleet(size: int) -> World:
    world = World()
    for number in range(size):
        world.add(f"a{number}", tags=("t",))
    return world


def pages(world: World, size: int) -> list[list[str]]:
    got: list[list[str]] = []
    token = ""
    while True:
        assert len(got) < 20, "it never ends"
        page = world.registry.discover(ALL, size, token)
        got.append([entry.spec.agent_id for entry in page.entries])
        token = page.token_after(len(page.entries) - 1)
        if not token:
            return got


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 100])
def test_pages_cover_all(size: int) -> None:
    got = pages(fleet(7), size)
    assert [agent for page in got for agent in page] == [f"a{number}" for number in range(7)]
    assert all(len(page) == size for page in got[:-1])


def test_an_empty_answer_is_one_page() -> None:
    assert pages(World(), 10) == [[]]


def test_page_size_has_a_default_and_a_cap() -> None:
    world = fleet(1_001)
    assert len(world.registry.discover(ALL).entries) == 100
    assert len(world.registry.discover(ALL, 5_000).entries) == 1_000
    with pytest.raises(InvalidArgument, match="page_size"):
        world.registry.discover(ALL, -1)


def test_a_page_cut_short_by_the_wire_goes_on_where_it_ended() -> None:
    world = fleet(5)
    page = world.registry.discover(ALL, 4)
    rest = world.registry.discover(ALL, 4, page.token_after(1))
    assert [entry.ordinal for entry in rest.entries] == [3, 4, 5]
    again = world.registry.discover(ALL, 4, page.token_after(-1))
    assert [entry.ordinal for entry in again.entries] == [1, 2, 3, 4]


def test_what_comes_and_goes_between_pages_neither_repeats_nor_hides_others() -> None:
    world = fleet(6)
    page = world.registry.discover(ALL, 3)
    world.remove(page.entries[2].service_id)
    world.remove(page.entries[0].service_id)
    world.add("new")
    rest = world.registry.discover(ALL, 9, page.token_after(2))
    assert [entry.spec.agent_id for entry in rest.entries] == ["a3", "a4", "a5", "new"]


def test_not_ready_count_is_of_the_whole_answer() -> None:
    world = fleet(5)
    assert world.registry.discover(ALL, 2).not_ready_count == 5
    assert world.registry.discover(Selector(), 2).not_ready_count == 5


def test_foreign_tokens_are_refused() -> None:
    world = fleet(3)
    token = world.registry.discover(ALL, 1).token_after(0)
    other_life = fleet(3)
    other_life.registry.history_id = "another"
    forged = base64.urlsafe_b64encode(b"\0" * 16).decode()
    cases = [
        (world, Selector(include_not_ready=True, tags=("t",)), token),
        (world, Selector(), token),
        (other_life, ALL, token),
        (world, ALL, "x"),
        (world, ALL, "\ud800"),
        (world, ALL, token[:-4]),
        (world, ALL, forged),
    ]
    for registry, selector, bad in cases:
        with pytest.raises(InvalidArgument) as caught:
            registry.registry.discover(selector, 1, bad)
        assert caught.value.reason is Reason.BAD_PAGE_TOKEN
        assert f", got {bad!r}; begin again without one" in caught.value.message
