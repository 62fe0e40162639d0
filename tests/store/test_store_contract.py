"""The contract of store/base, held by every store: a new backend adds one line to STORES."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orion_registry.core.facts import Delete, DeleteOverlay, Fact, Put, PutOverlay, ReserveEpochs, Stored
from orion_registry.core.overlay import Overlay, OverlayMode
from orion_registry.store.base import StoreFailed
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.stores import FailingStore, SlowStore
from tests.building import make_record, make_spec
from tests.etcd.node import needs_etcd
from tests.runtime.virtual import in_virtual_time, settle
from tests.store.backends import Backend, etcd_backend
from tests.store.images import store_in


def memory(_directory: Path) -> Backend:
    store = MemoryStore()
    return Backend(store, lambda: store)


def slow(_directory: Path) -> Backend:
    store = SlowStore()
    return Backend(store, lambda: store)


def failing(_directory: Path) -> Backend:
    store = FailingStore()
    return Backend(store, lambda: store)


def sqlite(directory: Path) -> Backend:
    return Backend(store_in(directory), lambda: store_in(directory))


STORES = [memory, slow, failing, sqlite, pytest.param(etcd_backend, marks=needs_etcd, id="etcd")]
Make = Callable[[], Backend]


def every_store(test: Any) -> Any:
    return pytest.mark.parametrize("make", STORES, indirect=True)(test)


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Memory and its like, SQLite, and etcd."""
    return lambda: request.param(tmp_path)


A, B = (make_record(make_spec(service_id=name)) for name in "ab")


def by_id(stored: Stored) -> dict[str, object]:
    return {record.service_id: record for record in stored.records}


async def stored_after(make: Make, *batches: list[Fact]) -> Stored:
    backend = make()
    assert await backend.store.load() == Stored()
    for batch in batches:
        await backend.store.commit(batch)
    await backend.store.close()
    later = backend.reopen()
    stored = await later.load()
    await later.close()
    return stored


@every_store
async def test_a_new_store_is_empty(make: Make) -> None:
    assert await stored_after(make) == Stored(records=(), epochs_below=1)


@every_store
async def test_what_was_committed_is_there_in_a_later_life(make: Make) -> None:
    stored = await stored_after(make, [Put(record=A), ReserveEpochs(below=100)], [Put(record=B)])
    assert by_id(stored) == {"a": A, "b": B}
    assert stored.epochs_below == 100


@every_store
async def test_a_batch_is_taken_in_its_order(make: Make) -> None:
    newer = replace(A, generation=2)
    stored = await stored_after(
        make, [Put(record=A), Put(record=newer), Put(record=B), Delete(service_id="b")], [Delete(service_id="x")], []
    )
    assert by_id(stored) == {"a": newer}


@every_store
async def test_a_record_comes_back_as_it_went_in(make: Make) -> None:
    spec = make_spec(
        service_id="a",
        host="::1",
        port=65_535,
        tags=("ü", "b"),
        capabilities=("c",),
        metadata_json='{"k":true,"n":1.0,"z":null}',
        metadata_scalars={"k": True, "n": 1.0, "z": None},
        weight=0.1,
        retention_s=0.0,
    )
    record = make_record(spec, identity="me", used_epoch=2**40, registered_wall=1.5, request_id="r", payload_hash="h")
    (back,) = (await stored_after(make, [Put(record=record)])).records
    assert back == record
    assert type(back.spec.metadata_scalars["k"]) is bool
    assert type(back.spec.tags) is tuple


@every_store
async def test_a_reservation_never_shrinks(make: Make) -> None:
    stored = await stored_after(make, [ReserveEpochs(below=100)], [ReserveEpochs(below=50)])
    assert stored.epochs_below == 100


@every_store
async def test_batches_may_be_committed_side_by_side(make: Make) -> None:
    backend = make()
    await backend.store.load()
    records = [make_record(make_spec(service_id=f"s{number}")) for number in range(100)]
    await asyncio.gather(*(backend.store.commit([Put(record=record)]) for record in records))
    await backend.store.close()
    later = backend.reopen()
    assert len((await later.load()).records) == 100
    await later.close()


def overlay(name: str, **fields: Any) -> Overlay:
    about: dict[str, Any] = {"namespace": "default", "agent_id": name, "service_name": "n", "service_id": f"s-{name}"}
    return Overlay(**about, **{"mode": OverlayMode.QUARANTINE, **fields})


@every_store
async def test_overlays_come_back_as_they_went_in(make: Make) -> None:
    full = overlay("a", mode=OverlayMode.DRAIN, weight=0.5, deadline_s=1.5, note="ü", set_by="me", set_wall=2.5)
    stored = await stored_after(make, [PutOverlay(overlay=full), PutOverlay(overlay=overlay("b"))])
    assert {one.key: one for one in stored.overlays} == {full.key: full, overlay("b").key: overlay("b")}


@every_store
async def test_overlays_are_kept_apart_from_services_and_in_their_order(make: Make) -> None:
    """Neither is deleted with the other, though they are of the same service."""
    old, new, gone = overlay("a"), overlay("a", weight=2.0), overlay("b")
    of_a = make_record(make_spec("a", "n", service_id="s-a"))
    stored = await stored_after(
        make,
        [PutOverlay(overlay=old), Put(record=of_a), PutOverlay(overlay=gone), PutOverlay(overlay=new)],
        [DeleteOverlay(key=gone.key), DeleteOverlay(key="x/y/z/w"), Delete(service_id="s-a")],
    )
    assert stored == Stored(overlays=(new,))


# The stores that misbehave do so as they say.


@in_virtual_time
async def test_a_slow_store_holds_commits_until_released() -> None:
    store = SlowStore()
    store.hang()
    task = asyncio.ensure_future(store.commit([Put(record=A)]))
    await settle()
    assert store.waiting == 1
    assert await store.load() == Stored()
    store.release()
    await task
    assert (store.waiting, by_id(await store.load())) == (0, {"a": A})


@in_virtual_time
async def test_a_failing_store_takes_nothing_of_a_batch() -> None:
    store = FailingStore(failing=True)
    with pytest.raises(StoreFailed, match="disk is full"):
        await store.commit([Put(record=A), Put(record=B)])
    assert await store.load() == Stored()
