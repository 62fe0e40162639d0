"""The audit chain of a daemon: every change with who made it, every denial, and nothing that is not so."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from orion_registry.client.admin import AdminClient
from orion_registry.core.audit import AuditFilter, AuditRecord, record_of_line
from orion_registry.core.audit_verification import verify
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.server.daemon import Daemon
from orion_registry.server.settings import Settings
from orion_registry.testing.stores import FailingStore
from orion_registry_pb.v1 import balancer_pb2, registry_pb2, service_pb2
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub

SECRET = "0123456789abcdef0123456789abcdef"


async def chain_of(admin: AdminClient, wanted: AuditFilter | None = None) -> list[AuditRecord]:
    found, after = list[AuditRecord](), 0
    while True:
        page = await admin.audit_page(wanted or AuditFilter(), after_seq=after, page_size=3)
        found, after = [*found, *page.records], page.after_seq
        if after >= page.head.seq:
            return found


T = TypeVar("T")


async def eventually(ask: Callable[[], Awaitable[T]]) -> T:
    """The first answer that is something."""
    async with asyncio.timeout(20):
        while True:
            if found := await ask():
                return found
            await asyncio.sleep(0.05)


async def alarmed(admin: AdminClient, alarm: str) -> bool:
    return alarm in {held.name for held in (await admin.server_info()).alarms}


async def calm(admin: AdminClient) -> bool:
    return not (await admin.server_info()).alarms


async def until(admin: AdminClient, wanted: AuditFilter) -> AuditRecord:
    """The first record that passes; denials and the like come with the next second."""
    found = await eventually(lambda: chain_of(admin, wanted))
    return found[0]


def service(name: str = "a") -> service_pb2.ServiceInfo:
    return service_pb2.ServiceInfo(
        agent_id="calc",
        service_name="calc",
        service_id=name,
        host="127.0.0.1",
        port=1,
        liveness=service_pb2.LIVENESS_MODE_STATIC,
    )


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    settings = Settings(
        listen=("127.0.0.1:0",), data_dir=str(tmp_path / "data"), audit_file=str(tmp_path / "audit.jsonl")
    )
    async with Daemon(settings) as daemon:
        yield daemon


async def test_every_change_and_every_denial_is_in_the_chain(daemon: Daemon, tmp_path: Path) -> None:
    async with AdminClient(daemon.address) as admin, grpc.aio.insecure_channel(daemon.address) as channel:
        registry, balancer = RegistryServiceStub(channel), BalancerServiceStub(channel)
        made = await registry.RegisterService(registry_pb2.RegisterServiceRequest(service=service(), secret=SECRET))
        ref = service_pb2.SessionRef(service_id="a", epoch=made.service.epoch, secret=SECRET)
        mask = FieldMask(paths=["tags"])
        await registry.UpdateService(
            registry_pb2.UpdateServiceRequest(ref=ref, service=service_pb2.ServiceInfo(tags=["x"]), update_mask=mask)
        )
        await registry.UpdateServiceStatus(
            registry_pb2.UpdateServiceStatusRequest(ref=ref, status=service_pb2.SERVICE_STATUS_STARTING)
        )
        await admin.set_overlay(ServiceKey(namespace="default", service_id="a"), OverlayMode.QUARANTINE)
        await admin.set_overlay(ServiceKey(namespace="default", service_id="a"), OverlayMode.NONE)
        wrong = service_pb2.SessionRef(service_id="a", epoch=made.service.epoch, secret=SECRET[::-1])
        for _ in range(5):
            with pytest.raises(grpc.aio.AioRpcError):
                await registry.UnregisterService(registry_pb2.UnregisterServiceRequest(ref=wrong))
        await balancer.SetStrategy(
            balancer_pb2.SetStrategyRequest(strategy=balancer_pb2.SELECTION_STRATEGY_ROUND_ROBIN)
        )
        await registry.UnregisterService(registry_pb2.UnregisterServiceRequest(ref=ref))
        await registry.RegisterService(registry_pb2.RegisterServiceRequest(service=service(), secret=SECRET))
        await admin.remove_service("a")
        denied = await until(admin, AuditFilter(outcome="WRONG_SECRET"))
        await until(admin, AuditFilter(method="SetStrategy"))
        chain = await chain_of(admin)
        info = await admin.server_info()
        page = await admin.audit_page()
        assert verify(chain, anchor=page.anchor, head=page.head).broken is None
        assert (info.audit_head_seq, info.audit_lost) == (chain[-1].seq, 0)
        assert info.audit_head_hash == chain[-1].hash
        assert (denied.method, denied.address) == ("UnregisterService", "127.0.0.1")
        assert sum(one.count for one in chain if one.outcome == "WRONG_SECRET") == 5
        stored = [one for one in chain if one.before_hash or one.after_hash]
        assert [(one.method, one.target) for one in stored] == [
            ("RegisterService", "a"),
            ("UpdateService", "a"),
            ("SetOverlay", "default/calc/calc/a"),
            ("SetOverlay", "default/calc/calc/a"),
            ("UnregisterService", "a"),
            ("RegisterService", "a"),
            ("RemoveService", "a"),
        ]
        of_a = [one for one in stored if one.target == "a"]
        for earlier, later in itertools.pairwise(of_a):
            assert later.before_hash == earlier.after_hash
        soft = {one.method for one in chain if one.outcome == "OK"} - {one.method for one in stored}
        assert soft == {"UpdateServiceStatus", "SetStrategy"}
        assert all(one.history_id == info.history_id and one.wall > 1.6e9 for one in chain)
    await daemon.stop()
    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert [record_of_line(line) for line in lines][: len(chain)] == chain


async def test_what_a_broken_disk_loses_is_counted_and_an_alarm() -> None:
    store = FailingStore()
    async with (
        Daemon(Settings(listen=("127.0.0.1:0",)), store=store) as daemon,
        AdminClient(daemon.address) as admin,
        grpc.aio.insecure_channel(daemon.address) as channel,
    ):
        registry = RegistryServiceStub(channel)
        made = await registry.RegisterService(registry_pb2.RegisterServiceRequest(service=service(), secret=SECRET))
        store.failing = True
        ref = service_pb2.SessionRef(service_id="a", epoch=made.service.epoch, secret=SECRET)
        await registry.UpdateServiceStatus(
            registry_pb2.UpdateServiceStatusRequest(ref=ref, status=service_pb2.SERVICE_STATUS_STARTING)
        )
        await eventually(lambda: alarmed(admin, "AUDIT"))
        assert (await admin.server_info()).audit_lost == 1
        store.failing = False
        await registry.UpdateServiceStatus(
            registry_pb2.UpdateServiceStatusRequest(ref=ref, status=service_pb2.SERVICE_STATUS_STARTING)
        )
        await eventually(lambda: calm(admin))
        assert [one.method for one in await chain_of(admin)] == ["RegisterService", "UpdateServiceStatus"]


async def test_a_snapshot_is_masked_unless_it_is_asked_for_and_the_chain_says_who_asked(daemon: Daemon) -> None:
    async with AdminClient(daemon.address) as admin, grpc.aio.insecure_channel(daemon.address) as channel:
        told = service()
        told.metadata.update({"api_key": "k-1", "model": "m"})
        registry = RegistryServiceStub(channel)
        await registry.RegisterService(registry_pb2.RegisterServiceRequest(service=told, secret=SECRET))
        masked = b"".join([piece async for piece in admin.export_snapshot()])
        whole = b"".join([piece async for piece in admin.export_snapshot(with_secrets=True)])
        assert (b"k-1" in masked, b"k-1" in whole) == (False, True)
        await until(admin, AuditFilter(method="ExportSnapshot", target="with secrets"))
        for file, left_out, metadata in ((masked, 1, {"model": "m"}), (whole, 0, {"api_key": "k-1", "model": "m"})):
            await admin.remove_service("a")
            done = await admin.import_snapshot(in_pieces(file))
            assert (done.added, done.masked) == (1, left_out)
            found = await registry.GetService(registry_pb2.GetServiceRequest(service_id="a"))
            assert dict(found.service.metadata) == metadata
        imports = await chain_of(admin, AuditFilter(method="ImportSnapshot"))
        assert [(one.target, bool(one.after_hash)) for one in imports] == [("a", True), ("a", True)]


async def in_pieces(file: bytes) -> AsyncIterator[bytes]:
    yield file
