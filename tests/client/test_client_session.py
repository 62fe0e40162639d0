"""The supervised session: registers, beats, comes back by itself, stops when superseded, leaves with a goodbye."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import pytest

from orion_registry.client.client import RegistryClient
from orion_registry.client.environment import Environment
from orion_registry.client.failures import Unreachable
from orion_registry.client.options import SessionOptions
from orion_registry.client.state import ConnectionState
from orion_registry.core.commands import Remove
from orion_registry.core.frames import Drain, LostReason
from orion_registry.core.model import (
    Actor,
    Load,
    RemovalReason,
    ServiceSpec,
    ServiceStatus,
    StatusReasonCode,
)
from orion_registry.core.selector import Selector
from orion_registry.errors import Aborted, AlreadyExists, InvalidArgument, NotFound, Reason
from orion_registry.server.daemon import Daemon
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon
from orion_registry.wire.service import Service

pytestmark = pytest.mark.timeout(30)
QUICK = SessionOptions(goodbye_timeout_s=1.0)


def spec(name: str = "calc", agent_id: str = "a-1") -> ServiceSpec:
    return ServiceSpec(agent_id=agent_id, service_name=name, port=7000, capabilities=("math.add",))


async def until(
    client: RegistryClient, service_id: str, holds: Callable[[Service], bool], limit_s: float = 8.0
) -> Service:
    """The service as soon as it is so."""
    async with asyncio.timeout(limit_s):
        while True:
            try:
                service = await client.get(service_id)
                if holds(service):
                    return service
            except (NotFound, Unreachable):
                pass
            await asyncio.sleep(0.02)


def healthy(service: Service) -> bool:
    return service.status is ServiceStatus.HEALTHY


async def eventually(holds: Callable[[], Awaitable[bool] | bool], limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while True:
            result = holds()
            if result is True or (isinstance(result, Awaitable) and await result):
                return
            await asyncio.sleep(0.02)


async def test_registers_beats_and_says_goodbye(client: RegistryClient) -> None:
    tasks = asyncio.all_tasks()
    async with client.session("a-1", [spec()]) as session:
        states = [session.connection_state]
        service = await until(client, session.ref().service_id, healthy)
        assert service.epoch == session.ref().epoch
        assert len(session.ref().secret.encode()) >= 32
        await asyncio.sleep(1.3)
        later = await client.get(service.service_id)
        assert later.last_heartbeat is not None
        assert service.last_heartbeat is not None
        assert later.last_heartbeat > service.last_heartbeat
        assert later.status is ServiceStatus.HEALTHY
    assert [*states, session.connection_state] == [ConnectionState.CONNECTED, ConnectionState.CLOSED]
    with pytest.raises(NotFound):
        await client.get(service.service_id)
    await eventually(lambda: {task for task in asyncio.all_tasks() - tasks if "orion" in task.get_name()} == set())


async def test_the_first_beat_makes_the_new_epoch_count_as_used(client: RegistryClient, daemon: Daemon) -> None:
    async with client.session("a-1", [spec()]) as session:
        entry = daemon.coordinator.registry.get(session.ref().service_id)
        await eventually(lambda: entry.used_epoch == session.ref().epoch, limit_s=0.5)


async def test_load_and_status_reach_the_registry(client: RegistryClient) -> None:
    async with client.session("a-1", [spec()]) as session:
        service_id = session.ref().service_id
        session.set_load(Load(in_flight=3, utilization=0.5))
        began = time.monotonic()
        session.report_status(ServiceStatus.STOPPING)
        service = await until(client, service_id, lambda service: service.status is ServiceStatus.STOPPING)
        assert time.monotonic() - began < 0.5, "a status does not wait for the next beat"
        assert service.load == Load(in_flight=3, utilization=0.5)
        assert not service.ready
        session.report_status(ServiceStatus.HEALTHY)
        await until(client, service_id, healthy)
        with pytest.raises(KeyError):
            session.set_load(Load(), "unknown")


async def test_comes_back_after_a_restart_with_the_same_identity() -> None:
    store = MemoryStore()
    async with running_daemon(store=store) as first:
        address = first.address
        client = RegistryClient(address)
        session = client.session("a-1", [spec()], QUICK)
        await session.start()
        before = await until(client, session.ref().service_id, healthy)
        session.report_status(ServiceStatus.STOPPING)
    await session.wait_for(ConnectionState.RECONNECTING)
    async with running_daemon(store=store, listen=(address,)):
        async with asyncio.timeout(6):
            await session.wait_for(ConnectionState.CONNECTED)
        after = await until(client, before.service_id, lambda service: service.status is ServiceStatus.STOPPING)
        assert after.epoch > before.epoch
        assert after.generation == before.generation, "a resume writes nothing"
        await session.stop()
        with pytest.raises(NotFound):
            await client.get(before.service_id)
    await client.close()


async def test_registers_again_when_the_registry_forgot_everything() -> None:
    async with running_daemon() as first:
        address = first.address
        client = RegistryClient(address)
        session = client.session("a-1", [spec(), spec("second")], QUICK)
        await session.start()
        before = await until(client, session.ref().service_id, healthy)
    async with running_daemon(listen=(address,)):
        after = await until(client, before.service_id, healthy)
        assert after.agent_id == before.agent_id
        await eventually(lambda: session.connection_state is ConnectionState.CONNECTED)
        assert len((await client.discover(Selector(agent_id="a-1"))).services) == 2
        await session.stop()
    await client.close()


async def test_superseded_is_final_and_raised_from_the_body(client: RegistryClient, daemon: Daemon) -> None:
    async with RegistryClient(daemon.address) as other:
        takeover = other.session("a-1", [spec()], SessionOptions(takeover=True))
        session = client.session("a-1", [spec()])

        async def body() -> None:
            async with session:
                await asyncio.sleep(5)

        served = asyncio.create_task(body())
        await session.wait_for(ConnectionState.CONNECTED)
        await takeover.start()
        with pytest.raises(Aborted) as raised:
            await served
        assert raised.value.reason is Reason.SUPERSEDED
        assert session.connection_state is ConnectionState.SUPERSEDED
        assert served.cancelling() == 0
        with pytest.raises(Aborted):
            await session.ended()
        await asyncio.sleep(0.5)
        assert takeover.connection_state is ConnectionState.CONNECTED, "no duel"
        assert healthy(await client.get(takeover.ref().service_id))
        await takeover.stop()


async def test_two_copies_one_waits_and_gets_in_when_the_other_is_gone(client: RegistryClient, daemon: Daemon) -> None:
    async with RegistryClient(daemon.address) as other:
        async with client.session("a-1", [spec()]) as first:
            with pytest.raises(AlreadyExists) as refused:
                await other.session("a-1", [spec()], SessionOptions(claim_timeout_s=0.0)).start()
            assert refused.value.reason is Reason.AGENT_IN_USE
            second = other.session("a-1", [spec()], SessionOptions(claim_timeout_s=10.0))
            starting = asyncio.create_task(second.start())
            await asyncio.sleep(0.3)
            assert not starting.done()
            assert healthy(await client.get(first.ref().service_id))
        await asyncio.wait_for(starting, 8)
        await until(client, second.ref().service_id, healthy)
        await second.stop()


async def test_a_copy_that_was_away_while_another_claimed_stops() -> None:
    """The link of A breaks, B claims and lives, A returns: A is told and stops; B is never disturbed."""
    store, gate = MemoryStore(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        await gate.wait()
        await asyncio.sleep(seconds)

    async with running_daemon(store=store) as first:
        address = first.address
        away = RegistryClient(address, environment=Environment(sleep=sleep))
        a = away.session("a-1", [spec()], QUICK)
        await a.start()
    async with (
        running_daemon(store=store, listen=(address,)),
        RegistryClient(address) as client,
        client.session("a-1", [spec()]) as b,
    ):
        epoch = b.ref().epoch
        gate.set()
        with pytest.raises(Aborted) as raised:
            await asyncio.wait_for(a.ended(), 8)
        assert raised.value.reason is Reason.SUPERSEDED
        assert b.connection_state is ConnectionState.CONNECTED
        assert b.ref().epoch == epoch
        assert healthy(await client.get(b.ref().service_id))
        await a.stop()
    await away.close()


async def test_a_copy_that_was_away_claims_again_if_the_other_is_gone() -> None:
    store, gate = MemoryStore(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        await gate.wait()
        await asyncio.sleep(seconds)

    async with running_daemon(store=store) as first:
        address = first.address
        away = RegistryClient(address, environment=Environment(sleep=sleep))
        a = away.session("a-1", [spec()], QUICK)
        await a.start()
    async with running_daemon(store=store, listen=(address,)), RegistryClient(address) as client:
        await client.register(spec())  # claimed by somebody who never opens a stream
        gate.set()
        service = await until(client, a.ref().service_id, healthy)
        assert service.epoch == a.ref().epoch
        await a.stop()
    await away.close()


async def test_removed_by_an_operator_it_registers_again(client: RegistryClient, daemon: Daemon) -> None:
    async with client.session("a-1", [spec(), spec("second")]) as session:
        service_id, other_id = session.ref().service_id, (await client.discover()).services[1].service_id
        other = await until(client, other_id, healthy)
        before = await until(client, service_id, healthy)
        await daemon.coordinator.execute(Remove(service_id=service_id, reason=RemovalReason.REMOVED), Actor())
        after = await until(client, service_id, lambda service: healthy(service) and service.epoch > before.epoch)
        assert after.service_id == before.service_id
        assert (await client.get(other_id)).epoch == other.epoch, "the other service of the stream is not disturbed"
        assert session.connection_state is ConnectionState.CONNECTED


async def test_unregistered_by_its_own_agent_it_stays_away(client: RegistryClient) -> None:
    async with client.session("a-1", [spec()]) as session:
        await client.unregister(session.ref())
        async with asyncio.timeout(2):
            await session.ended()
        assert session.connection_state is ConnectionState.CLOSED
        with pytest.raises(NotFound):
            await client.get(session.ref().service_id)


async def test_one_service_of_two_is_superseded_and_the_other_lives(client: RegistryClient, daemon: Daemon) -> None:
    told: list[tuple[str, LostReason]] = []
    options = SessionOptions(on_lost=lambda service_id, reason: told.append((service_id, reason)))
    async with (
        client.session("a-1", [spec(), spec("second")], options) as session,
        RegistryClient(daemon.address) as other,
        other.session("a-1", [spec("second")], SessionOptions(takeover=True)) as thief,
    ):
        await eventually(lambda: told == [(thief.ref().service_id, LostReason.SUPERSEDED)])
        await asyncio.sleep(0.3)
        assert session.connection_state is ConnectionState.CONNECTED
        assert healthy(await client.get(session.ref().service_id))
        assert thief.connection_state is ConnectionState.CONNECTED


async def test_drain_reaches_the_handler_and_is_acknowledged(client: RegistryClient, daemon: Daemon) -> None:
    seen: list[Drain] = []

    async def drain(command: Drain) -> None:
        seen.append(command)
        raise RuntimeError("a handler's fault does not end the session")

    async with client.session("a-1", [spec()], SessionOptions(on_command=drain)) as session:
        service_id = session.ref().service_id
        streams = list(daemon.coordinator.registry.get(service_id).streams)
        daemon.coordinator.drain(service_id, 2.5)
        await eventually(lambda: not streams[0].pending_commands and bool(seen))
        assert seen[0].deadline_s == 2.5
        assert seen[0].service_ids == (service_id,)
        assert session.connection_state is ConnectionState.CONNECTED


async def test_a_blocked_loop_is_told_to_its_developer(
    client: RegistryClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with client.session("a-1", [spec()]) as session:
        await asyncio.sleep(0.1)
        with caplog.at_level(logging.WARNING, logger="orion_registry.client"):
            time.sleep(1.6)  # noqa: ASYNC251 - that is the fault to be told
            await asyncio.sleep(0.3)
        advice = [record.message for record in caplog.records if "event loop was blocked" in record.message]
        assert advice
        assert "asyncio.to_thread" in advice[0]
        assert session.connection_state is ConnectionState.CONNECTED


async def test_refused_for_good_at_the_start(client: RegistryClient) -> None:
    with pytest.raises(InvalidArgument, match="port"):
        async with client.session("a-1", [ServiceSpec(agent_id="a-1", service_name="calc", port=70_000), spec("ok")]):
            pytest.fail("not reached")
    assert not (await client.discover(Selector(include_not_ready=True))).services, "nothing half registered stays"
    with pytest.raises(InvalidArgument, match="at least one"):
        client.session("a-1", [])


async def test_no_registry_at_the_start(unused_tcp_port: int) -> None:
    options = SessionOptions(start_timeout_s=0.6)
    async with RegistryClient(f"127.0.0.1:{unused_tcp_port}") as client:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="orion-registry serve"):
            await client.session("a-1", [spec()], options).start()
        assert time.monotonic() - began < 3.0


async def test_starts_when_the_registry_comes_up_later(unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    async with RegistryClient(address) as client:
        session = client.session("a-1", [spec()], QUICK)
        starting = asyncio.create_task(session.start())
        await asyncio.sleep(0.4)
        async with running_daemon(listen=(address,)):
            await asyncio.wait_for(starting, 6)
            await until(client, session.ref().service_id, healthy)
            await session.stop()


async def test_leaving_while_the_registry_is_away_is_quick(daemon: Daemon) -> None:
    client = RegistryClient(daemon.address)
    session = client.session("a-1", [spec()])
    await session.start()
    await daemon.stop()
    await session.wait_for(ConnectionState.RECONNECTING)
    began = time.monotonic()
    await session.stop()
    assert time.monotonic() - began < 2.5
    await client.close()


async def test_moving_leaves_the_service_registered(client: RegistryClient) -> None:
    from orion_registry.core.frames import GoodbyeReason

    session = client.session("a-1", [spec()])
    await session.start()
    await until(client, session.ref().service_id, healthy)
    await session.stop(GoodbyeReason.MOVING)
    service = await client.get(session.ref().service_id)
    assert service.status is ServiceStatus.UNKNOWN
    assert service.reasons[0].code is StatusReasonCode.RECONNECT_GRACE


async def test_an_error_in_the_body_passes_and_the_goodbye_is_said(client: RegistryClient) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.session("a-1", [spec()]) as session:
            _ = 1 / 0
    with pytest.raises(NotFound):
        await client.get(session.ref().service_id)


async def test_cancelled_from_outside_it_is_cancelled_and_says_goodbye(client: RegistryClient) -> None:
    session = client.session("a-1", [spec()])

    async def body() -> None:
        async with session:
            await asyncio.sleep(60)

    task = asyncio.create_task(body())
    await session.wait_for(ConnectionState.CONNECTED)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(NotFound):
        await client.get(session.ref().service_id)


async def test_retention_of_a_dead_copy_does_not_matter_to_the_next(client: RegistryClient, daemon: Daemon) -> None:
    """SIGKILL as the daemon sees it: the connection goes without a goodbye; the next process has the same identity."""
    doomed = RegistryClient(daemon.address)
    session = doomed.session("a-1", [spec()])
    await session.start()
    before = await until(client, session.ref().service_id, healthy)
    await doomed.close()  # cuts the stream without a goodbye
    dead = await until(client, before.service_id, lambda service: service.status is ServiceStatus.UNHEALTHY)
    assert dead.reasons[0].code is StatusReasonCode.DISCONNECTED
    async with client.session("a-1", [spec()]) as again:
        after = await until(client, before.service_id, healthy)
        assert after.epoch > before.epoch
        assert again.ref().service_id == before.service_id
    await session.stop()
