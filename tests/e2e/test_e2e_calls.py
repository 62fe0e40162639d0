"""Unary calls over the wire: registration, updates, the ttl mode, and what time does to the dead."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from orion_registry.errors import InvalidArgument, NotFound, Reason
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.e2e.fleet import secret_of
from tests.e2e.raw_stream import (
    RawStream,
    becomes,
    connected,
    look,
    refused,
    register,
    renewed,
    service,
    status_of,
)
from tests.e2e.raw_watch import RawWatch


@pytest.fixture
async def stub() -> AsyncIterator[Any]:
    async with running_daemon() as daemon, connected(daemon.address) as connection:
        yield connection


async def get(stub: Any, service_id: str) -> sv.ServiceInfo:
    info: sv.ServiceInfo = (await stub.GetService(pb.GetServiceRequest(service_id=service_id))).service
    return info


async def test_registering_is_idempotent_by_request_id(stub: Any) -> None:
    """A retry is answered like the first time and changes nothing; another payload under the id is refused."""
    request = pb.RegisterServiceRequest(service=service("a"), request_id="r-1", secret=secret_of("a"))
    first = await stub.RegisterService(request)
    again = await stub.RegisterService(request)
    assert first.created
    assert (again.service.epoch, again.service.generation, again.revision, again.created) == (
        first.service.epoch,
        1,
        first.revision,
        True,
    )
    request.service.tags.append("more")
    assert (await refused(stub.RegisterService(request))).reason is Reason.REQUEST_ID_REUSED
    request.request_id = "r-2"
    updated = await stub.RegisterService(request)
    assert (updated.created, updated.service.generation, list(updated.service.tags)) == (False, 2, ["more"])
    assert updated.service.service_id == first.service.service_id


async def test_a_secret_that_the_registry_made_is_given_again(stub: Any) -> None:
    """Its hash alone is kept, and a retry by request_id still gets it."""
    request = pb.RegisterServiceRequest(service=service("a"), request_id="r-1")
    first, again = await stub.RegisterService(request), await stub.RegisterService(request)
    assert len(first.secret) >= 32
    assert again.secret == first.secret
    ref = sv.SessionRef(service_id=first.service.service_id, epoch=first.service.epoch, secret=first.secret)
    await stub.UnregisterService(pb.UnregisterServiceRequest(ref=ref))
    gone = pb.GetServiceRequest(service_id=ref.service_id)
    assert isinstance(await refused(stub.GetService(gone)), NotFound)


async def test_many_registrations_of_one_service_at_once(stub: Any) -> None:
    """They run one after the other: one is created, the rest update it, no generation is lost."""
    answers = await asyncio.gather(
        *(
            stub.RegisterService(pb.RegisterServiceRequest(service=service("a", tags=[f"t{n}"]), secret=secret_of("a")))
            for n in range(50)
        )
    )
    assert sum(answer.created for answer in answers) == 1
    assert sorted(answer.service.generation for answer in answers) == list(range(1, 51))
    assert len({answer.service.epoch for answer in answers}) == 1


async def test_update_changes_what_the_mask_names(stub: Any) -> None:
    """Nothing else; a stale etag, a path that cannot change and an empty mask are refused."""
    ref = await register(stub, service("a", tags=["old"], zone="z1"))
    new = sv.ServiceInfo(tags=["new"], zone="z2", weight=2.5)

    async def update(etag: int, *paths: str) -> Any:
        mask = FieldMask(paths=paths)
        return await stub.UpdateService(pb.UpdateServiceRequest(ref=ref, service=new, update_mask=mask, etag=etag))

    answer = await update(1, "tags", "weight")
    assert (list(answer.service.tags), answer.service.zone, answer.service.weight) == (["new"], "z1", 2.5)
    assert answer.service.generation == 2
    assert (await refused(update(1, "zone"))).reason is Reason.STALE_ETAG
    assert (await update(2, "zone")).service.zone == "z2"
    for path in ("service_id", "agent_id", "liveness", "status", "epoch", "no_such_field"):
        error = await refused(update(0, path))
        assert isinstance(error, InvalidArgument), path
        assert path in error.message
    assert isinstance(await refused(update(0)), InvalidArgument)
    assert (await get(stub, ref.service_id)).generation == 3
    found = await stub.DiscoverServices(
        pb.DiscoverServicesRequest(selector=sv.Selector(tags=["new"], zone="z2", include_not_ready=True))
    )
    assert [info.service_id for info in found.services] == [ref.service_id]
    old = pb.DiscoverServicesRequest(selector=sv.Selector(tags=["old"], include_not_ready=True))
    assert not (await stub.DiscoverServices(old)).services


async def test_refs_are_checked_everywhere(stub: Any) -> None:
    """Wrong secret, stale epoch and an unknown service have their reasons in every acting call."""
    ref = await register(stub, service("a"))
    stream = RawStream(stub)
    [session] = await stream.hello("a", ref)
    await stream.beat()
    await stream.frame("ack")
    cases = {
        Reason.STALE_EPOCH: ref,
        Reason.WRONG_SECRET: sv.SessionRef(service_id=ref.service_id, epoch=session.epoch, secret="x" * 32),
        Reason.NO_SUCH_SERVICE: sv.SessionRef(service_id="nobody", epoch=1, secret=ref.secret),
    }
    mask = FieldMask(paths=["tags"])
    for reason, bad in cases.items():
        calls = (
            stub.UnregisterService(pb.UnregisterServiceRequest(ref=bad)),
            stub.UpdateService(pb.UpdateServiceRequest(ref=bad, service=sv.ServiceInfo(), update_mask=mask)),
            stub.UpdateServiceStatus(pb.UpdateServiceStatusRequest(ref=bad, status=sv.SERVICE_STATUS_STOPPING)),
            stub.SendHeartbeat(pb.SendHeartbeatRequest(ref=bad)),
        )
        assert [(await refused(call)).reason for call in calls] == [reason] * 4
    assert await status_of(stub, ref.service_id) == ("HEALTHY", "STREAM_OPEN")
    good = renewed(ref, session.epoch)
    assert (await refused(stub.SendHeartbeat(pb.SendHeartbeatRequest(ref=good)))).reason is Reason.WRONG_MODE


async def test_ttl_mode(stub: Any) -> None:
    """STARTING until the first unary beat, HEALTHY for liveness_ttl after each, then UNHEALTHY(SILENT)."""
    info = service("a", liveness=sv.LIVENESS_MODE_TTL, liveness_ttl=Duration(seconds=1))
    ref = await register(stub, info)
    assert await status_of(stub, ref.service_id) == ("STARTING", "AWAITING_BEAT")
    watch = RawWatch(stub)
    watch.open()
    await watch.until(lambda: ref.service_id in watch.services)
    beats = 3
    for _ in range(beats):
        answer = await stub.SendHeartbeat(pb.SendHeartbeatRequest(ref=ref, load=sv.Load(queue_depth=4)))
        assert (answer.ttl.ToSeconds(), answer.status) == (1, sv.SERVICE_STATUS_HEALTHY)
        last = time.monotonic()
        await asyncio.sleep(0.4)
    assert (await get(stub, ref.service_id)).load.queue_depth == 4
    await watch.until(lambda: look(watch.services[ref.service_id]) == ("UNHEALTHY", "SILENT"))
    assert 0.9 < time.monotonic() - last < 2.0
    await stub.SendHeartbeat(pb.SendHeartbeatRequest(ref=ref))
    assert await status_of(stub, ref.service_id) == ("HEALTHY", "BEATING")
    await watch.cut()


async def test_the_dead_are_removed_after_their_retention(stub: Any) -> None:
    """Each service's own; 0 keeps it; one that comes back is spared."""
    short, never = Duration(nanos=300_000_000), Duration()
    gone = await register(stub, service("a", "gone", retention=short))
    kept = await register(stub, service("a", "kept", retention=never))
    back = await register(stub, service("a", "back", retention=Duration(seconds=1)))
    watch = RawWatch(stub)
    removals: list[tuple[str, int]] = []
    watch.removed = lambda event: removals.append((event.service.service_id, event.removal))
    watch.open()
    stream = RawStream(stub)
    results = await stream.hello("a", gone, kept, back)
    stream.drop()
    await becomes(stub, back.service_id, "UNHEALTHY", "DISCONNECTED")
    again = RawStream(stub)
    await again.hello("a", renewed(back, results[2].epoch))
    await watch.until(lambda: bool(removals))
    await again.beat()
    await asyncio.sleep(1.2)
    assert removals == [(gone.service_id, pb.REMOVAL_REASON_EXPIRED)]
    assert await status_of(stub, kept.service_id) == ("UNHEALTHY", "DISCONNECTED")
    assert await status_of(stub, back.service_id) == ("HEALTHY", "STREAM_OPEN")
    fresh = await register(stub, service("a", "gone"))
    assert fresh.service_id == gone.service_id
    assert fresh.epoch > results[0].epoch
    await watch.cut()
