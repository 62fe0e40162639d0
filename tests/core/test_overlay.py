"""core/overlay, overlay_plan, overlay_page: what an operator may set, for whom, and what is left of it."""

from dataclasses import replace
from typing import Any

import pytest

from orion_registry.core import limits
from orion_registry.core.commands import Import, SetOverlay
from orion_registry.core.events import OverlayCleared, OverlaySet, RegistryEvent
from orion_registry.core.facts import DeleteOverlay, PutOverlay, Stored
from orion_registry.core.importing import Intake
from orion_registry.core.model import Actor, RemovalReason, ServiceStatus
from orion_registry.core.overlay import Overlay, OverlayFilter, OverlayMode, ServiceKey, check_overlay
from orion_registry.core.planning import Settled, key_of
from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument, NotFound, Reason, ResourceExhausted
from tests.building import LOCAL, STATIC, World, state_of

NONE, DRAIN, MAINTENANCE, QUARANTINE = OverlayMode
NATURAL = ServiceKey(agent_id="agent", service_name="calc")
OPERATOR = Actor(identity="olga")


def an_overlay(**fields: Any) -> Overlay:
    known: dict[str, Any] = {"namespace": "default", "agent_id": "a", "service_name": "n", "service_id": "s"}
    return Overlay(**{**known, "mode": QUARANTINE, **fields})


# Modes.


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        (DRAIN, ("STOPPING", "DRAINING")),
        (MAINTENANCE, ("STOPPING", "MAINTENANCE")),
        (QUARANTINE, ("UNHEALTHY", "QUARANTINED")),
    ],
)
def test_a_mode_takes_a_service_out_and_clearing_brings_it_back(mode: OverlayMode, state: tuple[str, str]) -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    before = len(world.edges)
    result = world.overlay(entry, mode)
    assert (result.changed, result.service_ids, result.revision) == (1, (entry.service_id,), world.registry.revision)
    assert state_of(entry) == state
    assert world.found(Selector()) == []
    assert world.overlay(entry, NONE).changed == 1
    assert state_of(entry) == ("HEALTHY", "STATIC")
    assert len(world.edges) == before + 2
    assert world.overlays == {}


def test_one_mode_takes_the_place_of_another_in_one_edge() -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    world.overlay(entry, QUARANTINE)
    before = len(world.edges)
    world.overlay(entry, MAINTENANCE)
    assert [reason.code.name for reason in entry.snapshot.reasons] == ["MAINTENANCE", "STATIC"]
    assert len(world.edges) == before + 1


def test_an_overlay_survives_removal_and_a_return_is_never_ready_in_between() -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    world.overlay(entry, QUARANTINE, note="bad answers")
    world.remove(entry.service_id)
    world.edges.clear()
    back = world.add(liveness=STATIC)
    assert state_of(back) == ("UNHEALTHY", "QUARANTINED")
    assert [edge.after.ready for edge in world.edges if edge.after] == [False]
    world.overlay(back, NONE)
    assert state_of(back) == ("HEALTHY", "STATIC")


def test_an_overlay_survives_another_life_of_the_registry() -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    world.overlay(entry, MAINTENANCE, weight=2.0, actor=OPERATOR)
    after = world.restart()
    there = after.registry.get(entry.service_id)
    assert state_of(there) == ("STOPPING", "MAINTENANCE")
    assert (there.snapshot.weight, there.spec.weight) == (2.0, 1.0)
    (row,) = after.overlay_rows()
    assert (row.overlay.set_by, row.entry) == ("olga", there)
    assert after.registry.stored().overlays == (row.overlay,)


def test_it_may_be_set_before_its_service_is_there() -> None:
    world = World()
    done = world.overlay(NATURAL, QUARANTINE)
    assert (done.registered, done.changed) == (0, 1)
    (row,) = world.overlay_rows()
    assert (row.entry, row.drained, row.leases_left, row.left_s) == (None, False, 0, None)
    assert state_of(world.add(liveness=STATIC)) == ("UNHEALTHY", "QUARANTINED")
    done = world.overlay(NATURAL, NONE)
    assert (done.registered, done.changed) == (1, 1)
    done = world.overlay(NATURAL, NONE)  # there is nothing to do
    assert (done.registered, done.changed) == (1, 0)


def test_an_id_that_another_agent_has_now_is_not_meant() -> None:
    """service_id is part of a natural key, not all of it."""
    world = World()
    first = world.add("a", service_id="x", liveness=STATIC)
    world.overlay(first, QUARANTINE)
    world.remove("x")
    second = world.add("b", service_id="x", liveness=STATIC)
    assert state_of(second) == ("HEALTHY", "STATIC")
    assert world.overlay(ServiceKey(agent_id="a", service_name="calc", service_id="x"), MAINTENANCE).registered == 0
    assert state_of(second) == ("HEALTHY", "STATIC")
    assert [row.entry for row in world.overlay_rows()] == [None]


# Weight.


def test_a_weight_is_an_edge_and_not_the_agents() -> None:
    world = World()
    entry = world.add(liveness=STATIC, weight=3.0)
    assert entry.snapshot.weight == 3.0
    before = len(world.edges)
    world.overlay(entry, weight=0.25)
    assert (entry.snapshot.weight, entry.snapshot.weight_set, entry.spec.weight) == (0.25, 0.25, 3.0)
    assert entry.snapshot.ready
    assert len(world.edges) == before + 1
    world.overlay(entry, weight=0.25)
    assert len(world.edges) == before + 1
    world.overlay(entry, NONE)
    assert (entry.snapshot.weight, entry.snapshot.weight_set) == (3.0, None)


def test_what_is_left_out_stays_as_it_was() -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    world.overlay(entry, QUARANTINE, note="why")
    world.overlay(entry, weight=2.0)
    (held,) = world.overlays.values()
    assert (held.mode, held.weight, held.note) == (QUARANTINE, 2.0, "why")
    world.overlay(entry, DRAIN, deadline_s=9.0)
    (held,) = world.overlays.values()
    assert (held.mode, held.weight, held.note, held.deadline_s) == (DRAIN, 2.0, "", 9.0)
    world.overlay(entry, weight=4.0, note="less")
    (held,) = world.overlays.values()
    assert (held.mode, held.weight, held.note, held.deadline_s) == (DRAIN, 4.0, "less", 9.0)
    world.overlay(entry, NONE, weight=1.5)
    (held,) = world.overlays.values()
    assert (held.mode, held.weight, held.deadline_s) == (NONE, 1.5, None)
    assert state_of(entry) == ("HEALTHY", "STATIC")


# Who is meant.


def test_a_selector_means_all_that_match_now_ready_or_not() -> None:
    world = World()
    ready = world.add("a", liveness=STATIC, capabilities=("c",))
    dead = world.add("b", capabilities=("c",))
    other = world.add("d", liveness=STATIC)
    result = world.overlay(Selector(capabilities=("c",)), MAINTENANCE)
    assert set(result.service_ids) == {ready.service_id, dead.service_id}
    later = world.add("e", liveness=STATIC, capabilities=("c",))
    assert [state_of(entry)[1] for entry in (ready, other, later)] == ["MAINTENANCE", "STATIC", "STATIC"]


def test_a_selector_with_statuses_means_those_alone() -> None:
    world = World()
    world.add("a", liveness=STATIC)
    starting = world.add("b")
    result = world.overlay(Selector(statuses=frozenset({ServiceStatus.STARTING})), QUARANTINE)
    assert result.service_ids == (starting.service_id,)


def test_a_selector_by_name_means_those_that_are_away_too() -> None:
    world = World()
    entry = world.add("a", liveness=STATIC, tags=("t",))
    world.overlay(entry, QUARANTINE)
    world.remove(entry.service_id)
    assert world.overlay(Selector(agent_id="a", tags=("t",)), NONE).changed == 0
    assert world.overlay(Selector(agent_id="b"), NONE).changed == 0
    assert world.overlay(Selector(agent_id="a", include_not_ready=True), NONE).changed == 1
    assert world.overlays == {}


def test_a_service_id_alone_finds_what_was_set_for_one_that_is_gone() -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    world.overlay(entry, QUARANTINE)
    world.remove(entry.service_id)
    assert world.overlay(ServiceKey(service_id=entry.service_id), NONE).changed == 1
    with pytest.raises(NotFound) as caught:
        world.overlay(ServiceKey(service_id=entry.service_id), NONE)
    assert caught.value.reason is Reason.NO_SUCH_SERVICE


def test_clearing_nothing_stores_nothing() -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    command = SetOverlay(target=ServiceKey(service_id=entry.service_id), mode=NONE)
    assert isinstance(world.registry.plan(command, LOCAL, world.now), Settled)
    assert world.overlay(Selector(capabilities=("nobody",)), DRAIN).changed == 0


def test_it_runs_alone() -> None:
    """Whom a key means depends on who is registered, and how many may be set on how many are."""
    for target in (NATURAL, ServiceKey(service_id="s"), Selector()):
        assert key_of(SetOverlay(target=target, mode=DRAIN)) is None


def test_a_name_means_services_with_ids_of_their_own_too() -> None:
    world = World()
    own = world.add(service_id="my-id")
    assert world.overlay(NATURAL, QUARANTINE).service_ids == ("my-id",)
    assert state_of(own) == ("UNHEALTHY", "QUARANTINED")
    derived = world.add()
    assert world.overlay(NATURAL, DRAIN).service_ids == (derived.service_id,)
    assert state_of(own) == ("UNHEALTHY", "QUARANTINED")


# Refusals.


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "mode"),
        ({"weight": 0.0}, "weight"),
        ({"weight": -1.0}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"weight": 1000.5}, "weight"),
        ({"mode": QUARANTINE, "deadline_s": 1.0}, "deadline"),
        ({"weight": 1.0, "deadline_s": 1.0}, "deadline"),
        ({"mode": DRAIN, "deadline_s": -1.0}, "deadline"),
        ({"mode": DRAIN, "deadline_s": limits.DRAIN_MAX_S + 1}, "deadline"),
        ({"mode": DRAIN, "note": "x" * 257}, "note"),
        ({"mode": DRAIN, "note": "\n"}, "note"),
        ({"mode": DRAIN, "target": ServiceKey()}, "key"),
        ({"mode": DRAIN, "target": ServiceKey(agent_id="a")}, "key.service_name"),
        ({"mode": DRAIN, "target": ServiceKey(service_name="a")}, "key.agent_id"),
        ({"mode": DRAIN, "target": ServiceKey(service_id="a/b")}, "key.service_id"),
        ({"mode": DRAIN, "target": ServiceKey(agent_id="a b", service_name="n")}, "key.agent_id"),
        ({"mode": DRAIN, "target": ServiceKey(namespace="", service_id="s")}, "key.namespace"),
        ({"mode": DRAIN, "target": Selector(agent_id="a b")}, "selector.agent_id"),
    ],
)
def test_refusals_name_the_field(fields: dict[str, Any], field: str) -> None:
    world = World()
    with pytest.raises(InvalidArgument, match=rf"^BAD_FIELD: {field}:"):
        world.run(SetOverlay(**{"target": NATURAL, **fields}))
    assert world.overlays == {}


def test_a_selector_may_not_mean_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OVERLAYS_AT_ONCE", 1)
    world = World()
    world.add("a")
    world.overlay(Selector(), DRAIN)
    world.add("b")
    with pytest.raises(ResourceExhausted, match="2 services match, at most 1 at once"):
        world.overlay(Selector(), DRAIN)


def test_overlays_are_bounded_but_may_be_changed_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OVERLAYS", 1)
    world = World()
    world.overlay(NATURAL, DRAIN)
    world.overlay(NATURAL, QUARANTINE)
    with pytest.raises(ResourceExhausted, match="at most 1 overlays are held"):
        world.overlay(ServiceKey(agent_id="a", service_name="b"), DRAIN)


# Events.


def test_what_is_set_is_told_before_what_comes_of_it() -> None:
    world = World()
    entry = world.add(liveness=STATIC)
    about = {"service_id": entry.service_id, "agent_id": "agent", "namespace": "default"}
    edges: list[int] = []

    def tell(event: RegistryEvent) -> None:
        edges.append(len(world.edges))
        world.told.append(event)

    world.registry._fleet.tell = tell
    world.overlay(entry, DRAIN, deadline_s=3.0, note="why", weight=2.0, actor=OPERATOR)
    world.overlay(entry, NONE, actor=OPERATOR)
    assert world.told == [
        OverlaySet(**about, mode=DRAIN, weight=2.0, deadline_s=3.0, note="why", set_by="olga"),
        OverlayCleared(**about, cleared_by="olga"),
    ]
    assert edges == [1, 2]


# Pages.


def test_pages_go_by_natural_key_and_a_token_holds_whatever_changes() -> None:
    world = World()
    for agent in "dbac":
        world.overlay(ServiceKey(agent_id=agent, service_name="n"), MAINTENANCE)
    page = world.registry.overlays(OverlayFilter(), 2, "", world.now)
    assert [row.overlay.agent_id for row in page.rows] == ["a", "b"]
    world.overlay(ServiceKey(agent_id="b", service_name="n"), NONE)
    world.overlay(ServiceKey(agent_id="c", service_name="k"), DRAIN)
    rest = world.registry.overlays(OverlayFilter(), 0, page.next_token, world.now)
    assert [(row.overlay.agent_id, row.overlay.service_name) for row in rest.rows] == [
        ("c", "k"),
        ("c", "n"),
        ("d", "n"),
    ]
    assert rest.next_token == ""


def test_a_page_that_ends_with_the_last_has_no_token() -> None:
    world = World()
    world.overlay(NATURAL, DRAIN)
    assert world.registry.overlays(OverlayFilter(), 1, "", world.now).next_token == ""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["a", "b", "x"]),
        ({"namespace": "other"}, ["x"]),
        ({"agent_id": "b"}, ["b"]),
        ({"service_name": "n"}, ["a", "b"]),
        ({"service_id": "sb"}, ["b"]),
        ({"mode": QUARANTINE}, ["b"]),
        ({"mode": NONE}, []),
    ],
)
def test_filters(wanted: dict[str, Any], found: list[str]) -> None:
    world = World()
    world.overlay(ServiceKey(agent_id="a", service_name="n", service_id="sa"), DRAIN)
    world.overlay(ServiceKey(agent_id="b", service_name="n", service_id="sb"), QUARANTINE)
    world.overlay(ServiceKey(namespace="other", agent_id="x", service_name="m", service_id="sx"), DRAIN)
    assert [row.overlay.agent_id for row in world.overlay_rows(**wanted)] == found


@pytest.mark.parametrize("token", ["x", "a/b/c", "a/b/c/", "a/b/c/d/e", "/////"])
def test_a_token_that_is_none(token: str) -> None:
    world = World()
    with pytest.raises(InvalidArgument, match="BAD_PAGE_TOKEN"):
        world.registry.overlays(OverlayFilter(), 0, token, world.now)


@pytest.mark.parametrize(("wanted", "size"), [({"agent_id": "a b"}, 0), ({}, -1)])
def test_a_page_that_is_none(wanted: dict[str, Any], size: int) -> None:
    world = World()
    with pytest.raises(InvalidArgument, match="BAD_FIELD"):
        world.registry.overlays(OverlayFilter(**wanted), size, "", world.now)


def test_a_page_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OVERLAYS_PAGE", 1)
    world = World()
    for agent in "ab":
        world.overlay(ServiceKey(agent_id=agent, service_name="n"), DRAIN)
    assert len(world.registry.overlays(OverlayFilter(), 9, "", world.now).rows) == 1


# Stored, exported, imported.


def test_facts_are_what_changes() -> None:
    world = World()
    world.overlay(NATURAL, QUARANTINE)
    (held,) = world.overlays.values()
    plan = world.registry.plan(SetOverlay(target=Selector(agent_id="agent"), weight=2.0), LOCAL, world.now)
    assert plan.facts == (PutOverlay(overlay=replace(held, weight=2.0)),)  # type: ignore[union-attr]
    plan = world.registry.plan(SetOverlay(target=NATURAL, mode=NONE), LOCAL, world.now)
    assert plan.facts == (DeleteOverlay(key=held.key),)  # type: ignore[union-attr]
    assert held.key == f"default/agent/calc/{held.service_id}"


@pytest.mark.parametrize(
    "fields",
    [
        {"agent_id": ""},
        {"service_id": "a/b"},
        {"mode": NONE},
        {"weight": 0.0},
        {"deadline_s": 1.0},
        {"note": "x" * 257},
        {"set_by": "\n"},
        {"set_wall": -1.0},
    ],
)
def test_a_stored_overlay_that_no_registry_wrote(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        check_overlay(an_overlay(**fields))


def test_an_intake_takes_one_for_each_service_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    intake = Intake(1)
    intake.add_overlay(an_overlay())
    with pytest.raises(InvalidArgument, match="one for each service"):
        intake.add_overlay(an_overlay(mode=DRAIN))
    monkeypatch.setattr(limits, "OVERLAYS", 1)
    with pytest.raises(InvalidArgument, match="at most 1"):
        intake.add_overlay(an_overlay(agent_id="b"))
    assert intake.overlays == 1
    assert intake.stored() == Stored(overlays=(an_overlay(),))


def test_an_import_adds_what_is_set_for_services_that_are_not_here() -> None:
    """A service that is registered stays as it is, and so does what is set for one that is away."""
    there = World()
    for agent in "abc":
        there.overlay(there.add(agent, liveness=STATIC), QUARANTINE)
    here = World(seed=2)
    here.add("a", liveness=STATIC)
    here.overlay(ServiceKey(agent_id="b", service_name="calc"), MAINTENANCE)
    done = here.take_in(there.registry.stored())
    assert (done.added, done.kept) == (2, 1)
    shown = {entry.spec.agent_id: state_of(entry)[1] for entry in here.registry._fleet.catalog}
    assert shown == {"a": "STATIC", "b": "MAINTENANCE", "c": "QUARANTINED"}
    assert len(here.overlays) == 2
    assert [event.type.name for event in here.told] == ["OVERLAY_SET", "OVERLAY_SET"]


def test_an_import_may_not_bring_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.overlay(NATURAL, DRAIN)
    monkeypatch.setattr(limits, "OVERLAYS", 1)
    with pytest.raises(ResourceExhausted, match="more than 1 overlays"):
        world.run(Import(stored=Stored(overlays=(an_overlay(),))))


def test_a_removal_on_the_way_and_an_overlay_get_along() -> None:
    """The service may be gone when the overlay is applied: then it waits for the service to return."""
    world = World()
    entry = world.add(liveness=STATIC)
    plan = world.registry.plan(SetOverlay(target=ServiceKey(service_id=entry.service_id), mode=DRAIN), LOCAL, world.now)
    world.remove(entry.service_id, RemovalReason.EXPIRED)
    world.registry.apply(plan, world.now)
    assert state_of(world.add(liveness=STATIC)) == ("STOPPING", "DRAINING")
