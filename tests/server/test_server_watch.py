"""WatchServices and the unary RPCs, over the network."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.errors import Reason
from orion_registry.server.methods import REGISTRY_METHODS
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1.service_pb2 import LivenessMode, Load, Selector, ServiceInfo, ServiceStatus, SessionRef
from tests.server.serving import OWN_CONNECTION, Served, raw, read, served_registry, until
from tests.server.test_server_heartbeat import end_of
from tests.server.test_server_wrapper import typed

WATCH = next(method for method in REGISTRY_METHODS if method.name == "WatchServices")
STATIC, TTL = LivenessMode.LIVENESS_MODE_STATIC, LivenessMode.LIVENESS_MODE_TTL
ADDED, MODIFIED, REMOVED, BOOKMARK, RESYNC = range(1, 6)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with served_registry() as registry:
        yield registry


async def error_of(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return typed(caught.value)


def kinds(response: pb.WatchServicesResponse) -> list[int]:
    return [event.type for event in response.events]


async def test_watch(served: Served) -> None:
    """A snapshot, its bookmark, then every change, and an answer that can be resumed from."""
    await served.register(service_name="one", liveness=STATIC)
    call = served.stub.WatchServices(pb.WatchServicesRequest())
    first = await read(call)
    assert kinds(first) == [ADDED, BOOKMARK]
    ref = await served.register(service_name="two", liveness=STATIC)
    second = await read(call)
    assert kinds(second) == [ADDED]
    assert second.events[0].service.service_id == ref.service_id
    await served.stub.UnregisterService(pb.UnregisterServiceRequest(ref=ref))
    third = await read(call)
    assert [(event.type, event.removal) for event in third.events] == [
        (REMOVED, pb.RemovalReason.REMOVAL_REASON_UNREGISTERED)
    ]
    assert first.revision < second.revision < third.revision
    call.cancel()
    resumed = served.stub.WatchServices(
        pb.WatchServicesRequest(start_revision=first.revision, history_id=first.history_id)
    )
    assert BOOKMARK in kinds(await read(resumed))
    resumed.cancel()
    foreign = served.stub.WatchServices(pb.WatchServicesRequest(start_revision=5, history_id="another life"))
    assert kinds(await read(foreign)) == [RESYNC, ADDED, BOOKMARK]
    foreign.cancel()


async def test_watch_refuses_a_bad_selector(served: Served) -> None:
    """The status names the field."""
    _, error = await end_of(served.stub.WatchServices(pb.WatchServicesRequest(selector=Selector(service_name="a b"))))
    assert typed(error).message.startswith("selector.service_name")


async def test_watch_ends_when_the_registry_stops(served: Served) -> None:
    """NOT_SERVING, and no task is left waiting."""
    call = served.stub.WatchServices(pb.WatchServicesRequest())
    await read(call)
    await served.coordinator.stop()
    _, error = await end_of(call)
    assert typed(error).reason is Reason.NOT_SERVING


async def test_watcher_that_takes_nothing(served: Served) -> None:
    """It is cut: the hub forgets it at once, and it finds a status when it reads on."""
    for index in range(30):
        spec = ServiceInfo(agent_id=f"a{index}", service_name="s", host="10.0.0.1", liveness=STATIC)
        spec.metadata.update({"k": "x" * 16_000})
        await served.stub.RegisterService(pb.RegisterServiceRequest(service=spec))
    hub = served.coordinator._hub
    narrow = (*OWN_CONNECTION, ("grpc.http2.bdp_probe", 0))  # 64 KiB under way, no more
    async with grpc.aio.insecure_channel(served.address, options=narrow) as channel:
        call = raw(channel, WATCH)(b"")
        now = hub.clock.now
        await until(lambda: any(w.sending_since is not None and now().mono - w.sending_since > 0.2 for w in hub))
        (watcher,) = hub
        watcher.cut()
        watcher.cut()
        assert len(hub) == 0
        _, error = await end_of(call)
    assert typed(error).reason is Reason.QUEUE_FULL
    assert typed(error).retry_after_s is not None


async def test_unary_calls(served: Served) -> None:
    """Every unary RPC once, through the wire."""
    ref = await served.register(capabilities=["add"], tags=["prod"], liveness=TTL)
    stub = served.stub
    beaten = await stub.SendHeartbeat(pb.SendHeartbeatRequest(ref=ref, load=Load(in_flight=2)))
    assert (beaten.ttl.seconds, beaten.status) == (30, ServiceStatus.SERVICE_STATUS_HEALTHY)
    found = await stub.DiscoverServices(pb.DiscoverServicesRequest(selector=Selector(capabilities=["add"])))
    assert [service.load.in_flight for service in found.services] == [2]
    assert found.history_id == served.coordinator.registry.history_id
    update = pb.UpdateServiceRequest(ref=ref, service=ServiceInfo(tags=["eu"]))
    update.update_mask.paths.append("tags")
    updated = await stub.UpdateService(update)
    assert (list(updated.service.tags), list(updated.service.capabilities)) == (["eu"], ["add"])
    down = pb.UpdateServiceStatusRequest(ref=ref, status=ServiceStatus.SERVICE_STATUS_UNHEALTHY)
    assert (await stub.UpdateServiceStatus(down)).service.status == ServiceStatus.SERVICE_STATUS_UNHEALTHY
    found = await stub.DiscoverServices(pb.DiscoverServicesRequest())
    assert (len(found.services), found.not_ready_count) == (0, 1)
    assert (await stub.UnregisterService(pb.UnregisterServiceRequest(ref=ref))).revision > updated.revision


async def test_unary_errors(served: Served) -> None:
    """The codes of the API for what callers do wrong, naming the field."""
    ref, stub = await served.register(), served.stub
    wrong = SessionRef(service_id=ref.service_id, epoch=ref.epoch, secret="x" * 32)
    bad_mask = pb.UpdateServiceRequest(ref=ref)
    bad_mask.update_mask.paths.append("agent_id")
    cases: list[tuple[Any, Reason, str]] = [
        (stub.GetService(pb.GetServiceRequest(service_id="x" * 300)), Reason.BAD_FIELD, "service_id"),
        (stub.GetService(pb.GetServiceRequest(service_id="none")), Reason.NO_SUCH_SERVICE, ""),
        (stub.UnregisterService(pb.UnregisterServiceRequest(ref=wrong)), Reason.WRONG_SECRET, ""),
        (stub.SendHeartbeat(pb.SendHeartbeatRequest(ref=ref)), Reason.WRONG_MODE, ""),
        (stub.UpdateService(bad_mask), Reason.BAD_FIELD, "update_mask"),
        (stub.DiscoverServices(pb.DiscoverServicesRequest(page_token="?")), Reason.BAD_PAGE_TOKEN, "page_token"),
        (stub.DiscoverServices(pb.DiscoverServicesRequest(page_size=-1)), Reason.BAD_FIELD, "page_size"),
        (
            stub.RegisterService(pb.RegisterServiceRequest(service=ServiceInfo(agent_id="a", port=70_000))),
            Reason.BAD_FIELD,
            "service",
        ),
    ]
    for call, reason, field in cases:
        error = await error_of(call)
        assert error.reason is reason, error
        assert error.message.startswith(field)


async def test_pages(served: Served) -> None:
    """Pages join to the whole."""
    ids = [(await served.register(agent_id=f"a{index}", liveness=STATIC)).service_id for index in range(25)]
    seen, token = [], ""
    while True:
        page = await served.stub.DiscoverServices(pb.DiscoverServicesRequest(page_size=10, page_token=token))
        seen += [service.service_id for service in page.services]
        token = page.next_page_token
        if not token:
            break
    assert seen == ids
