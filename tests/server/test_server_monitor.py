"""MonitorService over real gRPC, with runs that find what the test says: from configuration to verdict and status."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from orion_registry import (
    CheckSpec,
    CustomProbe,
    GrpcProbe,
    HttpProbe,
    LivenessMode,
    RegistryClient,
    Selector,
    ServiceSpec,
    ServiceStatus,
    TcpProbe,
    Verdict,
)
from orion_registry.client.admin import AdminClient
from orion_registry.core.access.cost import Cost
from orion_registry.core.checks.spec import ProbeKind
from orion_registry.core.checks.threshold import CheckState
from orion_registry.core.checks.verdict import Outcome
from orion_registry.core.config import RegistryConfig
from orion_registry.core.events import CheckNotRun, EventFilter, EventType
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Reason,
    ResourceExhausted,
    Unavailable,
)
from orion_registry.runtime.clock import SystemClock
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.daemon import Daemon
from orion_registry.server.methods import MONITOR_METHODS, MONITOR_SERVICE
from orion_registry.server.settings import Settings
from orion_registry.server.start_error import StartError
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon
from orion_registry.testing.entropy import SeededEntropy
from orion_registry.testing.probes import ScriptedProbe
from orion_registry_pb.v1 import monitor_pb2 as pb
from orion_registry_pb.v1 import monitor_pb2_grpc as stubs
from tests.runtime.virtual import add

STATIC, CHECK = LivenessMode.STATIC, LivenessMode.CHECK
WEB = CheckSpec(name="web", probes=(HttpProbe(path="/up"),), fall=1, rise=1)
PORT = CheckSpec(name="port", probes=(TcpProbe(port=7001), GrpcProbe(port=7002)), interval_s=60.0, fall=1, retries=1)


def spec(agent_id: str = "calc-1", **fields: Any) -> ServiceSpec:
    fields = {"checks": (WEB, PORT), "liveness": STATIC, **fields}
    return ServiceSpec(agent_id=agent_id, service_name="calc", host="127.0.0.1", port=7000, **fields)


class Patient(SeededEntropy):
    """First runs as late as can be, after 5 s: no run of its own comes between what a test asks for."""

    def draw(self) -> float:
        return 0.999


@asynccontextmanager
async def looked_after(**options: Any) -> AsyncIterator[tuple[RegistryClient, ScriptedProbe]]:
    """A daemon whose checks find what the probe says."""
    probe = ScriptedProbe()
    options = {"entropy": Patient(), **options}
    async with running_daemon(probe=probe, **options) as daemon, RegistryClient(daemon.address) as client:
        yield client, probe


async def until(condition: Callable[..., Awaitable[bool]], *args: Any) -> None:
    """Polls: what is waited for has no event of its own."""
    async with asyncio.timeout(10.0):
        while not await condition(*args):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def test_the_method_table_is_the_proto() -> None:
    service = pb.DESCRIPTOR.services_by_name["MonitorService"]
    assert service.full_name == MONITOR_SERVICE
    table = {method.name: method.request.DESCRIPTOR for method in MONITOR_METHODS}
    assert table == {method.name: method.input_type for method in service.methods}
    assert {method.name: method.cost for method in MONITOR_METHODS}["CheckServiceHealth"] is Cost.PROBE


async def test_what_is_configured_at_registration_is_run_shown_and_counted() -> None:
    async with looked_after() as (client, probe):
        registered = (await client.register(spec())).service
        assert registered.checks == (WEB, PORT)
        assert (await client.get(registered.service_id)).checks == (WEB, PORT)
        checked = await client.check_now(registered.service_id)
        assert [(result.check, result.outcome.verdict) for result in checked.results] == [
            ("web", Verdict.PASSED),
            ("port", Verdict.PASSED),
        ]
        assert (checked.status, checked.ready) == (ServiceStatus.HEALTHY, True)
        assert (probe.runs["web"], probe.addresses["web"]) == (1, "127.0.0.1")
        health = await client.health(registered.service_id)
        assert (health.service_id, health.status, health.ready) == (registered.service_id, ServiceStatus.HEALTHY, True)
        assert [(check.name, check.state, check.passes, check.interval_s) for check in health.checks] == [
            ("web", CheckState.PASSING, 1, 30.0),
            ("port", CheckState.PASSING, 1, 60.0),
        ]
        assert 26.0 < health.checks[0].next_run_s <= 33.0
        (run,) = health.checks[1].results
        assert (run.check, run.outcome.kind, run.outcome.latency_s) == ("port", ProbeKind.TCP, 0.001)
        assert [change.status for change in health.timeline] == [ServiceStatus.HEALTHY]
        stats = await client.health_stats()
        assert (stats.checks, stats.passing, stats.total.runs, stats.total.passed) == (2, 2, 2, 2)
        assert [(kind.kind, kind.runs, kind.p99_s) for kind in stats.kinds] == [
            (ProbeKind.HTTP, 1, 0.001),
            (ProbeKind.TCP, 1, 0.001),
        ]


async def test_checks_run_by_themselves() -> None:
    async with looked_after() as (client, probe):
        every_second = CheckSpec(name="web", probes=(TcpProbe(),), interval_s=1.0)
        await client.register(spec(checks=(every_second,)))
        await until(_runs, probe, "web", 2)


async def _runs(probe: ScriptedProbe, check: str, times: int) -> bool:
    return probe.runs[check] >= times


async def test_a_failing_check_takes_an_agent_with_a_perfect_stream_out_and_back() -> None:
    async with looked_after() as (client, probe):
        every_second = CheckSpec(name="web", probes=(TcpProbe(),), interval_s=1.0, fall=2, rise=1)
        stream = spec(checks=(every_second,), liveness=LivenessMode.STREAM)
        async with client.session("calc-1", [stream]) as session:
            await until(_found, client, 1)
            probe.verdict = Verdict.FAILED
            probe.detail = "connection refused"
            await until(_found, client, 0)
            health = await client.health(session.ref().service_id)
            assert [reason.code for reason in health.reasons] == [Code.CHECK_FAILED, Code.STREAM_OPEN]
            assert [run.outcome.detail for run in health.checks[0].results][-2:] == ["connection refused"] * 2
            assert health.last_heartbeat is not None
            probe.verdict = Verdict.PASSED
            await until(_found, client, 1)
            health = await client.health(session.ref().service_id)
            assert [change.status for change in health.timeline][-3:] == [
                ServiceStatus.HEALTHY,
                ServiceStatus.UNHEALTHY,
                ServiceStatus.HEALTHY,
            ]


async def _found(client: RegistryClient, count: int) -> bool:
    return len((await client.discover(Selector())).services) == count


async def test_check_mode_lives_by_its_checks_alone() -> None:
    async with looked_after() as (client, probe):
        probe.hang()
        service_id = (await client.register(spec(liveness=CHECK, checks=(WEB,)))).ref.service_id
        first = asyncio.create_task(client.check_now(service_id))
        await until(_runs, probe, "web", 1)
        assert (await client.get(service_id)).status is ServiceStatus.STARTING
        probe.release()
        assert (await first).reasons[0].code is Code.CHECK_OK
        assert await _found(client, 1)


async def test_who_asks_while_it_runs_waits_for_that_run_and_who_asks_right_after_is_told_when() -> None:
    async with looked_after() as (client, probe):
        service_id = (await client.register(spec())).ref.service_id
        probe.hang()
        callers = [asyncio.create_task(client.check_now(service_id, "web")) for _ in range(3)]
        gives_up = asyncio.create_task(client.check_now(service_id, "web", timeout_s=0.2))
        with pytest.raises(Unavailable):
            await gives_up
        assert probe.runs["web"] == 1
        probe.release()
        found = await asyncio.gather(*callers)
        assert [len(one.results) for one in found] == [1, 1, 1]
        assert (probe.runs["web"], probe.runs["port"]) == (1, 0)
        with pytest.raises(ResourceExhausted) as caught:
            await client.check_now(service_id, "web")
        assert caught.value.reason is Reason.RATE_LIMITED
        assert 0.0 < (caught.value.retry_after_s or 0.0) <= 1.0


async def test_what_cannot_be_looked_at_marks_nobody_and_is_told() -> None:
    async with looked_after() as (client, probe):
        probe.verdicts = {"web": Verdict.DENIED, "port": Verdict.UNAVAILABLE}
        probe.detail = "10.9.9.9 is not allowed"
        service_id = (await client.register(spec())).ref.service_id
        checked = await client.check_now(service_id)
        assert [result.outcome.verdict for result in checked.results] == [Verdict.DENIED, Verdict.UNAVAILABLE]
        assert (checked.status, checked.ready) == (ServiceStatus.HEALTHY, True)
        async with AdminClient(client.address) as admin:
            page = await admin.list_events(EventFilter(types=frozenset({EventType.CHECK_NOT_RUN})))
            told = [logged.event for logged in page.events]
            assert [event.check for event in told if isinstance(event, CheckNotRun)] == ["web", "port"]
            assert (await admin.health_stats()).total.denied == 1


async def test_refusals_say_what_is_wrong() -> None:
    async with looked_after() as (client, _):
        service_id = (await client.register(spec())).ref.service_id
        with pytest.raises(InvalidArgument, match="check: must be one of web, port, got 'disk'"):
            await client.check_now(service_id, "disk")
        for call in (client.check_now, client.health):
            with pytest.raises(NotFound) as caught:
                await call("nobody")
            assert caught.value.reason is Reason.NO_SUCH_SERVICE
            with pytest.raises(InvalidArgument, match="service_id"):
                await call("no/body")
        with pytest.raises(InvalidArgument, match="check"):
            await client.check_now(service_id, "a check")
        bare = (await client.register(spec("calc-2", checks=()))).ref.service_id
        with pytest.raises(FailedPrecondition) as refused:
            await client.check_now(bare)
        assert refused.value.reason is Reason.WRONG_MODE
        assert (await client.health(bare)).checks == ()


async def test_checks_that_go_while_somebody_waits() -> None:
    """One that is changed has no result; one whose service goes is an error; the wait ends at once either way."""
    async with looked_after() as (client, probe):
        ref = (await client.register(spec())).ref
        probe.hang()
        waiting = asyncio.create_task(client.check_now(ref.service_id))
        await until(_runs, probe, "port", 1)
        await client.update(ref, spec(checks=(PORT,)), ["checks"])
        probe.release()
        assert [result.check for result in (await waiting).results] == ["port"]
        other = (await client.register(spec("calc-2", checks=(WEB,)))).ref
        probe.hang()
        waiting = asyncio.create_task(client.check_now(other.service_id))
        await until(_runs, probe, "web", 2)
        await client.unregister(other)
        with pytest.raises(NotFound):
            await waiting
        probe.release()


async def test_at_shutdown_runs_are_cancelled_and_who_waits_is_told() -> None:
    probe = ScriptedProbe()
    async with running_daemon(probe=probe, entropy=Patient()) as daemon, RegistryClient(daemon.address) as client:
        service_id = (await client.register(spec())).ref.service_id
        probe.hang()
        waiting = asyncio.create_task(client.check_now(service_id))
        await until(_runs, probe, "port", 1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await daemon.stop()
        assert loop.time() - began < 1.5
        with pytest.raises(Unavailable):
            await waiting
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "check"]


async def test_a_prober_that_breaks_harms_no_service_and_keeps_no_place() -> None:
    """check_runs is 1: a place that stayed taken would keep the second run from starting."""
    ends: list[BaseException] = [ValueError("odd"), asyncio.CancelledError()]

    async def breaks(_check: CheckSpec, _address: str) -> Outcome:
        raise ends.pop()

    async with (
        running_daemon(probe=breaks, check_runs=1, entropy=Patient()) as daemon,
        RegistryClient(daemon.address) as client,
    ):
        service_id = (await client.register(spec())).ref.service_id
        checked = await client.check_now(service_id)
        assert [result.outcome.verdict for result in checked.results] == [Verdict.UNAVAILABLE] * 2
        assert [result.outcome.detail for result in checked.results] == [
            "the prober broke: it cancelled itself",
            "the prober broke: ValueError",
        ]
        assert checked.ready


async def test_a_registry_without_a_prober_says_so() -> None:
    coordinator = Coordinator(config=RegistryConfig(), store=MemoryStore(), clock=SystemClock(), entropy=Patient())
    await coordinator.start()
    try:
        entry = await add(coordinator, liveness=STATIC, checks=(WEB,), host="127.0.0.1", port=7000)
        (result,) = await coordinator.monitor.check_now(entry.service_id)
        assert (result.outcome.verdict, result.outcome.detail) == (
            Verdict.UNAVAILABLE,
            "this registry has no prober",
        )
    finally:
        await coordinator.stop()


async def test_settings_reach_the_core_and_the_prober(tmp_path: Path) -> None:
    odd = tmp_path / "ca.pem"
    odd.write_text("no certificate")
    for path in (str(odd), str(tmp_path / "none.pem")):
        daemon = Daemon(Settings(listen=("127.0.0.1:0",), ephemeral=True, check_ca_file=path))
        with pytest.raises(StartError, match="check_ca_file: must be a readable PEM file with certificates"):
            await daemon.start()
    custom = ("disk=ops.checks:disk",)
    async with looked_after(custom_checks=custom) as (client, _):
        disk, other = (CheckSpec(name=name, probes=(CustomProbe(name=name),)) for name in ("disk", "other"))
        await client.register(spec(checks=(disk,)))
        with pytest.raises(InvalidArgument, match="custom"):
            await client.register(spec(checks=(other,)))
        channel = grpc.aio.insecure_channel(client.address)
        stub: Any = stubs.MonitorServiceStub(channel)
        answer: pb.GetHealthStatsResponse = await stub.GetHealthStats(pb.GetHealthStatsRequest())
        assert (answer.checks, answer.total.success_rate, answer.total.HasField("average")) == (1, 1.0, False)
        await channel.close()
