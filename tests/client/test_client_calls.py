"""Typed calls: what goes in comes back, and every failure is a typed error that says what to do."""

import asyncio
import socket
import time

import grpc.aio
import pytest

from orion_registry.client.channel import DEFAULT_ADDRESS, resolve_addresses
from orion_registry.client.client import RegistryClient
from orion_registry.client.failures import NoAnswerInTime, Unreachable
from orion_registry.client.specs import with_metadata
from orion_registry.client.state import ConnectionState
from orion_registry.core.model import LivenessMode, Load, ServiceSpec, ServiceStatus
from orion_registry.core.selector import Selector
from orion_registry.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Reason,
    RegistryError,
    Unavailable,
    Unimplemented,
)


def static(name: str, **fields: object) -> ServiceSpec:
    return ServiceSpec(agent_id=name, service_name="calc", liveness=LivenessMode.STATIC, **fields)  # type: ignore[arg-type]


async def test_register_get_update_unregister(client: RegistryClient) -> None:
    spec = with_metadata(static("a", port=7000, tags=("x",), capabilities=("math.add",)), {"model": "m", "n": [1, 2]})
    made = await client.register(spec)
    assert made.created
    assert len(made.ref.secret.encode()) >= 32
    service = await client.get(made.ref.service_id)
    assert (service.port, service.tags, service.metadata) == (7000, ("x",), {"model": "m", "n": [1.0, 2.0]})
    assert service.ready
    changed = await client.update(made.ref, static("a", tags=("y",)), ["tags"], etag=service.generation)
    assert changed.tags == ("y",)
    assert changed.port == 7000
    with pytest.raises(FailedPrecondition) as stale:
        await client.update(made.ref, static("a", tags=("z",)), ["tags"], etag=service.generation)
    assert stale.value.reason is Reason.STALE_ETAG
    again = await client.register(spec, secret=made.ref.secret)
    assert not again.created
    assert again.ref.service_id == made.ref.service_id
    assert await client.unregister(again.ref) > 0
    with pytest.raises(NotFound):
        await client.get(made.ref.service_id)


async def test_register_is_idempotent_by_request_id(client: RegistryClient) -> None:
    secret = "s" * 32
    first = await client.register(static("a"), secret=secret, request_id="r-1")
    second = await client.register(static("a"), secret=secret, request_id="r-1")
    assert (second.ref, second.created, second.revision) == (first.ref, True, first.revision)
    with pytest.raises(InvalidArgument) as reused:
        await client.register(static("a", port=1), secret=secret, request_id="r-1")
    assert reused.value.reason is Reason.REQUEST_ID_REUSED


async def test_status_reports_and_unary_beats(client: RegistryClient) -> None:
    spec = ServiceSpec(agent_id="t", service_name="calc", liveness=LivenessMode.TTL, liveness_ttl_s=5.0)
    made = await client.register(spec)
    ttl_s, status = await client.send_heartbeat(made.ref, load=Load(in_flight=2, named={"tokens": 1.5}))
    assert (ttl_s, status) == (5.0, ServiceStatus.HEALTHY)
    service = await client.update_status(made.ref, ServiceStatus.UNHEALTHY)
    assert service.status is ServiceStatus.UNHEALTHY
    assert service.load == Load(in_flight=2, named={"tokens": 1.5})
    assert (await client.update_status(made.ref, ServiceStatus.HEALTHY)).status is ServiceStatus.HEALTHY


async def test_discover_goes_through_all_pages(client: RegistryClient) -> None:
    await asyncio.gather(*(client.register(static(f"a-{number}", tags=("t",))) for number in range(25)))
    await client.register(static("other"))
    page = await client.discover_page(Selector(tags=("t",)), page_size=10)
    assert len(page.services) == 10
    assert page.next_page_token
    ids, token = {service.agent_id for service in page.services}, page.next_page_token
    while token:
        page = await client.discover_page(Selector(tags=("t",)), page_size=10, page_token=token)
        ids |= {service.agent_id for service in page.services}
        token = page.next_page_token
    found = await client.discover(Selector(tags=("t",)))
    assert {service.agent_id for service in found.services} == ids == {f"a-{number}" for number in range(25)}
    assert not found.next_page_token
    assert found.history_id
    assert not (await client.discover(Selector(tags=("nothing",)))).services
    with pytest.raises(InvalidArgument) as foreign:
        await client.discover_page(Selector(tags=("other",)), page_token="rubbish")
    assert foreign.value.reason is Reason.BAD_PAGE_TOKEN


async def test_errors_are_typed_and_name_the_field(client: RegistryClient) -> None:
    with pytest.raises(InvalidArgument, match="port"):
        await client.register(static("a", port=70_000))
    with pytest.raises(NotFound) as unknown:
        await client.get("nobody")
    assert unknown.value.reason is Reason.NO_SUCH_SERVICE
    made = await client.register(static("a"))
    wrong = type(made.ref)(service_id=made.ref.service_id, epoch=made.ref.epoch, secret="w" * 32)
    with pytest.raises(PermissionDenied) as refused:
        await client.unregister(wrong)
    assert refused.value.reason is Reason.WRONG_SECRET


async def test_an_unreachable_registry_is_said_so_with_advice(unused_tcp_port: int) -> None:
    async with RegistryClient(f"127.0.0.1:{unused_tcp_port}") as lost:
        with pytest.raises(Unreachable, match="orion-registry serve") as failure:
            await lost.discover(timeout_s=2.0)
    assert isinstance(failure.value, Unavailable), "one except clause catches it with NOT_SERVING"
    assert str(unused_tcp_port) in failure.value.message


async def test_a_silent_peer_runs_into_the_deadline() -> None:
    done = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()
        done.set()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with RegistryClient(f"127.0.0.1:{port}") as lost:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            await lost.discover(timeout_s=0.3)
        assert time.monotonic() - began < 1.0
    server.close()
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.sleep(0.05)


async def test_another_grpc_server_is_told_apart() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with RegistryClient(f"127.0.0.1:{port}") as lost:
        with pytest.raises(Unimplemented, match="is it an Orion registry"):
            await lost.discover()
    await server.stop(None)


async def test_of_several_addresses_one_that_answers_is_found(client: RegistryClient, unused_tcp_port: int) -> None:
    async with RegistryClient([f"127.0.0.1:{unused_tcp_port}", client.address]) as several:
        with pytest.raises(Unreachable):
            await several.discover()
        assert not (await several.discover()).services
        assert several.address == client.address


async def test_a_closed_client_says_so(client: RegistryClient) -> None:
    await client.discover()
    await client.close()
    with pytest.raises(Unreachable, match="closed"):
        await client.discover()


async def test_a_client_that_is_closed_meanwhile_ends_calls_and_sessions_with_an_error() -> None:
    hung = socket.create_server(("127.0.0.1", 0))  # takes connections, and says nothing
    with hung:
        client = RegistryClient(f"127.0.0.1:{hung.getsockname()[1]}", timeout_s=20.0)
        session = client.session("a", [ServiceSpec(agent_id="a", service_name="a")])
        waits = [asyncio.create_task(work) for work in (client.discover(), session.start())]
        await asyncio.sleep(0.1)
        await client.close()
        async with asyncio.timeout(2.0):
            for wait in waits:
                with pytest.raises(Unreachable):
                    await wait
        assert session.connection_state is ConnectionState.CLOSED


async def test_an_abandoned_call_is_cancelled(client: RegistryClient) -> None:
    task = asyncio.create_task(client.discover())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (await client.discover()).services


def test_deadline_error_is_an_unreachable_one() -> None:
    assert issubclass(NoAnswerInTime, Unreachable)
    assert issubclass(Unreachable, RegistryError)


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORION_ADDRESS", raising=False)
    assert resolve_addresses("") == (DEFAULT_ADDRESS,)
    assert resolve_addresses("a:1, b:2") == ("a:1", "b:2")
    assert resolve_addresses(["[::1]:6746", "unix:/run/orion"]) == ("[::1]:6746", "unix:/run/orion")
    monkeypatch.setenv("ORION_ADDRESS", "there:1")
    assert resolve_addresses("") == ("there:1",)
    for wrong in ("here", "here:port", ":1", "here:70000"):
        with pytest.raises(InvalidArgument, match="address"):
            resolve_addresses(wrong)
