"""Errors that stay: raised at once to whoever can mend them, never retried for ever and never quiet."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from orion_registry.client.client import RegistryClient
from orion_registry.client.failures import Unreachable
from orion_registry.client.holdings import Holdings
from orion_registry.client.options import SessionOptions
from orion_registry.client.state import ConnectionState
from orion_registry.core.commands import Remove
from orion_registry.core.frames import LostReason
from orion_registry.core.model import Actor, Load, RemovalReason, ServiceSpec, ServiceStatus, SessionRef
from orion_registry.core.selector import Selector
from orion_registry.errors import (
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Reason,
    RegistryError,
    ResourceExhausted,
    Unimplemented,
    bad_field,
)
from orion_registry.server.daemon import Daemon
from orion_registry.wire.status import DETAILS_KEY, status_of
from tests.client.test_client_session import eventually, until
from tests.client.test_client_stream_faults import QUICK, SPEC, accept, fake, serve

pytestmark = pytest.mark.timeout(30)


def spec(name: str = "calc", **fields: Any) -> ServiceSpec:
    return ServiceSpec(agent_id="a-1", service_name=name, port=7000, **fields)


async def abort(context: Any, error: RegistryError) -> None:
    """As the registry ends a call."""
    status = status_of(error)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    await context.abort(code, status.message, ((DETAILS_KEY, status.details),))


LASTING = [
    bad_field("beat.services[0].load.in_flight", "0 to 1,000,000", -1),
    FailedPrecondition(Reason.WRONG_MODE, "the first frame must be hello"),
    PermissionDenied(Reason.NOT_ALLOWED, "role agent is needed"),
    Unimplemented(Reason.NOT_SUPPORTED_YET, "not here"),
    ResourceExhausted(Reason.TOO_LARGE, "a frame is too large"),
]


@pytest.mark.parametrize(
    "load",
    [
        Load(in_flight=-1),
        Load(in_flight=2_000_000),
        Load(queue_depth=-1),
        Load(utilization=float("nan")),
        Load(named={"x": float("inf")}),
    ],
)
async def test_a_bad_load_is_refused_at_once_and_harms_nothing(client: RegistryClient, load: Load) -> None:
    async with client.session("a-1", [spec()]) as session:
        session.set_load(Load(in_flight=3))
        with pytest.raises(InvalidArgument, match=r"load\."):
            session.set_load(load)
        with pytest.raises(TypeError):
            session.set_load(Load(in_flight=1.5))  # type: ignore[arg-type]
        await asyncio.sleep(1.2)
        assert session.connection_state is ConnectionState.CONNECTED
        assert (await client.get(session.ref().service_id)).load == Load(in_flight=3)


@pytest.mark.parametrize("error", LASTING, ids=lambda error: error.reason)
async def test_an_error_that_stays_is_raised_from_the_start(error: RegistryError) -> None:
    async def refuse(context: Any, _: int) -> None:
        await abort(context, error)

    async with fake(refuse) as (registry, client):
        began = time.monotonic()
        with pytest.raises(type(error)) as raised:
            await client.session("a-1", [SPEC], QUICK).start()
        assert raised.value.reason is error.reason
        assert time.monotonic() - began < 2.0
        assert len(registry.streams) == 1


@pytest.mark.parametrize("error", LASTING, ids=lambda error: error.reason)
async def test_an_error_that_stays_is_raised_from_the_body(error: RegistryError) -> None:
    async def refuse_later(context: Any, number: int) -> None:
        await accept(context, number)
        await asyncio.sleep(0.2)
        await abort(context, error)

    async with fake(refuse_later) as (registry, client):
        session = client.session("a-1", [SPEC], QUICK)
        with pytest.raises(type(error)):
            async with session, asyncio.timeout(5):
                await asyncio.Event().wait()
        assert session.connection_state is ConnectionState.CLOSED
        with pytest.raises(type(error)):
            await session.ended()
        # On a busy machine the end may meet a write of ours: then it looks like a cut, and is met again on the next.
        assert len(registry.streams) in {1, 2}


@pytest.mark.parametrize(
    "error",
    [ResourceExhausted(Reason.RATE_LIMITED, "slowly"), ResourceExhausted(Reason.TOO_LARGE, "now", retry_after_s=0.1)],
    ids=lambda error: error.reason,
)
async def test_an_error_that_passes_is_tried_again(error: RegistryError) -> None:
    async def refuse_first(context: Any, number: int) -> None:
        if number == 1:
            await abort(context, error)
        await serve(context, number)

    async with fake(refuse_first) as (registry, client), client.session("a-1", [SPEC], QUICK):
        assert len(registry.streams) == 2


async def test_a_shortage_on_the_way_is_not_taken_for_a_message_too_large() -> None:
    async def short_first(context: Any, number: int) -> None:
        if number == 1:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "memory is short")
        await serve(context, number)

    async with fake(short_first) as (registry, client), client.session("a-1", [SPEC], QUICK):
        assert len(registry.streams) == 2


@pytest.mark.parametrize(
    ("service", "options", "reason"),
    [
        (spec(), SessionOptions(instance_id="i" * 200), Reason.BAD_FIELD),
        (spec(metadata_json=json.dumps({"k": "x" * 2_000_000})), SessionOptions(), Reason.TOO_LARGE),
    ],
    ids=["instance_id", "metadata"],
)
async def test_the_registry_refuses_a_start_and_nothing_stays(
    client: RegistryClient, service: ServiceSpec, options: SessionOptions, reason: Reason
) -> None:
    began = time.monotonic()
    with pytest.raises(RegistryError) as raised:
        await client.session("a-1", [service], options).start()
    assert raised.value.reason is reason
    assert time.monotonic() - began < 3.0
    assert not (await client.discover(Selector(include_not_ready=True))).services


async def test_a_closed_client_ends_its_sessions(daemon: Daemon) -> None:
    client = RegistryClient(daemon.address)
    session = client.session("a-1", [spec()])

    async def body() -> None:
        async with session:
            await asyncio.Event().wait()

    served = asyncio.create_task(body())
    await session.wait_for(ConnectionState.CONNECTED)
    await client.close()
    async with asyncio.timeout(3):
        with pytest.raises(Unreachable, match="the client is closed"):
            await session.ended()
        with pytest.raises(Unreachable, match="the client is closed"):
            await served
    assert session.connection_state is ConnectionState.CLOSED
    with pytest.raises(Unreachable, match="the client is closed"):
        await asyncio.wait_for(client.session("a-1", [spec()]).start(), 3)


async def test_a_load_does_not_undo_a_later_status(client: RegistryClient) -> None:
    async with client.session("a-1", [spec()]) as session:
        service_id = session.ref().service_id
        session.report_status(ServiceStatus.STARTING)
        await until(client, service_id, lambda service: service.status is ServiceStatus.STARTING)
        await client.update_status(session.ref(), ServiceStatus.STOPPING)
        session.set_load(Load(in_flight=1))
        service = await until(client, service_id, lambda service: service.load == Load(in_flight=1))
        assert service.status is ServiceStatus.STOPPING


async def test_one_text_is_not_taken_for_its_letters(client: RegistryClient) -> None:
    ref = SessionRef(service_id="x", epoch=1, secret="s" * 32)
    calls: dict[str, Callable[[ServiceSpec], Any]] = {
        "session": lambda service: client.session("a-1", [spec("ok"), service]),
        "register": client.register,
        "update": lambda service: client.update(ref, service, ["tags"]),
    }
    for name in ("capabilities", "tags"):
        for call in calls.values():
            with pytest.raises(InvalidArgument, match=rf"service\.{name}: must be a tuple of texts, got 'math.add'"):
                await call(spec(**{name: "math.add"}))
    fields: dict[str, Any] = dict.fromkeys(("capabilities", "tags", "tags_any", "tags_none"), "math.add")
    for name, text in fields.items():
        selector = Selector(**{name: text})
        with pytest.raises(InvalidArgument, match=rf"selector\.{name}: must be a tuple of texts"):
            await client.discover(selector)
        with pytest.raises(InvalidArgument, match=rf"selector\.{name}: must be a tuple of texts"):
            client.watch(selector)


async def test_a_session_takes_a_thousand_services_and_no_more(client: RegistryClient) -> None:
    many = [spec(f"s-{number}") for number in range(1_001)]
    client.session("a-1", many[:1_000])
    with pytest.raises(InvalidArgument, match="at most 1,000 services in one session"):
        client.session("a-1", many)


async def test_on_lost_tells_of_a_service_that_is_refused_from_now_on(client: RegistryClient, daemon: Daemon) -> None:
    """Removed by an operator, and refused when it registers again: gone for good, while the other service lives."""
    told: list[tuple[str, LostReason]] = []
    options = SessionOptions(on_lost=lambda service_id, reason: told.append((service_id, reason)))
    async with client.session("a-1", [spec(), spec("second")], options) as session:
        holdings: Holdings = session._holdings
        second = list(holdings)[1]
        second.spec = spec("second", weight=-1.0)  # the registry's rules have changed
        await daemon.coordinator.execute(Remove(service_id=second.service_id, reason=RemovalReason.REMOVED), Actor())
        await eventually(lambda: bool(told))
        assert told == [(second.service_id, LostReason.REMOVED)]
        assert session.connection_state is ConnectionState.CONNECTED
