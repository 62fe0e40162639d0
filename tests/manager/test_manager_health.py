"""Active checks of the embedded manager, over real sockets on this machine."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from orion_registry import (
    CheckSpec,
    GrpcProbe,
    HealthMonitor,
    HttpProbe,
    IcmpProbe,
    ServiceDiscoveryManager,
    ServiceInfo,
    ServiceRegistry,
    ServiceStatus,
    Verdict,
)
from orion_registry.errors import FailedPrecondition, Unimplemented
from orion_registry.manager import EventKind, ServiceEvent
from orion_registry.probes.prober import ProbeConfig, Prober


@asynccontextmanager
async def server(answer: bytes = b"") -> AsyncIterator[int]:
    """Listens on a free port, and answers each connection with the same bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()


def http(status: int) -> bytes:
    return f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def made(**fields: object) -> ServiceInfo:
    return ServiceInfo(agent_id="a", service_name="work", service_id="s", **fields)  # type: ignore[arg-type]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15.0):
        while not holds():  # noqa: ASYNC110 - what is waited for are numbers of a program that tells nobody
            await asyncio.sleep(0.02)


async def test_a_port_is_connected_to_and_a_url_is_asked() -> None:
    monitor = HealthMonitor(ServiceRegistry())
    async with server() as port:
        assert await monitor.check_service_health(made(host="localhost", port=port))
    assert not await monitor.check_service_health(made(host="localhost", port=port))
    for status, well in ((200, True), (503, False)):
        async with server(http(status)) as port:
            url = f"http://127.0.0.1:{port}/health"
            assert await monitor.check_service_health(made(health_check_url=url)) is well
    stats = monitor.get_health_stats()
    assert (stats["asked_checks"], stats["asked_passed"], stats["asked_failed"]) == (4, 2, 2)


async def test_port_0_is_in_this_process_and_goes_by_what_is_known() -> None:
    registry = ServiceRegistry()
    monitor = HealthMonitor(registry)
    info = made()
    assert not await monitor.check_service_health(info), "not registered, and STARTING by its own word"
    registry.register_service(info)
    assert await monitor.check_service_health(info)
    registry.update_service_status("s", ServiceStatus.UNHEALTHY)
    assert not await monitor.check_service_health(info)
    assert monitor.get_health_stats()["asked_checks"] == 0


async def test_metadata_services_stay_shut_and_say_nothing_of_the_service(caplog: pytest.LogCaptureFixture) -> None:
    registry = ServiceRegistry()
    monitor = HealthMonitor(registry)
    info = made(health_check_url="http://169.254.169.254/latest")
    registry.register_service(info)
    assert await monitor.check_service_health(info)
    assert monitor.get_health_stats()["asked_failed"] == 0
    assert "check not run" in caplog.text


async def test_a_prober_without_its_packages_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "icmp", "grpc"):
        monkeypatch.delitem(sys.modules, f"orion_registry.probes.{name}", raising=False)
    for name in ("aiohttp", "icmplib", "grpc_health.v1"):
        monkeypatch.setitem(sys.modules, name, None)
    prober = Prober(ProbeConfig())
    try:
        for probe, missing in (
            (HttpProbe(host="127.0.0.1", port=1), "aiohttp"),
            (IcmpProbe(host="::1"), "icmplib"),
            (GrpcProbe(host="127.0.0.1", port=1), "grpc_health.v1"),
        ):
            outcome = await prober.run(CheckSpec(name="c", probes=(probe,)), "")
            assert outcome.verdict is Verdict.UNAVAILABLE
            assert outcome.detail == f"{probe.kind.name} checks need {missing}: pip install 'orion-registry[server]'"
    finally:
        await prober.close()


async def test_without_aiohttp_only_a_url_is_an_error_and_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("aiohttp", "orion_registry.probes.http"):
        monkeypatch.setitem(sys.modules, name, None)
    registry = ServiceRegistry()
    monitor = HealthMonitor(registry, check_interval=1.0)
    async with server() as port:
        assert await monitor.check_service_health(made(port=port, host="127.0.0.1"))
        info = made(health_check_url=f"http://127.0.0.1:{port}/")
        assert registry.register_service(info)
        with pytest.raises(Unimplemented, match=r"pip install 'orion-registry\[server\]'"):
            await monitor.check_service_health(info)
        await monitor.start()
        with caplog.at_level(logging.ERROR):
            await until(lambda: monitor.get_health_stats()["unavailable_checks"] > 0)
        await until(lambda: "pip install" in caplog.text)
        assert [one.status for one in registry.get_all_services()] == [ServiceStatus.HEALTHY], "not the service's fault"
        await monitor.stop()


async def test_a_running_monitor_finds_who_is_gone_and_takes_its_word_back_when_it_stops() -> None:
    registry = ServiceRegistry()
    monitor = HealthMonitor(registry, check_interval=1.0)
    heard: list[ServiceEvent] = []
    registry.add_event_listener(EventKind.HEALTH, heard.append)
    registry.register_service(made(port=1, host="127.0.0.1"))
    async with server() as port:
        await monitor.start()
        await monitor.start()
        with pytest.raises(FailedPrecondition, match="another HealthMonitor"):
            await HealthMonitor(registry).start()
        later = ServiceInfo(agent_id="b", service_name="work", service_id="well", host="127.0.0.1", port=port)
        registry.register_service(later)
        registry.register_service(ServiceInfo(agent_id="c", service_name="work", service_id="inside"))
        await until(lambda: bool(heard))
        await until(lambda: monitor.get_health_stats()["passed_checks"] > 0)
        assert {one.service_id for one in registry.discover_services()} == {"well", "inside"}
        assert heard[0].details["reason"] == "CHECK_FAILED"
        stats = monitor.get_health_stats()
        assert (stats["monitored_services"], stats["failing_services"]) == (2, 1)
        await monitor.stop()
        await monitor.stop()
    assert len(registry.discover_services()) == 3
    assert monitor.get_health_stats()["monitored_services"] == 0
    await monitor.start()
    assert monitor.running
    await monitor.stop()


def test_a_loop_that_ends_without_stop_leaves_a_manager_that_can_be_started_again() -> None:
    manager = ServiceDiscoveryManager()
    service_id = manager.register_agent_service("a", "work", host="127.0.0.1", port=1)
    asyncio.run(manager.start())
    assert not manager.running
    assert manager.registry.heartbeat(service_id)

    async def again() -> bool:
        async with manager:
            return manager.running and manager.health_monitor.running

    assert asyncio.run(again())
    assert not manager.running


async def test_a_monitor_that_stops_amid_its_runs_leaves_no_place_taken() -> None:
    registry = ServiceRegistry()
    monitor = HealthMonitor(registry, check_interval=1.0)
    accepted = asyncio.Event()
    never = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await never.wait()
        writer.close()

    listening = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    registry.register_service(made(health_check_url=f"http://127.0.0.1:{port}/"))
    await monitor.start()
    await asyncio.wait_for(accepted.wait(), 15.0)
    await monitor.stop()
    never.set()
    assert registry.shell.core.monitoring.stats().running == 0
    listening.close()
    await listening.wait_closed()
