"""The door with limits, over the network: by identity, by namespace, counted, and told with RetryInfo."""

import ast
import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from orion_registry import RegistryClient, ServiceSpec
from orion_registry.client.admin import AdminClient
from orion_registry.client.credentials import Credentials
from orion_registry.client.failures import registry_error
from orion_registry.core.access.quota import Quota, Quotas
from orion_registry.core.selector import Selector
from orion_registry.errors import Limit, Reason, ResourceExhausted
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import admin_pb2, balancer_pb2, heartbeat_pb2, registry_pb2, service_pb2
from orion_registry_pb.v1.admin_pb2_grpc import AdminServiceStub
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.server.serving import until
from tests.server.tls import Certs, running_tls, write_access

ROOT = Path(__file__).parents[2]
SPEC = ServiceSpec(agent_id="calc", service_name="calc", host="127.0.0.1", port=80)


@asynccontextmanager
async def known(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Daemon, Credentials, Credentials]]:
    """A daemon that knows its callers, and two of them."""
    certs = Certs(tmp_path)
    one, other = certs.client("spiffe://fleet/one"), certs.client("spiffe://fleet/other")
    async with running_tls(certs, **settings) as daemon:
        yield daemon, one, other


async def refused(call: Any) -> ResourceExhausted:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    error = registry_error(failure.value, "the registry")
    assert isinstance(error, ResourceExhausted), error
    assert error.retry_after_s
    return error


def counts(daemon: Daemon) -> dict[Limit, int]:
    return dict(daemon.coordinator.registry.refused.counts)


async def test_an_identity_that_reads_too_fast_is_told_its_turn_and_others_are_served(tmp_path: Path) -> None:
    async with (
        known(tmp_path, identity_read_rate=5) as (daemon, one, other),
        RegistryClient(daemon.address, credentials=one) as busy,
        RegistryClient(daemon.address, credentials=other) as calm,
    ):
        for _ in range(10):
            await busy.discover()
        with pytest.raises(ResourceExhausted) as no:
            await asyncio.gather(*(busy.discover() for _ in range(100)))
        assert no.value.reason is Reason.RATE_LIMITED
        assert no.value.retry_after_s
        assert "'spiffe://fleet/one' may make 5 read calls a second" in no.value.message
        await calm.discover()
        await busy.register(SPEC)
        assert set(counts(daemon)) == {Limit.READ_RATE}


async def test_where_nobody_has_an_identity_nothing_is_limited() -> None:
    async with running_daemon(identity_read_rate=1) as daemon, RegistryClient(daemon.address) as client:
        for _ in range(20):
            await client.discover()
        assert counts(daemon) == {}


async def test_a_route_stream_is_no_way_around(tmp_path: Path) -> None:
    """A batch counts its commands; each beyond the rate is refused alone, and the stream goes on."""
    async with (
        known(tmp_path, identity_report_rate=5) as (daemon, one, _),
        one.open_channel(daemon.address, ()) as line,
    ):
        call = BalancerServiceStub(line).Route()
        release = balancer_pb2.ReleaseServiceRequest(selection_id="none")
        batch = [balancer_pb2.RouteCommand(id=number, release=release) for number in range(1, 101)]
        await call.write(balancer_pb2.RouteRequest(commands=batch))
        results: list[Any] = []
        while len(results) < 100:
            answer = await call.read()
            assert isinstance(answer, balancer_pb2.RouteResponse)
            results += answer.results
        late = [result for result in results if "identity_report_rate" in result.error.message]
        assert 85 <= len(late) <= 90
        assert all(result.error.HasField("retry_after") for result in late)
        assert counts(daemon) == {Limit.REPORT_RATE: len(late)}
        call.cancel()


async def test_what_is_denied_is_counted_too(tmp_path: Path) -> None:
    """A method that the caller may not call at all, and commands of a stream for a foreign namespace."""
    certs, rules = Certs(tmp_path), tmp_path / "rules.toml"
    write_access(rules, '[[grant]]\nidentity = "one"\nroles = ["caller"]\n')
    limits = {"identity_read_rate": 5, "identity_report_rate": 5}
    async with (
        running_tls(certs, access_file=str(rules), **limits) as daemon,
        certs.client("one").open_channel(daemon.address, ()) as line,
    ):
        admin = AdminServiceStub(line)
        denials = [admin.GetServerInfo(admin_pb2.GetServerInfoRequest()) for _ in range(50)]
        codes = Counter([await call.code() for call in denials])
        assert codes.keys() == {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.RESOURCE_EXHAUSTED}
        foreign = balancer_pb2.SelectServiceRequest(selector=service_pb2.Selector(namespace="other"))
        batch = [balancer_pb2.RouteCommand(id=number, select=foreign) for number in range(1, 51)]
        call: Any = BalancerServiceStub(line).Route()
        await call.write(balancer_pb2.RouteRequest(commands=batch))
        results = list((await call.read()).results)
        while len(results) < 50:
            results += (await call.read()).results
        late = [result for result in results if "identity_report_rate" in result.error.message]
        denied = [result for result in results if "role caller in namespace 'other'" in result.error.message]
        assert len(late) + len(denied) == 50
        assert late
        assert denied


async def test_frames_of_a_heartbeat_stream_count_the_services_that_they_name(tmp_path: Path) -> None:
    """Beats do not."""
    async with (
        known(tmp_path, identity_report_rate=20) as (daemon, one, _),
        one.open_channel(daemon.address, ()) as line,
    ):
        call = RegistryServiceStub(line).Heartbeat()
        await call.write(heartbeat_pb2.HeartbeatRequest(hello=heartbeat_pb2.Hello(agent_id="a")))
        assert isinstance(await call.read(), heartbeat_pb2.HeartbeatResponse)
        for seq in range(1, 200):
            await call.write(heartbeat_pb2.HeartbeatRequest(beat=heartbeat_pb2.Beat(seq=seq)))
        attach = heartbeat_pb2.Attach(sessions=[heartbeat_pb2.Session() for _ in range(500)])
        for number, session in enumerate(attach.sessions):
            session.ref.service_id, session.ref.secret, session.ref.epoch = f"s-{number}", "x" * 32, 1
        await call.write(heartbeat_pb2.HeartbeatRequest(attach=attach))
        await call.write(heartbeat_pb2.HeartbeatRequest(attach=attach))
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await all_of(call)
        error = registry_error(failure.value, "the registry")
        assert error.reason is Reason.RATE_LIMITED
        assert error.retry_after_s
        assert "identity_report_rate" in error.message


async def all_of(call: Any) -> None:
    """Reads to the end."""
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_watches_of_one_identity_are_counted_until_they_end(tmp_path: Path) -> None:
    async with (
        known(tmp_path, max_watches_per_identity=3) as (daemon, one, other),
        one.open_channel(daemon.address, ()) as line,
        other.open_channel(daemon.address, ()) as another,
    ):
        stub, request = RegistryServiceStub(line), registry_pb2.WatchServicesRequest()
        watches = [stub.WatchServices(request) for _ in range(3)]
        for watch in watches:
            await watch.read()
        error = await refused(stub.WatchServices(request).read())
        assert "may have 3 watches open (max_watches_per_identity) and has 3" in error.message
        await RegistryServiceStub(another).WatchServices(request).read()
        watches[0].cancel()
        await until(lambda: daemon.coordinator.watchers == 3)
        await asyncio.wait_for(opened(lambda: stub.WatchServices(request)), 5.0)
        assert counts(daemon)[Limit.IDENTITY_WATCHES] >= 1


async def opened(call: Callable[[], Any]) -> Any:
    """Asks again until it is let in."""
    while True:
        stream = call()
        try:
            return await stream.read()
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)


async def test_streams_of_one_identity_are_counted_however_they_end(tmp_path: Path) -> None:
    """Ended by the client, by its channel, by an error."""
    async with known(tmp_path, max_streams_per_identity=2) as (daemon, one, _):
        held = daemon._rates._open
        async with one.open_channel(daemon.address, ()) as line:
            stub = BalancerServiceStub(line)
            calls = [stub.Route() for _ in range(2)]
            await until(lambda: sum(held.values()) == 2)
            error = await refused(stub.Route().read())
            assert "may have 2 streams open (max_streams_per_identity) and has 2" in error.message
            await calls[0].done_writing()
            await until(lambda: sum(held.values()) == 1)
            bad = stub.Route()
            await bad.write(balancer_pb2.RouteRequest(commands=[balancer_pb2.RouteCommand()] * 1_001))
            with pytest.raises(grpc.aio.AioRpcError):
                await bad.read()
            await until(lambda: sum(held.values()) == 1)
        await until(lambda: not held)


async def test_a_quota_is_told_with_retry_info_counted_shown_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "orion_registry")
    async with (
        running_daemon() as daemon,
        RegistryClient(daemon.address) as client,
        AdminClient(daemon.address) as admin,
    ):
        daemon.coordinator.registry.set_quotas(Quotas(by_namespace={"default": Quota(services=1, watches=1)}))
        await client.register(SPEC)
        await client.register(SPEC)
        for number in range(5):
            with pytest.raises(ResourceExhausted) as no:
                await client.register(replace(SPEC, agent_id=f"a-{number}"))
        assert no.value.reason is Reason.TOO_LARGE
        assert no.value.retry_after_s
        assert "namespace 'default' may have 1 services (quota services) and has 1" in no.value.message
        async with grpc.aio.insecure_channel(daemon.address) as line:
            stub, request = RegistryServiceStub(line), registry_pb2.WatchServicesRequest()
            first = stub.WatchServices(request)
            await first.read()
            await refused(stub.WatchServices(request).read())
            first.cancel()
            await until(lambda: daemon.coordinator.watchers == 0)
            await stub.WatchServices(request).read()
        assert (await admin.server_info()).refusals == {"NAMESPACE_SERVICES": 5, "NAMESPACE_WATCHES": 1}
        await until(lambda: [r for r in caplog.records if r.getMessage() == "refused"] != [])
        lines = [record for record in caplog.records if record.getMessage() == "refused"]
        assert sum(vars(line)["limit"] == "NAMESPACE_SERVICES" for line in lines) <= 3


async def test_a_quota_leaves_the_other_namespaces_alone() -> None:
    async with running_daemon() as daemon, RegistryClient(daemon.address) as client:
        daemon.coordinator.registry.set_quotas(Quotas(by_namespace={"full": Quota(services=1)}))
        first, second = (replace(SPEC, agent_id=name, namespace="full") for name in ("a", "b"))
        await client.register(first)
        with pytest.raises(ResourceExhausted):
            await client.register(second)
        await client.register(SPEC)
        assert len((await client.discover(Selector(include_not_ready=True))).services) == 1


# Every refusal says when to come again, unless it never helps.

NEVER_BY_ITSELF = {
    "core/authority.py": 1,  # the stream is full: it is for its agent to open another
    "core/importing.py": 1,  # too many overlays: somebody has to clear some
    "core/overlay_plan.py": 2,  # the same; and a selector that matches too many has to be narrowed
    "core/selection/scopes.py": 1,  # somebody has to clear a scope
    "store/snapshot.py": 1,  # the file is too large and stays so
}
"""Where trying the same again makes no sense; by file, with how many."""


def refusals_of(path: Path) -> list[set[str]]:
    """The keywords of each ResourceExhausted that a file makes."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    made = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "ResourceExhausted"]
    return [{keyword.arg or "" for keyword in call.keywords} for call in made]


def test_every_refusal_of_the_registry_carries_retry_info_unless_it_never_helps() -> None:
    package = ROOT / "orion_registry"
    without: dict[str, int] = {}
    total = 0
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith(("core/", "runtime/", "server/", "store/", "wire/")):
            continue
        for keywords in refusals_of(path):
            total += 1
            if "retry_after_s" not in keywords:
                without[name] = without.get(name, 0) + 1
    assert total > 15
    assert without == NEVER_BY_ITSELF


def test_every_limit_is_used_and_documented() -> None:
    package = ROOT / "orion_registry"
    code = "".join(path.read_text() for path in package.rglob("*.py") if path.name != "errors.py")
    page = (ROOT / "docs" / "security.md").read_text()
    for limit in Limit:
        assert f"Limit.{limit.name}" in code, limit
        assert f"`{limit.value}`" in page, limit
