"""What a store on etcd promises beyond the contract: it is shared, and no write takes place that nobody knows of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from orion_registry.core.facts import Delete, Put, ReserveEpochs
from orion_registry.etcd.client import Etcd
from orion_registry.etcd.client import Put as EtcdPut
from orion_registry.etcd.config import EtcdConfig
from orion_registry.store.base import StoreDamaged, StoreFailed
from orion_registry.store.etcd import EtcdStore
from orion_registry.store.etcd_keys import Keys
from orion_registry.store.etcd_writes import StoreConflict
from tests.building import make_record, make_spec
from tests.etcd.node import Node, needs_etcd, running_node
from tests.store.images import put, record

pytestmark = needs_etcd

A = make_record(make_spec(service_id="a"))
KEYS = Keys()


@asynccontextmanager
async def store_on(node: Node, name: str = "one", timeout_s: float = 1.0) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(Etcd(EtcdConfig(endpoints=(node.address,), timeout_s=timeout_s)), KEYS, name=name)
    await store.load()
    try:
        yield store
    finally:
        await store.close()


async def test_of_two_writers_of_one_record_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, store_on(node) as one, store_on(node, "two") as two:
        results = await asyncio.gather(
            one.commit([Put(record=A)]), two.commit([Put(record=replace(A, generation=7))]), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["NoneType", "StoreConflict"]
        loser = two if results[0] is None else one
        await loser.commit([Put(record=replace(A, generation=8))])  # it knows by now what was written
    async with running_node(tmp_path) as node, store_on(node) as later:
        assert later.mirror.revision_of(KEYS.service("a"))


async def test_a_batch_with_one_conflict_changes_nothing(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, store_on(node) as one, store_on(node, "two") as two:
        await one.commit([put(1)])
        two.mirror._revisions.clear()  # as if its watch lagged behind
        with pytest.raises(StoreConflict):
            await two.commit([put(2), put(1)])
        async with store_on(node, "three") as three:
            assert not three.mirror.revision_of(KEYS.service("s0002"))


async def test_epochs_of_two_writers_never_overlap(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, store_on(node) as one, store_on(node, "two") as two:
        blocks = await asyncio.gather(
            *(store.reserve(lambda below: below + 100) for store in (one, two) for _ in range(10))
        )
        assert sorted(blocks) == [(1 + 100 * number, 101 + 100 * number) for number in range(20)]
        await two.commit([ReserveEpochs(below=5_000)])
        assert await one.reserve(lambda below: below + 100) == (5_000, 5_100)


async def test_thousands_of_facts_are_one_batch_for_their_writer(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, store_on(node) as one:
        await one.commit([put(number) for number in range(1_000)])
        async with store_on(node, "two") as two:
            assert two.mirror.revision_of(KEYS.service("s0999"))
        await one.commit([Delete(service_id=record(number).service_id) for number in range(1_000)])
        assert not (await one.etcd.get_all(f"{KEYS.prefix}services/")).kvs


async def test_a_write_without_an_answer_is_found_out(tmp_path: Path) -> None:
    """etcd hangs in the middle of many writes: each says truly whether it took place."""
    async with running_node(tmp_path) as node, store_on(node) as store:
        tasks = [asyncio.ensure_future(store.commit([put(number)])) for number in range(50)]
        await asyncio.sleep(0.005)
        node.stop()
        await asyncio.sleep(1.5)
        node.cont()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        said = {f"s{number:04}" for number, result in enumerate(results) if result is None}
        assert all(result is None or isinstance(result, StoreFailed) for result in results)
        await asyncio.sleep(0.5)  # for one that would take place late
        there = {kv.key.rpartition("/")[2] for kv in (await store.etcd.get_all(f"{KEYS.prefix}services/")).kvs}
        assert there == said


async def test_an_old_write_cannot_take_place_behind_a_renewed_fence(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, store_on(node) as store:
        await store.commit([put(1)])
        old = store._writes.fence.revision
        await store._writes.fence.renew()
        late = await store.etcd.commit({store._writes.fence.key: old}, [])
        assert not late.succeeded


async def test_a_dead_etcd_refuses_at_once_and_says_so(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, store_on(node) as store:
        await node.kill()
        with pytest.raises(StoreFailed):
            await store.commit([put(1)])
        assert store.alarm
        await node.start()
        await node.ready()
        await store.commit([put(1)])
        assert not store.alarm


async def test_a_full_etcd_refuses_and_says_so(tmp_path: Path) -> None:
    async with running_node(tmp_path, "--quota-backend-bytes", "200000") as node, store_on(node) as store:

        async def fill() -> None:
            for number in range(1_000):
                await store.commit([put(number)])

        with pytest.raises(StoreFailed, match="space"):
            await fill()
        assert "space" in store.alarm


async def test_what_is_no_record_is_not_loaded(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node:
        await node.ctl("put", KEYS.service("a"), "{}")
        with pytest.raises(StoreDamaged, match="services/a"):
            async with store_on(node):
                pass


async def test_a_write_of_a_fenced_store_is_refused(tmp_path: Path) -> None:
    """Somebody else has written its fence, as another daemon of its name would: it writes nothing any more."""
    async with running_node(tmp_path) as node, store_on(node) as store:
        await store.commit([put(1)])
        await store.etcd.commit({}, [EtcdPut(store._writes.fence.key, b"another")])
        with pytest.raises(StoreFailed, match="not known"):
            await store.commit([put(2)])
        assert len((await store.etcd.get_all(f"{KEYS.prefix}services/")).kvs) == 1
