"""core/importing: what another registry stored is taken in whole, or not at all, and nobody loses by it."""

from dataclasses import replace
from typing import Any

import pytest

from orion_registry.core import limits
from orion_registry.core.commands import Import, Imported, Unregister
from orion_registry.core.facts import Put, ReserveEpochs, Stored
from orion_registry.core.importing import SINCE_EXPORT, Adoption, Intake
from orion_registry.core.model import LivenessMode, Record
from orion_registry.core.planning import Settled, key_of
from orion_registry.errors import AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied, Reason
from tests.building import (
    LOCAL,
    OTHER_SECRET,
    SECRET,
    STATIC,
    STREAM,
    TTL,
    World,
    make_record,
    make_spec,
    ref_of,
    state_of,
)

HASHES = {"secret_hash": "a" * 64, "payload_hash": "b" * 64}


def sound(**fields: Any) -> Record:
    return make_record(make_spec(service_id="s", **fields.pop("spec", {})), **{**HASHES, **fields})


def exported(*agents: str, **fields: Any) -> tuple[World, Stored]:
    world = World()
    for agent in agents:
        world.add(agent, **fields)
    return world, world.registry.stored()


def test_an_export_holds_all_and_changes_nothing() -> None:
    world, stored = exported("a", "b")
    assert {record.service_id: record for record in stored.records} == world.stored
    assert stored.epochs_below > world.registry.get(stored.records[0].service_id).epoch
    assert len(world.edges) == 2
    assert SECRET not in repr(stored)


def test_who_is_stale_stays_stale_in_an_export() -> None:
    world = World()
    entry = world.add()
    old = ref_of(entry)
    world.live(entry)
    assert entry.used_epoch > world.stored[entry.service_id].used_epoch
    other = World(seed=2)
    other.take_in(world.registry.stored())
    with pytest.raises(FailedPrecondition) as caught:
        other.run(Unregister(ref=old))
    assert caught.value.reason is Reason.STALE_EPOCH
    there = other.registry.get(entry.service_id)
    other.run(Unregister(ref=ref_of(there)))


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        (STREAM, ("UNKNOWN", "RESTORED")),
        (TTL, ("UNKNOWN", "RESTORED")),
        (STATIC, ("HEALTHY", "STATIC")),
    ],
)
def test_what_is_added_is_restored_and_has_its_grace(mode: LivenessMode, state: tuple[str, str]) -> None:
    _, stored = exported("a", liveness=mode, liveness_ttl_s=1.0)
    world = World(seed=2)
    result = world.take_in(stored)
    assert result == Imported(added=1, kept=0, revision=world.registry.revision)
    entry = world.registry.get(stored.records[0].service_id)
    assert state_of(entry) == state
    assert entry.snapshot.record == stored.records[0]
    world.pass_time(9.9)
    assert state_of(entry) == state
    world.pass_time(0.2)
    assert state_of(entry) == (state if mode is STATIC else ("UNHEALTHY", "NOT_SEEN"))


def test_an_agent_comes_back_with_its_old_secret() -> None:
    before = World()
    entry = before.add()
    ref = ref_of(before.live(entry).services[entry.service_id])
    after = World(seed=2)
    after.take_in(before.registry.stored())
    there = after.registry.get(entry.service_id)
    session = after.live(there, epoch=ref.epoch)
    assert session.services
    assert there.snapshot.ready
    with pytest.raises(PermissionDenied):
        after.run(Unregister(ref=ref_of(there, OTHER_SECRET)))


def test_what_is_registered_stays_as_it_is() -> None:
    _, stored = exported("a", "b", port=1)
    world = World(seed=2)
    entry = world.add("a", port=2, secret=OTHER_SECRET)
    world.live(entry, OTHER_SECRET)
    held = entry.snapshot
    result = world.take_in(stored)
    assert (result.added, result.kept) == (1, 1)
    assert entry.snapshot is held
    assert len(world.registry) == 2


def test_doing_it_again_changes_nothing() -> None:
    _, stored = exported("a", "b")
    world = World(seed=2)
    world.take_in(stored)
    edges, below = len(world.edges), world.registry.stored().epochs_below
    assert isinstance(world.registry.plan(Import(stored=stored), LOCAL, world.now), Settled)
    assert world.take_in(stored) == Imported(added=0, kept=2, revision=world.registry.revision)
    assert (len(world.edges), world.registry.stored().epochs_below) == (edges, below)


def test_epochs_go_on_above_all_that_the_other_may_have_given() -> None:
    world = World(epoch_block=16_384)
    first = world.add("a").epoch
    plan = world.registry.plan(Import(stored=Stored(epochs_below=1_000_000)), LOCAL, world.now)
    assert isinstance(plan, Adoption)
    assert plan.facts == (ReserveEpochs(below=1_000_000 + SINCE_EXPORT + 16_384),)
    world.registry.apply(plan, world.now)
    assert first < 1_000_000 + SINCE_EXPORT <= world.add("b").epoch < world.registry.stored().epochs_below
    assert world.registry.epochs_wanted is None


def test_epochs_never_fall() -> None:
    world = World()
    world.take_in(Stored(epochs_below=2**40))
    epoch = world.add("a").epoch
    assert world.take_in(Stored(epochs_below=5)) == Imported(added=0, kept=0, revision=world.registry.revision)
    assert world.add("b").epoch == epoch + 1


def test_somebody_elses_id_refuses_all() -> None:
    _, stored = exported("a", "b")
    taken = stored.records[1].service_id
    world = World(seed=2)
    world.add("c", service_id=taken)
    edges = len(world.edges)
    with pytest.raises(AlreadyExists, match=f"{taken}.*default/b/calc in the snapshot.*default/c/calc here") as caught:
        world.take_in(stored)
    assert caught.value.reason is Reason.AGENT_IN_USE
    assert caught.value.retry_after_s is None
    assert (len(world.registry), len(world.edges)) == (1, edges)


def test_planning_stores_everything_at_once_and_changes_nothing() -> None:
    _, stored = exported("a", "b")
    world = World(seed=2)
    plan = world.registry.plan(Import(stored=stored), LOCAL, world.now)
    assert isinstance(plan, Adoption)
    assert [fact for fact in plan.facts if isinstance(fact, Put)] == [Put(record=record) for record in stored.records]
    assert (len(world.registry), world.edges) == (0, [])
    assert key_of(Import(stored=stored)) is None


def test_what_is_imported_survives_a_restart() -> None:
    _, stored = exported("a", "b")
    world = World(seed=2)
    world.take_in(stored)
    after = world.restart()
    assert after.registry.stored().records == world.registry.stored().records
    assert after.registry.stored().epochs_below > stored.epochs_below


# The intake.


def test_an_intake_takes_what_a_registry_could_have_stored() -> None:
    _, stored = exported("a", "b", capabilities=("x", "y"), tags=("t",), liveness=TTL)
    intake = Intake(stored.epochs_below)
    for record in stored.records:
        intake.add(record)
    assert intake.stored() == stored
    assert len(intake) == 2


def test_an_intake_drops_repeated_labels() -> None:
    intake = Intake(1)
    intake.add(sound(spec={"tags": ("t", "u", "t")}))
    assert intake.stored().records[0].spec.tags == ("t", "u")


@pytest.mark.parametrize("bound", [0, -1, 2**53 + 1])
def test_an_intake_wants_a_bound_of_epochs(bound: int) -> None:
    with pytest.raises(InvalidArgument, match="epochs_below"):
        Intake(bound)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (sound(spec={"port": 70_000}), "service.port"),
        (sound(spec={"namespace": ""}), "service.namespace"),
        (sound(spec={"tags": ("",)}), r"service.tags\[0\]"),
        (sound(spec={"weight": float("nan")}), "service.weight"),
        (sound(spec={"liveness": LivenessMode.CHECK}), "service.checks"),
        (sound(spec={"health_check_url": "ftp://x"}), "service.health_check_url"),
        (sound(address="localhost"), "address"),
        (make_record(make_spec(), **HASHES), "service.service_id"),
        (sound(secret_hash=""), "secret_hash"),
        (sound(secret_hash="A" * 64), "secret_hash"),
        (sound(payload_hash="b" * 63), "payload_hash"),
        (sound(identity="x\n"), "identity"),
        (sound(request_id="x" * 129), "request_id"),
        (sound(generation=0), "generation"),
        (sound(generation=limits.COUNTER + 1), "generation"),
        (sound(used_epoch=-1), "used_epoch"),
        (sound(used_epoch=100), "used_epoch"),
        (sound(registered_wall=float("nan")), "registered_wall"),
        (sound(registered_wall=-1.0), "registered_wall"),
    ],
)
def test_an_intake_takes_nothing_else(record: Record, field: str) -> None:
    intake = Intake(100)
    with pytest.raises(InvalidArgument, match=rf"^BAD_FIELD: {field}") as caught:
        intake.add(record)
    assert caught.value.reason is Reason.BAD_FIELD
    assert len(intake) == 0


def test_an_intake_takes_one_record_of_a_service() -> None:
    intake = Intake(100)
    intake.add(sound())
    with pytest.raises(InvalidArgument, match="one record alone"):
        intake.add(replace(sound(), generation=2))
