"""runtime/audit: denials and changes that store nothing, gathered, counted, bounded; nobody waits for them."""

import asyncio
from collections.abc import Sequence

import pytest

from orion_registry.core.audit import AuditRecord
from orion_registry.core.commands import Remove
from orion_registry.core.facts import Audit, Fact
from orion_registry.core.model import Actor, RemovalReason
from orion_registry.errors import (
    InvalidArgument,
    PermissionDenied,
    Reason,
    RegistryError,
    ResourceExhausted,
    Unauthenticated,
)
from orion_registry.runtime.audit import (
    DEEDS,
    DENIALS,
    IDENTITIES,
    ROOM,
    SLACK,
    STRANGERS,
    TRIM,
    AuditConfig,
    AuditTrail,
)
from orion_registry.runtime.coordinator import REGISTRY_ACTOR
from orion_registry.store.base import Store
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.stores import FailingStore, SlowStore
from tests.building import LOCAL, OTHER_SECRET, make_audit_entry
from tests.runtime.virtual import LoopClock, add, coordinator_on, hello, in_virtual_time, live, passing, settle

WRONG = PermissionDenied(Reason.WRONG_SECRET, "no")
NOBODY = Unauthenticated(Reason.NO_IDENTITY, "no")
OFTEN = ResourceExhausted(Reason.RATE_LIMITED, "no", retry_after_s=1.0)
ME = Actor(identity="me", address="10.0.0.1")


def trail_on(store: Store, keep: int = 0) -> AuditTrail:
    return AuditTrail(store, LoopClock(), "h", AuditConfig(keep=keep))


async def flushed(trail: AuditTrail) -> None:
    await passing(1.1)
    trail.tick()
    await settle()


async def chain(store: Store) -> list[AuditRecord]:
    return list(await store.audit_records(0, 1_000))


@in_virtual_time
async def test_the_same_denial_is_one_record_with_a_count() -> None:
    store = MemoryStore()
    trail = trail_on(store)
    for _ in range(1_000):
        trail.refused(ME, "UpdateService", WRONG)
    trail.refused(ME, "UpdateService", NOBODY)
    trail.refused(Actor(), "UpdateService", WRONG)
    trail.refused(ME, "SelectService", OFTEN)
    await flushed(trail)
    found = [(one.identity, one.address, one.method, one.outcome, one.count) for one in await chain(store)]
    assert found == [
        ("me", "10.0.0.1", "UpdateService", "WRONG_SECRET", 1_000),
        ("me", "10.0.0.1", "UpdateService", "NO_IDENTITY", 1),
        ("me", "10.0.0.1", "SelectService", "RATE_LIMITED", 1),
        ("", "", "UpdateService", "WRONG_SECRET", 1),
    ]


@in_virtual_time
async def test_a_mistake_is_no_denial() -> None:
    store = MemoryStore()
    trail = trail_on(store)
    errors: list[RegistryError] = [
        InvalidArgument(Reason.BAD_FIELD, "no"),
        ResourceExhausted(Reason.TOO_LARGE, "no", retry_after_s=1.0),
    ]
    for error in errors:
        trail.refused(ME, "UpdateService", error)
    await flushed(trail)
    assert await chain(store) == []


@in_virtual_time
async def test_a_flood_of_different_denials_costs_bounded_disk_and_none_is_uncounted() -> None:
    store = MemoryStore()
    trail = trail_on(store)
    for number in range(10_000):
        trail.refused(Actor(address=f"10.0.{number // 256}.{number % 256}"), "UpdateService", WRONG)
        trail.did(ME, "UpdateServiceStatus", "default", f"s{number}")
    await flushed(trail)
    found = await chain(store)
    found += await store.audit_records(1_000, 1_000)
    assert len(found) == STRANGERS + 1 + DEEDS + 1
    assert sum(one.count for one in found if one.outcome != "OK") == 10_000
    assert sum(one.count for one in found if one.outcome == "OK") == 10_000
    others = [(one.method, one.target, one.outcome, one.count) for one in found if "*" in (one.method, one.target)]
    assert others == [
        ("UpdateServiceStatus", "*", "OK", 10_000 - DEEDS),
        ("*", "", "WRONG_SECRET", 10_000 - STRANGERS),
    ]


@in_virtual_time
async def test_no_flood_of_one_change_hides_another() -> None:
    store = MemoryStore()
    trail = trail_on(store)
    for number in range(2 * DEEDS):
        trail.did(ME, "UpdateServiceStatus", "default", f"s{number}")
    trail.did(Actor(identity="eve"), "ExportSnapshot", target="with secrets")
    await flushed(trail)
    (last,) = await store.audit_records(DEEDS + 1, 10)
    assert (last.identity, last.method, last.target) == ("eve", "ExportSnapshot", "with secrets")


@in_virtual_time
async def test_no_flood_of_strangers_hides_who_is_known() -> None:
    store = MemoryStore()
    trail = trail_on(store)
    for number in range(2 * STRANGERS):
        trail.refused(Actor(address=f"10.0.0.{number}"), "UpdateService", NOBODY)
    for number in range(IDENTITIES + 5):
        trail.refused(Actor(identity=f"i{number}"), "ExportSnapshot", WRONG)
    await flushed(trail)
    found = await chain(store)
    known = [f"i{number}" for number in range(IDENTITIES)]
    assert [one.identity for one in found if one.method == "ExportSnapshot"] == known
    others = [(one.identity, one.count) for one in found if one.method == "*"]
    assert others == [("*", 5), ("", STRANGERS)]


@in_virtual_time
async def test_no_flood_of_one_identity_hides_another() -> None:
    store = MemoryStore()
    trail = trail_on(store)
    for number in range(10 * DENIALS):
        trail.refused(Actor(identity="mallory", address=f"10.0.0.{number}"), "UpdateService", WRONG)
    trail.refused(Actor(identity="eve"), "ExportSnapshot", WRONG)
    await flushed(trail)
    found = [(one.identity, one.method, one.count) for one in await chain(store)]
    assert found[DENIALS:] == [("mallory", "*", 9 * DENIALS), ("eve", "ExportSnapshot", 1)]


@in_virtual_time
async def test_many_known_ones_share_the_room() -> None:
    """Each is told of, by reason at least; all of them together push no more out of the store than a few would."""
    store, crowd = MemoryStore(), IDENTITIES // 2
    trail = trail_on(store)
    for number in range(DENIALS):
        for who in range(crowd):
            trail.refused(Actor(identity=f"i{who}", address=f"10.0.0.{number}"), "UpdateService", WRONG)
    trail.refused(Actor(identity="eve"), "ExportSnapshot", WRONG)
    await flushed(trail)
    found = await chain(store)
    assert len(found) <= ROOM + crowd + 1
    of = [[one for one in found if one.identity == f"i{who}"] for who in range(crowd)]
    share = ROOM // (crowd + 1)
    assert {tuple(one.count for one in mine) for mine in of} == {(*[1] * share, DENIALS - share)}
    assert {mine[-1].method for mine in of} == {"*"}
    assert [one.method for one in found if one.identity == "eve"] == ["ExportSnapshot"]


@in_virtual_time
async def test_whoever_has_no_token_cannot_push_the_history_out_within_hours() -> None:
    store = MemoryStore()
    trail = trail_on(store)
    seconds = 5
    for _ in range(seconds):
        for number in range(1_000):
            trail.refused(Actor(address=f"10.0.0.{number % 250}"), f"method {number % 40}", NOBODY)
        trail.refused(Actor(address="10.0.0.1"), "UpdateService", WRONG)
        await flushed(trail)
    found = await chain(store)
    assert sum(one.count for one in found) == seconds * 1_001
    assert [one.count for one in found if one.outcome == "WRONG_SECRET"] == [1] * seconds  # summed up, and still told
    assert len(found) / seconds <= 10  # 100,000 records of audit_keep last for 2.7 hours


@in_virtual_time
async def test_while_the_store_hangs_nothing_waits_and_memory_is_bounded() -> None:
    store = SlowStore()
    trail = trail_on(store)
    store.hang()
    for _ in range(20):
        for number in range(200):
            trail.refused(Actor(address=f"10.0.0.{number}"), "UpdateService", WRONG)
        await flushed(trail)
    assert store.waiting == 1
    store.release()
    await settle()
    await flushed(trail)
    found = await chain(store)
    assert sum(one.count for one in found) == 20 * 200
    assert len(found) == 2 * (STRANGERS + 1)


@in_virtual_time
async def test_what_the_store_does_not_take_is_counted_and_told_until_it_takes_something_again() -> None:
    store = FailingStore(failing=True)
    trail = trail_on(store)
    trail.refused(ME, "UpdateService", WRONG)
    trail.did(ME, "SetStrategy")
    await flushed(trail)
    assert (trail.lost, "2 audit records were lost: the disk is full" in trail.trouble) == (2, True)
    store.failing = False
    trail.did(ME, "SetStrategy")
    await flushed(trail)
    assert (trail.lost, trail.trouble) == (2, "")


class FaultyStore(MemoryStore):
    """Has a fault that no store should have."""

    broken = True

    async def commit(self, facts: Sequence[Fact]) -> None:
        if self.broken:
            raise ZeroDivisionError("a fault")
        await super().commit(facts)


@in_virtual_time
async def test_no_fault_ends_the_trail_or_goes_untold(caplog: pytest.LogCaptureFixture) -> None:
    store = FaultyStore()
    trail = trail_on(store)
    for _ in range(2):
        trail.did(ME, "SetStrategy")
        await flushed(trail)
    assert (trail.lost, trail.trouble) == (2, "2 audit records were lost: ZeroDivisionError: a fault")
    (told,) = caplog.records
    assert (told.getMessage(), told.exc_info is not None) == ("audit records are not stored", True)
    store.broken = False
    trail.did(ME, "SetStrategy")
    await flushed(trail)
    assert (len(await chain(store)), trail.trouble) == (1, "")


@in_virtual_time
async def test_the_oldest_are_let_go_of_but_none_that_the_file_still_lacks() -> None:
    store = MemoryStore()
    trail = trail_on(store, keep=100)
    await store.commit([Audit(entry=make_audit_entry(f"{number}")) for number in range(100 + SLACK - 1)])
    await flushed(trail)
    assert store.audit_anchor.seq == 0
    await store.commit([Audit(entry=make_audit_entry("one more"))])
    trail.exported = 0
    await flushed(trail)
    assert store.audit_anchor.seq == 0
    trail.exported = SLACK
    await flushed(trail)
    assert store.audit_anchor.seq == SLACK
    await store.commit([Audit(entry=make_audit_entry(f"{number}")) for number in range(3 * TRIM)])
    trail.exported = None
    await flushed(trail)
    assert store.audit_anchor.seq == SLACK + TRIM
    for _ in range(10):
        await flushed(trail)
    kept = store.audit_head.seq - store.audit_anchor.seq
    assert 100 <= kept < 100 + SLACK


@in_virtual_time
async def test_what_has_gathered_is_handed_over_at_the_end() -> None:
    store = MemoryStore()
    trail = trail_on(store)
    trail.did(ME, "SetStrategy")
    trail.tick()
    trail.did(ME, "Reload")
    await trail.stop(timeout_s=1.0)
    assert [one.method for one in await chain(store)] == ["SetStrategy", "Reload"]
    hanging = SlowStore()
    trail = trail_on(hanging)
    hanging.hang()
    trail.did(ME, "SetStrategy")
    began = asyncio.get_running_loop().time()
    await trail.stop(timeout_s=1.0)
    await trail.stop(timeout_s=1.0)
    assert asyncio.get_running_loop().time() - began <= 4.0
    hanging.release()


# In a registry.


@in_virtual_time
async def test_a_service_refused_alone_on_a_stream_is_a_denial() -> None:
    store = MemoryStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    session = coordinator.open_stream(LOCAL, lambda: None)
    await coordinator.receive(session, hello(entry, OTHER_SECRET))
    await passing(1.5)
    (denied,) = [one for one in await chain(store) if one.outcome != "OK"]
    assert (denied.method, denied.outcome, denied.address) == ("Heartbeat", "WRONG_SECRET", "127.0.0.1")
    coordinator.close_stream(session)
    await coordinator.stop()


@in_virtual_time
async def test_what_the_registry_removes_by_itself_is_recorded_as_its_own() -> None:
    store = MemoryStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    session = await live(coordinator, entry)
    coordinator.close_stream(session)
    await passing(90)
    assert len(coordinator.registry) == 0
    last = (await chain(store))[-1]
    assert (last.method, last.identity, last.target) == ("EXPIRED", "the registry", entry.service_id)
    assert (bool(last.before_hash), last.after_hash) == (True, "")
    await coordinator.stop()


@in_virtual_time
async def test_what_changes_nothing_has_no_record() -> None:
    store = MemoryStore()
    coordinator = await coordinator_on(store)
    entry = await add(coordinator)
    spared = Remove(service_id=entry.service_id, reason=RemovalReason.EXPIRED, at_revision=999)
    await coordinator.execute(spared, REGISTRY_ACTOR)
    assert [one.method for one in await chain(store)] == ["RegisterService"]
    await coordinator.stop()
