"""What misuse of the embedded manager must not do: apply halves, lose events, swallow a cancel, blame no field."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orion_registry import HealthMonitor, ServiceDiscoveryManager, ServiceInfo, ServiceRegistry
from orion_registry.errors import FailedPrecondition, InvalidArgument
from orion_registry.manager import EventKind, ServiceEvent
from orion_registry.manager.events import Listeners
from orion_registry.manager.periodic import Periodic


class _Uncopied(str):
    """JSON can say it, but nobody can copy it."""

    def __deepcopy__(self, _memo: object) -> str:
        raise RuntimeError("no copy")


def test_a_service_that_cannot_be_copied_is_not_registered_by_half(manager: ServiceDiscoveryManager) -> None:
    with pytest.raises(RuntimeError, match="no copy"):
        manager.register_agent_service("a", "work", metadata={"model": _Uncopied("small")})
    assert manager.registry.get_all_services() == []
    assert manager.select_agent() is None


async def test_a_manager_whose_monitor_cannot_start_does_not_run(manager: ServiceDiscoveryManager) -> None:
    other = HealthMonitor(manager.registry)
    await other.start()
    with pytest.raises(FailedPrecondition, match="another HealthMonitor"):
        await manager.start()
    assert not manager.running
    await other.stop()


async def test_a_stop_that_is_cancelled_says_so() -> None:
    begun, asked = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            asked.set()
            await asyncio.sleep(0.01)

    periodic = Periodic("slow to end", 0.0, work)
    periodic.start()
    await begun.wait()
    stop = asyncio.ensure_future(periodic.stop())
    await asked.wait()
    stop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stop
    assert not periodic.running


def test_while_a_callback_is_taken_back_the_others_are_still_heard() -> None:
    listeners, heard = Listeners(), []

    class Looks:
        """Looks at the listeners amid the removal, as another thread may."""

        def __call__(self, _event: ServiceEvent) -> None: ...

        def __eq__(self, _other: object) -> bool:
            heard.append(listeners.hears(EventKind.HEALTH))
            return False

        __hash__ = object.__hash__

    listeners.add(EventKind.HEALTH, Looks())
    assert not listeners.remove(EventKind.HEALTH, print)
    assert heard
    assert all(heard)


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (lambda: ServiceRegistry(cleanup_interval="soon"), "cleanup_interval: must be a number, got 'soon'"),  # type: ignore[arg-type]
        (lambda: HealthMonitor(ServiceRegistry(), None), "check_interval: must be a number, got None"),  # type: ignore[arg-type]
        (lambda: ServiceDiscoveryManager().select_agent(["math.add"]), "capability: must be a text"),  # type: ignore[arg-type]
        (lambda: ServiceDiscoveryManager().load_balancer.select_service({}), "service_type: must be a text"),  # type: ignore[arg-type]
        (lambda: ServiceInfo.from_dict(None), "service: must be a mapping of fields, got None"),  # type: ignore[arg-type]
        (lambda: ServiceInfo.from_dict([]), "service: must be a mapping of fields"),  # type: ignore[arg-type]
    ],
)
def test_a_value_of_a_wrong_type_is_refused_by_name(wrong: Callable[[], Any], names: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        wrong()
    assert names in str(caught.value)


async def test_a_start_amid_a_stop_leaves_nothing_that_cannot_be_stopped(manager: ServiceDiscoveryManager) -> None:
    monitor = manager.health_monitor
    await manager.start()
    await asyncio.gather(manager.stop(), manager.start())
    await asyncio.gather(manager.stop(), manager.stop())
    assert not manager.running
    assert not monitor.running
    assert manager.registry.shell.check_interval_s is None


async def test_a_manager_whose_stop_is_cancelled_has_stopped(manager: ServiceDiscoveryManager) -> None:
    manager.register_agent_service("a", "work", host="127.0.0.1", port=1)
    await manager.start()
    stop = asyncio.ensure_future(manager.stop())
    await asyncio.sleep(0)
    stop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stop
    assert not manager.running
    assert not manager.health_monitor.running
    assert manager.get_comprehensive_stats()["health_stats"]["monitored_services"] == 0


async def _heard(_event: ServiceEvent) -> None: ...


def test_a_callback_that_nobody_would_await_is_refused(manager: ServiceDiscoveryManager) -> None:
    with pytest.raises(InvalidArgument, match="callback: must be a plain function"):
        manager.add_event_listener(EventKind.REGISTRATION, _heard)


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"host": None, "port": 80}, "service.host: must be a text, got None"),
        ({"port": "80"}, "service.port: must be a whole number, got '80'"),
        ({"port": 70_000}, "service.port: must be 0 to 65,535, got 70,000"),
        ({"health_check_url": 0}, "service.health_check_url: must be a text, got 0"),
    ],
)
async def test_where_nobody_can_look_is_refused_by_name(wrong: dict[str, Any], names: str) -> None:
    info = ServiceInfo(agent_id="a", service_name="work", **wrong)
    with pytest.raises(InvalidArgument, match=names):
        await HealthMonitor(ServiceRegistry()).check_service_health(info)
    with pytest.raises(InvalidArgument, match=names):
        ServiceRegistry().register_service(info)


def test_a_monitor_whose_loop_has_ended_makes_way_and_cannot_stop_the_next_one() -> None:
    registry = ServiceRegistry()
    registry.register_service(ServiceInfo(agent_id="a", service_name="work", host="127.0.0.1", port=1))
    first, second = HealthMonitor(registry), HealthMonitor(registry)
    asyncio.run(first.start())

    async def main() -> None:
        await second.start()
        await first.stop()
        assert second.get_health_stats()["monitored_services"] == 1
        await second.stop()
        assert second.get_health_stats()["monitored_services"] == 0

    asyncio.run(main())
