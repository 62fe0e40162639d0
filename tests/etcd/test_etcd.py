"""The etcd layer against real etcd."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from orion_registry.etcd.client import Delete, Etcd, KeyValue, Put
from orion_registry.etcd.config import EtcdConfig
from orion_registry.etcd.failures import EtcdError, EtcdFull, EtcdRefused, EtcdTooLarge, EtcdUnavailable
from orion_registry.etcd.lease import KeptLease
from orion_registry.etcd.mirror import Mirror
from orion_registry.etcd.watch import Change
from tests.etcd.node import Node, free_port, needs_etcd, running_node, running_nodes

pytestmark = needs_etcd

WAIT_S = 30.0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.02)


@asynccontextmanager
async def client(*endpoints: str, **config: object) -> AsyncIterator[Etcd]:
    etcd = Etcd(EtcdConfig(endpoints=endpoints, **config))  # type: ignore[arg-type]  # of a test
    try:
        yield etcd
    finally:
        await etcd.close()


@asynccontextmanager
async def mirror_of(etcd: Etcd, told: Callable[[Sequence[Change]], None]) -> AsyncIterator[Mirror]:
    mirror = Mirror(etcd, "/t/", told)
    await mirror.start()
    try:
        yield mirror
    finally:
        await mirror.stop()


async def put(etcd: Etcd, key: str, value: str, unchanged: dict[str, int] | None = None) -> int:
    """Writes however long it takes: for tests that break etcd meanwhile."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return (await etcd.commit(unchanged or {}, [Put(key, value.encode())])).revision
            except EtcdUnavailable:
                await asyncio.sleep(0.1)


# Keys.


async def test_a_write_takes_place_only_if_nothing_has_changed(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, client(node.address) as etcd:
        made = await etcd.commit({"/t/a": 0}, [Put("/t/a", b"1")])
        assert made.succeeded
        refused = await etcd.commit({"/t/a": 0, "/t/b": 0}, [Put("/t/a", b"2"), Put("/t/b", b"2")])
        assert not refused.succeeded
        assert refused.found == (KeyValue("/t/a", b"1", made.revision),)
        assert (await etcd.commit({"/t/a": made.revision}, [Delete("/t/a"), Put("/t/b", b"3")])).succeeded
        assert [kv.key for kv in (await etcd.get_all("/t/")).kvs] == ["/t/b"]


async def test_more_than_a_page_is_read_as_of_one_revision(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, client(node.address) as etcd:
        for start in range(0, 2_500, 100):
            await etcd.commit({}, [Put(f"/t/{number:05}", b"x") for number in range(start, start + 100)])
        read = await etcd.get_all("/t/")
        assert [kv.key for kv in read.kvs] == [f"/t/{number:05}" for number in range(2_500)]


async def test_what_etcd_would_not_take_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, client(node.address) as etcd:
        with pytest.raises(EtcdTooLarge):
            await etcd.commit({}, [Put(f"/t/{number}", b"x") for number in range(129)])
        with pytest.raises(EtcdTooLarge):
            await etcd.commit({}, [Put("/t/a", b"x" * 1_700_000)])
        assert not (await etcd.get_all("/t/")).kvs


async def test_a_full_database_says_so(tmp_path: Path) -> None:
    async with running_node(tmp_path, "--quota-backend-bytes", "200000") as node, client(node.address) as etcd:

        async def fill() -> None:
            for number in range(100):
                await etcd.commit({}, [Put(f"/t/{number}", b"x" * 20_000)])

        with pytest.raises(EtcdFull):
            await fill()
        assert any("NOSPACE" in error for error in (await etcd.status()).errors)


async def test_a_dead_first_endpoint_is_passed_over(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, client(f"127.0.0.1:{free_port()}", node.address) as etcd:
        assert (await etcd.commit({}, [Put("/t/a", b"1")])).succeeded
        assert etcd.endpoints.endpoint == node.address


async def test_whoever_waits_for_a_connection_that_another_call_gives_up_goes_on_to_the_next() -> None:
    nowhere = tuple(f"127.0.0.1:{free_port()}" for _ in range(2))
    endpoints = Etcd(EtcdConfig(endpoints=nowhere, connect_s=0.3)).endpoints
    waiting = asyncio.create_task(endpoints.channel())
    await asyncio.sleep(0.1)
    endpoints.failed(nowhere[0])
    with pytest.raises(EtcdUnavailable, match=r"another call failed there; .*refused"):
        await waiting


async def test_a_write_is_sent_once_and_left_open(tmp_path: Path) -> None:
    """Where nobody listens it is not even sent; where nobody answers it may have taken place."""
    async with client(f"127.0.0.1:{free_port()}") as nowhere:
        with pytest.raises(EtcdUnavailable):
            await nowhere.commit({}, [Put("/t/a", b"1")])
    async with running_node(tmp_path) as node, client(node.address, timeout_s=0.5) as etcd:
        await etcd.get("/t/a")
        node.stop()
        with pytest.raises(EtcdUnavailable):
            await etcd.commit({"/t/a": 0}, [Put("/t/a", b"1")])
        node.cont()
        await put(etcd, "/t/b", "1")
        there = (await etcd.get("/t/a")).kvs
        assert [kv.value for kv in there] in ([], [b"1"])


async def test_the_token_is_asked_for_anew_when_it_has_run_out(tmp_path: Path) -> None:
    async with running_node(tmp_path, "--auth-token-ttl", "1") as node:
        for command in ("user add root:secret", "user grant-role root root", "auth enable"):
            await node.ctl(*command.split())
        async with client(node.address, user="root", password="secret") as etcd:
            seen: list[Change] = []
            async with mirror_of(etcd, seen.extend):
                await put(etcd, "/t/a", "1")
                await asyncio.sleep(2.5)  # simple tokens end a ttl after they were used last
                await put(etcd, "/t/b", "2")
                await until(lambda: len(seen) == 2)
        async with client(node.address, user="root", password="wrong") as etcd:
            with pytest.raises(EtcdRefused):
                await etcd.get("/t/a")


# Watches.


async def test_a_watch_goes_on_over_a_killed_etcd_and_misses_nothing(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, client(f"127.0.0.1:{free_port()}", node.address) as etcd:
        seen: list[Change] = []
        async with mirror_of(etcd, seen.extend) as mirror:
            wrote = [await put(etcd, "/t/a", str(number)) for number in range(20)]
            await node.kill()
            await asyncio.sleep(0.5)
            await node.start()
            wrote += [await put(etcd, "/t/a", str(number)) for number in range(20)]
            await until(lambda: len(seen) >= len(wrote))
            assert [change.revision for change in seen] == wrote
            assert mirror.resumes > 0
            assert mirror.relists == 0


async def test_what_was_compacted_away_is_read_anew_and_only_the_difference_is_told(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, client(node.address) as etcd, client(node.address) as other:
        for key in ("stays", "goes", "changes"):
            await put(etcd, f"/t/{key}", "old")
        seen: list[Change] = []
        async with mirror_of(etcd, seen.extend) as mirror:
            await node.kill()
            await node.start()  # the watch is away for 0.2 s at least
            await put(other, "/t/changes", "new")
            await other.commit({}, [Delete("/t/goes")])
            await put(other, "/t/comes", "new")
            await node.ctl("compact", str((await other.get("/t/comes")).revision))
            await until(lambda: {change.key for change in seen} == {"/t/changes", "/t/goes", "/t/comes"})
            assert {change.key for change in seen if change.value is None} == {"/t/goes"}
            await put(other, "/t/stays", "last")
            await until(lambda: seen[-1].key == "/t/stays")
            assert len(seen) == 4
            assert mirror.resumes + mirror.relists > 0


async def test_own_writes_and_what_was_read_past_the_watch_are_not_told_again(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, client(node.address) as etcd, client(node.address) as other:
        seen: list[Change] = []
        async with mirror_of(etcd, seen.extend) as mirror:
            mirror.hold(["/t/mine"])
            revision = await put(etcd, "/t/mine", "1")
            later = await put(other, "/t/mine", "2")
            await put(other, "/t/last", "1")
            await until(lambda: [change.key for change in seen] == ["/t/last"])
            mirror.own("/t/mine", revision)
            mirror.release(["/t/mine"])
            assert seen[1:] == [Change("/t/mine", b"2", later)]
            await put(other, "/t/read", "1")
            await mirror.refresh(["/t/read"])
            assert mirror.revision_of("/t/read")
            await other.commit({}, [Delete("/t/read")])
            await mirror.refresh(["/t/read"])
            assert mirror.revision_of("/t/read") == 0
            await put(other, "/t/last", "2")
            await until(lambda: seen[-1].key == "/t/last" and seen[-1].value == b"2")
            assert [change.value for change in seen if change.key == "/t/read"] == [b"1", None]


# Leases.


@pytest.mark.processes
async def test_a_lease_lost_while_etcd_was_stopped_is_asked_for_anew(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, client(node.address, timeout_s=0.5) as etcd:
        leases: list[int] = []

        async def granted(lease: int) -> None:
            await etcd.commit({}, [Put("/t/here", b"", lease)])
            leases.append(lease)

        kept = KeptLease(etcd, 2, granted)
        await kept.start()
        await asyncio.sleep(3.0)
        assert (await etcd.get("/t/here")).kvs
        assert len(leases) == 1
        node.stop()
        await asyncio.sleep(4.0)
        node.cont()
        await until(lambda: len(leases) > 1)
        assert (await etcd.get("/t/here")).kvs
        await kept.stop()
        assert not (await etcd.get("/t/here")).kvs


# Several nodes.


@pytest.mark.processes
async def test_one_of_three_nodes_may_die_or_hang(tmp_path: Path) -> None:
    async with running_nodes(tmp_path, 3) as nodes, client_of(nodes) as etcd:
        seen: list[Change] = []
        async with mirror_of(etcd, seen.extend):
            wrote = [await put(etcd, "/t/a", "1")]
            await nodes[0].kill()
            wrote.append(await put(etcd, "/t/a", "2"))
            await nodes[0].start()
            await nodes[0].ready()
            at = next(node for node in nodes if node.address == etcd.endpoints.endpoint)
            at.stop()
            wrote.append(await put(etcd, "/t/a", "3"))
            await until(lambda: [change.revision for change in seen][-1:] == wrote[-1:])
            at.cont()
        assert {change.revision for change in seen} >= set(wrote)


def client_of(nodes: list[Node]) -> AbstractAsyncContextManager[Etcd]:
    return client(*(node.address for node in nodes), timeout_s=1.0)


@pytest.mark.processes
async def test_without_a_majority_nothing_is_written(tmp_path: Path) -> None:
    async with running_nodes(tmp_path, 3) as nodes, client_of(nodes) as etcd:
        await put(etcd, "/t/a", "1")
        await nodes[0].kill()
        await nodes[1].kill()
        for _ in range(3):
            with pytest.raises(EtcdError):
                await etcd.commit({}, [Put("/t/a", b"2")])
