"""A store that hangs or refuses touches writes alone; the long form of the first is tests.e2e.store_hung."""

from collections.abc import AsyncIterator
from statistics import median
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from orion_registry.errors import NotFound, Reason, Unavailable
from orion_registry.testing.daemon import running_daemon
from orion_registry.testing.stores import FailingStore
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.e2e import store_hung
from tests.e2e.raw_stream import RawStream, connected, refused, register, renewed, service, status_of
from tests.e2e.raw_watch import snapshot

pytestmark = pytest.mark.processes


async def test_a_hung_store_touches_writes_alone() -> None:
    """Must-show 10, the quick form: 4 s, few agents, and room for a machine that is busy with other tests."""
    found = await store_hung.measure(hang_s=4.0, agents=20, kills=3)
    found.kills_s = [median(found.kills_s)]
    assert store_hung.passed(found, limit=2.0), found.faults


@pytest.fixture
def store() -> FailingStore:
    return FailingStore()


@pytest.fixture
async def stub(store: FailingStore) -> AsyncIterator[Any]:
    async with running_daemon(store=store) as daemon, connected(daemon.address) as connection:
        yield connection


async def test_a_refusing_store_leaves_nothing_half_done(store: FailingStore, stub: Any) -> None:
    """Every write is refused with RetryInfo and changes nothing; once the store is well the same request succeeds."""
    ref = await register(stub, service("a", tags=["old"]))
    before = await snapshot(stub)
    revision = (await stub.DiscoverServices(pb.DiscoverServicesRequest())).revision
    new = pb.RegisterServiceRequest(service=service("b"), request_id="r-1")
    mask = FieldMask(paths=["tags"])
    update = pb.UpdateServiceRequest(ref=ref, service=sv.ServiceInfo(tags=["new"]), update_mask=mask)
    remove = pb.UnregisterServiceRequest(ref=ref)
    store.failing = True
    errors = [
        await refused(stub.RegisterService(new)),
        await refused(register(stub, service("a", tags=["again"]))),
        await refused(stub.UpdateService(update)),
        await refused(stub.UnregisterService(remove)),
    ]
    assert {error.reason for error in errors} == {Reason.STORE_DOWN}
    assert all(isinstance(error, Unavailable) and error.retry_after_s for error in errors)
    assert await snapshot(stub) == before
    assert (await stub.DiscoverServices(pb.DiscoverServicesRequest())).revision == revision
    store.failing = False
    first = await stub.RegisterService(new)
    assert (first.created, first.service.generation) == (True, 1)
    assert (await stub.UpdateService(update)).service.generation == 2
    await stub.UnregisterService(remove)
    gone = pb.GetServiceRequest(service_id=ref.service_id)
    assert isinstance(await refused(stub.GetService(gone)), NotFound)


async def test_health_goes_on_while_the_store_refuses(store: FailingStore, stub: Any) -> None:
    """Hello, beats, self-reports and the end of a stream need no store."""
    ref = await register(stub, service("a"))
    store.failing = True
    stream = RawStream(stub)
    [session] = await stream.hello("a", ref)
    await stream.beat()
    await stream.frame("ack")
    assert await status_of(stub, ref.service_id) == ("HEALTHY", "STREAM_OPEN")
    report = pb.UpdateServiceStatusRequest(ref=renewed(ref, session.epoch), status=sv.SERVICE_STATUS_STOPPING)
    await stub.UpdateServiceStatus(report)
    assert await status_of(stub, ref.service_id) == ("STOPPING", "SELF_REPORTED")


async def test_a_goodbye_that_cannot_be_stored_says_so(store: FailingStore, stub: Any) -> None:
    """The stream ends UNAVAILABLE/STORE_DOWN; the service is not ready, and not forgotten either."""
    ref = await register(stub, service("a"))
    stream = RawStream(stub)
    await stream.hello("a", ref)
    store.failing = True
    await stream.send(goodbye=hb.Goodbye(reason=hb.GOODBYE_REASON_STOPPING))
    error = (await stream.end()).error
    assert error is not None
    assert error.reason is Reason.STORE_DOWN
    assert error.retry_after_s is not None
    got = (await stub.GetService(pb.GetServiceRequest(service_id=ref.service_id))).service
    assert not got.ready
