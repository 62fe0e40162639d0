"""AdminService over real gRPC: a registry moves from one daemon to another; anything that is no snapshot is refused."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest

from orion_registry import RegistryClient, Selector, ServiceSpec
from orion_registry.client.admin import AdminClient
from orion_registry.client.failures import Unreachable
from orion_registry.core.config import RegistryConfig
from orion_registry.core.facts import Stored
from orion_registry.core.model import LivenessMode, ServiceStatus, SessionRef
from orion_registry.errors import (
    AlreadyExists,
    InvalidArgument,
    PermissionDenied,
    Reason,
    RegistryError,
    ResourceExhausted,
    Unavailable,
)
from orion_registry.runtime.clock import SystemClock
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.admin_service import AdminService
from orion_registry.server.methods import ADMIN_METHODS, ADMIN_SERVICE, Kind
from orion_registry.store.memory import MemoryStore
from orion_registry.store.snapshot import SnapshotReader, write_snapshot
from orion_registry.testing.daemon import running_daemon
from orion_registry.testing.entropy import SeededEntropy
from orion_registry.testing.stores import FailingStore
from orion_registry_pb.v1 import admin_pb2 as pb
from orion_registry_pb.v1 import admin_pb2_grpc as stubs
from tests.server.serving import MIB, OWN_CONNECTION, serving, until
from tests.server.test_server_wrapper import GARBAGE, typed

ALL = Selector(include_not_ready=True)
SPECS = (
    ServiceSpec(agent_id="calc-1", service_name="calc", capabilities=("math.add",), tags=("gpu",), port=1),
    ServiceSpec(agent_id="calc-2", service_name="calc", liveness=LivenessMode.STATIC, metadata_json='{"a":1.0}'),
    ServiceSpec(agent_id="calc-3", service_name="calc", liveness=LivenessMode.TTL, namespace="other"),
)


async def pieces(data: bytes, size: int = 1_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def export_of(address: str) -> bytes:
    async with AdminClient(address) as admin:
        return b"".join([piece async for piece in admin.export_snapshot()])


async def import_into(address: str, data: bytes, size: int = 1_000) -> Any:
    async with AdminClient(address) as admin:
        return await admin.import_snapshot(pieces(data, size))


async def fill(address: str) -> list[SessionRef]:
    async with RegistryClient(address) as client:
        return [(await client.register(spec)).ref for spec in SPECS]


# Between two daemons.


async def test_a_registry_moves() -> None:
    """Equal catalog, secrets that still speak for their services, epochs that only rise."""
    async with running_daemon() as one, running_daemon() as two:
        refs = await fill(one.address)
        data = await export_of(one.address)
        assert (await import_into(two.address, data)).added == 3
        before, after = one.coordinator.registry.stored(), two.coordinator.registry.stored()
        assert after.records == before.records
        assert after.epochs_below > before.epochs_below
        async with RegistryClient(two.address) as client:
            statuses = [(await client.get(ref.service_id)).status for ref in refs]
            assert statuses == [ServiceStatus.UNKNOWN, ServiceStatus.HEALTHY, ServiceStatus.UNKNOWN]
            await client.send_heartbeat(refs[2])
            assert (await client.get(refs[2].service_id)).ready
            await client.update(refs[0], ServiceSpec(agent_id="x", service_name="x", port=2), ["port"])
            wrong = SessionRef(service_id=refs[0].service_id, epoch=refs[0].epoch, secret="x" * 32)
            with pytest.raises(PermissionDenied):
                await client.unregister(wrong)
            new = await client.register(ServiceSpec(agent_id="new", service_name="new"))
            assert new.ref.epoch >= before.epochs_below


async def test_again_adds_nothing() -> None:
    """A second import keeps all; one into the registry that it came from too."""
    async with running_daemon() as one, running_daemon() as two:
        await fill(one.address)
        data = await export_of(one.address)
        first = await import_into(two.address, data)
        again = await import_into(two.address, data)
        assert (again.added, again.kept, again.revision) == (0, 3, first.revision)
        back = await import_into(one.address, data)
        assert (back.added, back.kept) == (0, 3)


async def test_watchers_see_what_comes_in() -> None:
    async with running_daemon() as one, running_daemon() as two:
        await fill(one.address)
        async with RegistryClient(two.address) as client, client.watch(ALL) as watch:
            await watch.synced.wait()
            await import_into(two.address, await export_of(one.address))
            await until(lambda: len(watch.services) == 2)  # the third is in another namespace


async def test_many_services() -> None:
    """Several pieces out, and in again in messages of another size."""
    async with running_daemon() as one, running_daemon() as two:
        async with RegistryClient(one.address) as client:
            metadata = '{"text":"' + "x" * 10_000 + '"}'
            specs = [ServiceSpec(agent_id=f"a{n}", service_name="s", metadata_json=metadata) for n in range(100)]
            await asyncio.gather(*(client.register(spec) for spec in specs))
        async with AdminClient(one.address) as admin:
            parts = [part async for part in admin.export_snapshot()]
        assert len(parts) > 10
        assert max(map(len, parts)) < 256 * 1024
        assert (await import_into(two.address, b"".join(parts), size=4 * MIB)).added == 100


async def test_an_empty_registry() -> None:
    async with running_daemon() as one, running_daemon() as two:
        result = await import_into(two.address, await export_of(one.address))
        assert (result.added, result.kept) == (0, 0)


# What is refused.


@pytest.fixture
async def data() -> bytes:
    async with running_daemon() as daemon:
        await fill(daemon.address)
        return await export_of(daemon.address)


async def test_damage_is_refused_and_changes_nothing(data: bytes) -> None:
    lines = data.splitlines(keepends=True)
    damaged = {
        "empty": b"",
        "cut off": data[:-1],
        "do not match its sha256": lines[0] + lines[2] + lines[1] + lines[3] + lines[4],
        "not JSON": b"\x00\n" * 5_000,
        "not a snapshot": b"\x00" * 5_000,
        "after the end": data + b"x",
        "needs a newer one": data.replace(b'"version":1,', b'"version":3,'),
    }
    async with running_daemon() as daemon:
        for says, bad in damaged.items():
            with pytest.raises(InvalidArgument, match=says) as caught:
                await import_into(daemon.address, bad)
            assert caught.value.reason is Reason.BAD_FIELD
        assert len(daemon.coordinator.registry) == 0
        assert (await import_into(daemon.address, data)).added == 3


async def test_somebody_elses_id_is_named(data: bytes) -> None:
    async with running_daemon() as daemon:
        async with RegistryClient(daemon.address) as client:
            taken = SnapshotReader()
            taken.feed(data)
            service_id = taken.finish().records[1].service_id
            await client.register(ServiceSpec(agent_id="other", service_name="s", service_id=service_id))
        with pytest.raises(AlreadyExists, match=service_id):
            await import_into(daemon.address, data)
        assert len(daemon.coordinator.registry) == 1


async def test_a_full_disk(data: bytes) -> None:
    store = FailingStore()
    async with running_daemon(store=store) as daemon:
        store.failing = True
        with pytest.raises(Unavailable) as caught:
            await import_into(daemon.address, data)
        assert (caught.value.reason, caught.value.retry_after_s is None) == (Reason.STORE_DOWN, False)
        assert len(daemon.coordinator.registry) == 0
        assert (await export_of(daemon.address)).endswith(b"\n")


async def test_too_large_is_refused_while_it_comes(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """The registry holds no more than the limit; the client is told why, though it was still writing."""
    monkeypatch.setattr("orion_registry.server.snapshot_streams.SnapshotReader", lambda: SnapshotReader(limit=1_000))

    async def much() -> AsyncIterator[bytes]:
        yield data
        for _ in range(300):
            yield bytes(60_000)

    async with running_daemon() as daemon, AdminClient(daemon.address) as admin:
        with pytest.raises(ResourceExhausted) as caught:
            await admin.import_snapshot(much())
        assert caught.value.reason is Reason.TOO_LARGE
        assert len(daemon.coordinator.registry) == 0


# The service alone.


@dataclass
class Served:
    coordinator: Coordinator
    channel: grpc.aio.Channel
    stub: "stubs.AdminServiceAsyncStub"


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Served]:
    coordinator = Coordinator(
        config=RegistryConfig(), store=MemoryStore(), clock=SystemClock(), entropy=SeededEntropy()
    )
    service = AdminService(coordinator, **options)
    async with serving(ADMIN_METHODS, service.handlers, lambda: coordinator.serving) as address:
        await coordinator.start()
        async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
            stub: Any = stubs.AdminServiceStub(channel)
            yield Served(coordinator, channel, stub)
        if coordinator.serving:
            await coordinator.stop()


async def outcome(call: Any) -> RegistryError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error: RegistryError = typed(caught.value)
    return error


def raw_import(channel: grpc.aio.Channel, messages: Iterable[bytes]) -> Any:
    opener: Any = channel.stream_unary(f"/{ADMIN_SERVICE}/ImportSnapshot")
    return opener(iter(messages))


def test_table_is_complete() -> None:
    service = pb.DESCRIPTOR.services_by_name["AdminService"]
    rows = {method.name: method for method in ADMIN_METHODS}
    assert set(rows) == set(service.methods_by_name)
    assert service.full_name == ADMIN_SERVICE
    looks = {"GetServerInfo", "ListEvents", "WatchEvents", "ListOverlays"}
    for name, row in rows.items():
        assert row.audited is (name not in looks | {"ListAuditRecords"})
        assert {role.value for role in row.roles} == ({"operator", "viewer"} if name in looks else {"operator"})
    assert {name for name, row in rows.items() if row.always} == {"GetServerInfo"}
    assert (rows["ExportSnapshot"].kind, rows["ImportSnapshot"].kind) == (Kind.SERVER_STREAM, Kind.CLIENT_STREAM)
    for name, described in service.methods_by_name.items():
        assert rows[name].request.DESCRIPTOR is described.input_type


async def test_garbage(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no message: INVALID_ARGUMENT/BAD_FIELD, at first and later on, and nothing in the log."""
    sound = pb.ImportSnapshotRequest(chunk=b"{").SerializeToString()
    async with served() as admin:
        for bad in GARBAGE:
            if bad == b"\x0a\x02\xff\xfe":
                continue  # a message here: its field is bytes, not text
            for messages in ([bad], [sound, bad]):
                error = await outcome(raw_import(admin.channel, messages))
                assert (type(error), error.reason) == (InvalidArgument, Reason.BAD_FIELD)
                assert f"{len(bad)} bytes" in error.message
            export: Any = admin.channel.unary_stream(f"/{ADMIN_SERVICE}/ExportSnapshot")
            error = await outcome(export(bad).read())
            assert (type(error), error.reason) == (InvalidArgument, Reason.BAD_FIELD)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_no_message_and_empty_messages() -> None:
    async with served() as admin:
        for messages in ([], [b""], [b"", b""]):
            error = await outcome(raw_import(admin.channel, messages))
            assert (error.reason, error.message) == (Reason.BAD_FIELD, "snapshot line 1: it is empty")


async def test_not_serving() -> None:
    async with served() as admin:
        admin.coordinator.serving = False
        assert (await outcome(raw_import(admin.channel, [b""]))).reason is Reason.NOT_SERVING
        assert (await outcome(admin.stub.ExportSnapshot(pb.ExportSnapshotRequest()).read())).reason is (
            Reason.NOT_SERVING
        )
        admin.coordinator.serving = True


async def test_one_import_at_a_time_and_the_silent_one_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """The second is told to come again; one that sends nothing makes room; a cancelled one does too."""
    file = b"".join(write_snapshot(Stored(), 0.0))
    async with served(idle_s=0.3) as admin:
        silent: Any = admin.stub.ImportSnapshot()
        await silent.write(pb.ImportSnapshotRequest(chunk=file[:10]))
        busy = await outcome_once_busy(admin)
        assert (busy.reason, busy.retry_after_s) == (Reason.QUEUE_FULL, 2.0)
        error = await outcome(silent)
        assert isinstance(error, ResourceExhausted)
        assert "nothing came for 0.3 s" in error.message
        assert error.retry_after_s is not None

        gone: Any = admin.stub.ImportSnapshot()
        await gone.write(pb.ImportSnapshotRequest(chunk=file[:10]))
        await outcome_once_busy(admin)
        gone.cancel()
        async with asyncio.timeout(5):
            while True:
                call: Any = admin.stub.ImportSnapshot()
                try:
                    await call.write(pb.ImportSnapshotRequest(chunk=file))
                    await call.done_writing()
                    assert (await call).added == 0
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)
                else:
                    break
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_a_refused_one_that_falls_silent_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """It is told why it was refused, soon."""
    async with served() as admin:
        silent: Any = admin.stub.ImportSnapshot()
        await silent.write(pb.ImportSnapshotRequest(chunk=b"no snapshot\n"))
        error = await outcome(silent)
        assert (error.reason, error.message) == (Reason.BAD_FIELD, "snapshot line 1: not JSON in UTF-8")
        await silent.code()
        await asyncio.sleep(0.05)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def outcome_once_busy(admin: Served) -> RegistryError:
    """How an import beside another one ends."""
    async with asyncio.timeout(5):
        while True:
            error = await outcome(raw_import(admin.channel, [b""]))
            if error.reason is not Reason.BAD_FIELD:
                return error
            await asyncio.sleep(0.005)


async def test_an_export_nobody_reads_holds_up_nobody() -> None:
    async with served() as admin:
        call = admin.stub.ExportSnapshot(pb.ExportSnapshotRequest())
        await asyncio.sleep(0.05)
        other = admin.stub.ExportSnapshot(pb.ExportSnapshotRequest())
        assert b"".join([part.chunk async for part in other]).endswith(b"\n")
        call.cancel()


# The client.


async def test_nobody_there() -> None:
    async with AdminClient("127.0.0.1:1") as admin:
        with pytest.raises(Unreachable, match=r"cannot reach the registry at 127\.0\.0\.1:1"):
            await admin.import_snapshot(pieces(b"x"))
        with pytest.raises(Unreachable):
            _ = [part async for part in admin.export_snapshot()]


async def test_a_source_that_fails_ends_the_import(data: bytes) -> None:
    """The caller's own error comes through, nothing is imported, and the next import is not held up."""

    async def broken() -> AsyncIterator[bytes]:
        yield data[:100]
        raise OSError("the disk went away")

    async with running_daemon() as daemon, AdminClient(daemon.address) as admin:
        with pytest.raises(OSError, match="went away"):
            await admin.import_snapshot(broken())
        async with asyncio.timeout(5):
            while True:
                try:
                    assert (await admin.import_snapshot(pieces(data))).added == 3
                    break
                except ResourceExhausted:
                    await asyncio.sleep(0.01)


async def test_a_client_that_leaves_an_export(data: bytes) -> None:
    async with running_daemon() as daemon, AdminClient(daemon.address) as admin:
        async for part in admin.export_snapshot():
            assert part
            break
        assert (await admin.import_snapshot(pieces(data))).added == 3


async def test_cancelled_from_outside() -> None:
    async with running_daemon() as daemon, AdminClient(daemon.address) as admin:

        async def never() -> AsyncIterator[bytes]:
            await asyncio.sleep(60)
            yield b""

        task = asyncio.create_task(admin.import_snapshot(never()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_wrong_use_of_the_client() -> None:
    with pytest.raises(InvalidArgument, match="timeout_s"):
        AdminClient(timeout_s=0)
    with pytest.raises(InvalidArgument, match="address"):
        AdminClient("nowhere")
