"""The contract of store/base about the audit chain, held by every store: a new backend adds one line to STORES."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orion_registry.core.audit import START, AuditHead, AuditRecord, hash_of_stored
from orion_registry.core.audit_verification import verify
from orion_registry.core.facts import Audit, Delete, Put, PutOverlay, TrimAudit
from orion_registry.store.base import Store, StoreDamaged, StoreFailed
from orion_registry.store.memory import MemoryStore
from orion_registry.store.rows import overlay_to_json, record_to_json
from orion_registry.testing.stores import FailingStore, SlowStore
from tests.building import make_audit_entry, make_record, make_spec
from tests.store.images import copy, overlay, read, store_in


@dataclass
class Backend:
    """A store under test, and how a later life opens the same data again."""

    store: Store
    reopen: Callable[[], Store]


def memory(_: Path) -> Backend:
    store = MemoryStore()
    return Backend(store, lambda: store)


def slow(_: Path) -> Backend:
    store = SlowStore()
    return Backend(store, lambda: store)


def failing(_: Path) -> Backend:
    store = FailingStore()
    return Backend(store, lambda: store)


def sqlite(path: Path) -> Backend:
    return Backend(store_in(path / "data"), lambda: store_in(path / "data"))


STORES = [memory, slow, failing, sqlite]
every_store = pytest.mark.parametrize("make", STORES)
Make = Callable[[Path], Backend]

A = make_record(make_spec(service_id="a"))


async def chain_of(store: Store, after_seq: int = 0) -> list[AuditRecord]:
    """All records that are kept, behind a number."""
    found: list[AuditRecord] = []
    while page := await store.audit_records(found[-1].seq if found else after_seq, 3):
        found += page
    return found


async def whole_chain(store: Store) -> list[AuditRecord]:
    """The same, once it was followed from end to end."""
    records = await chain_of(store)
    verdict = verify(records, anchor=store.audit_anchor, head=store.audit_head)
    assert verdict.broken is None
    assert verdict.head == store.audit_head
    return records


@every_store
async def test_audit_records_say_what_was_stored_before_and_after(make: Make, tmp_path: Path) -> None:
    store = make(tmp_path).store
    await store.load()
    assert (store.audit_anchor, store.audit_head) == (AuditHead(), AuditHead(seq=0, hash=START))
    newer, set_for_b = replace(A, generation=2), overlay(1)
    await store.commit([Put(record=A), Audit(entry=make_audit_entry("first"), after=A)])
    await store.commit([Audit(entry=make_audit_entry("second"), before=A, after=newer), Put(record=newer)])
    await store.commit([PutOverlay(overlay=set_for_b), Audit(entry=make_audit_entry("third"), after=set_for_b)])
    await store.commit([Delete(service_id="a"), Audit(entry=make_audit_entry("fourth"), before=newer)])
    await store.commit([Audit(entry=make_audit_entry("fifth"))])
    old, new, of_b = (hash_of_stored(text) for text in (*map(record_to_json, (A, newer)), overlay_to_json(set_for_b)))
    found = [(one.seq, one.target, one.before_hash, one.after_hash) for one in await whole_chain(store)]
    assert found == [
        (1, "first", "", old),
        (2, "second", old, new),
        (3, "third", "", of_b),
        (4, "fourth", new, ""),
        (5, "fifth", "", ""),
    ]
    await store.close()


@every_store
async def test_audit_records_survive_a_restart_and_go_on_from_there(make: Make, tmp_path: Path) -> None:
    backend = make(tmp_path)
    await backend.store.load()
    await backend.store.commit([Audit(entry=make_audit_entry("\n\x1b[2Jü\udc00")), Audit(entry=make_audit_entry("b"))])
    before = await whole_chain(backend.store)
    await backend.store.close()
    later = backend.reopen()
    await later.load()
    await later.commit([Audit(entry=make_audit_entry("c", wall=0.1, count=2**40))])
    after = await whole_chain(later)
    assert after[:2] == before
    assert [(one.seq, one.target) for one in after] == [(1, "\n\x1b[2Jü\udc00"), (2, "b"), (3, "c")]
    await later.close()


@every_store
async def test_audit_records_stand_in_the_order_of_commits_and_a_failed_one_leaves_no_gap(
    make: Make, tmp_path: Path
) -> None:
    store = make(tmp_path).store
    await store.load()
    bad = make_audit_entry("bad", wall=float("nan"))
    outcomes = await asyncio.gather(
        *(
            store.commit(
                [Put(record=A), Audit(entry=bad if number % 7 == 3 else make_audit_entry(f"{number}"), after=A)]
            )
            for number in range(50)
        ),
        return_exceptions=True,
    )
    assert [isinstance(one, StoreFailed) for one in outcomes] == [number % 7 == 3 for number in range(50)]
    assert [one.target for one in await whole_chain(store)] == [f"{n}" for n in range(50) if n % 7 != 3]
    await store.close()


@every_store
async def test_the_audit_chain_is_trimmed_from_its_oldest_and_stays_whole(make: Make, tmp_path: Path) -> None:
    backend = make(tmp_path)
    store = backend.store
    await store.load()
    await store.commit([Audit(entry=make_audit_entry(f"{number}")) for number in range(10)])
    fourth = (await chain_of(store))[3]
    await store.commit([TrimAudit(through=4), Audit(entry=make_audit_entry("new"))])
    await store.commit([TrimAudit(through=2)])
    assert store.audit_anchor == AuditHead(seq=4, hash=fourth.hash)
    await store.close()
    later = backend.reopen()
    await later.load()
    assert [one.seq for one in await whole_chain(later)] == [5, 6, 7, 8, 9, 10, 11]
    assert [one.seq for one in await chain_of(later, after_seq=9)] == [10, 11]
    await later.commit([TrimAudit(through=100)])
    assert await whole_chain(later) == []
    assert later.audit_anchor == later.audit_head
    await later.commit([Audit(entry=make_audit_entry("on it goes"))])
    assert [one.seq for one in await whole_chain(later)] == [12]
    await later.close()


# Damage is found.

DAMAGE = {
    "edited": 'UPDATE audit SET record = replace(record, \'"target":"3"\', \'"target":"9"\') WHERE seq = 4',
    "edited with its hash": "UPDATE audit SET hash = replace(hash, substr(hash, 1, 1), 'f') WHERE seq = 4",
    "deleted": "DELETE FROM audit WHERE seq = 4",
    "beginning deleted": "DELETE FROM audit WHERE seq = 1",
    "end deleted": "DELETE FROM audit WHERE seq = 10",
    "reordered": "UPDATE audit SET seq = CASE seq WHEN 4 THEN -5 WHEN 5 THEN -4 END WHERE seq IN (4, 5)",
    "head lost": "DELETE FROM audit_ends",
    "head moved back": "UPDATE audit_ends SET head_seq = 9",
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_audit_chain_is_refused(damage: str, tmp_path: Path) -> None:
    store = store_in(tmp_path / "data")
    await store.load()
    await store.commit([Audit(entry=make_audit_entry(f"{number}")) for number in range(10)])
    await store.close()
    whole = copy(tmp_path / "data", tmp_path / "whole")
    with sqlite3.connect(tmp_path / "data" / "registry.db") as connection:
        assert connection.execute(DAMAGE[damage]).rowcount > 0
        connection.execute("UPDATE audit SET seq = -seq WHERE seq < 0")
    connection.close()
    with pytest.raises(StoreDamaged, match="audit"):
        await read(tmp_path / "data")
    await read(whole)
