"""The embedded manager's promises, in virtual time."""

import asyncio
import copy
import logging
import pickle
from dataclasses import replace
from typing import Any

import pytest

from orion_registry import (
    LoadBalancer,
    LoadBalancingStrategy,
    ServiceDiscoveryManager,
    ServiceInfo,
    ServiceRegistry,
    ServiceStatus,
)
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.errors import InvalidArgument, ResourceExhausted
from orion_registry.manager import EventKind, ServiceEvent, shell
from orion_registry.testing.clock import VirtualClock

S = ServiceStatus


def info(agent_id: str = "a", **fields: Any) -> ServiceInfo:
    return ServiceInfo(**{"service_id": f"of-{agent_id}", "agent_id": agent_id, "service_name": "work", **fields})


def status(registry: ServiceRegistry, service_id: str) -> ServiceStatus:
    found = registry.get_service(service_id)
    assert found is not None
    return found.status


# Registering.


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (S.STARTING, S.HEALTHY),
        (S.HEALTHY, S.HEALTHY),
        (S.UNHEALTHY, S.UNHEALTHY),
        (S.STOPPING, S.STOPPING),
        (S.UNKNOWN, S.UNKNOWN),
    ],
)
def test_registering_is_the_first_beat_and_what_is_said_of_itself_is_honoured(
    manager: ServiceDiscoveryManager, told: ServiceStatus, shown: ServiceStatus
) -> None:
    registry = manager.registry
    assert registry.register_service(info(status=told))
    assert status(registry, "of-a") is shown
    assert bool(registry.discover_services()) is (shown is S.HEALTHY)
    registry.heartbeat("of-a")
    assert status(registry, "of-a") is shown, "a beat takes nothing back"
    assert registry.update_service_status("of-a", S.HEALTHY)
    assert status(registry, "of-a") is S.HEALTHY


def test_static_until_the_first_heartbeat_then_30_s(manager: ServiceDiscoveryManager, clock: VirtualClock) -> None:
    registry = manager.registry
    registry.register_service(info())
    clock.advance(86_400.0)
    assert status(registry, "of-a") is S.HEALTHY
    found = registry.get_service("of-a")
    assert found is not None
    assert found.is_healthy(), "nobody expects beats of it"
    found.last_heartbeat -= 1.0
    assert not found.is_healthy()
    registry.heartbeat("of-a")
    clock.advance(29.9)
    assert status(registry, "of-a") is S.HEALTHY
    clock.advance(0.2)
    assert status(registry, "of-a") is S.UNHEALTHY, "noticed at the next read, though nothing was started"
    assert manager.select_agent() is None
    registry.heartbeat("of-a")
    assert status(registry, "of-a") is S.HEALTHY


def test_nobody_is_held_when_all_fall_silent_together(manager: ServiceDiscoveryManager, clock: VirtualClock) -> None:
    ids = [manager.register_agent_service(f"a-{number}", "work") for number in range(20)]
    assert all(manager.registry.heartbeat(service_id) for service_id in ids)
    clock.advance(30.1)
    assert manager.discover_agents() == []
    assert len(manager.discover_agents(healthy_only=False)) == 20


def test_the_dead_are_removed_by_clean_up_and_one_that_came_back_is_not(
    manager: ServiceDiscoveryManager, clock: VirtualClock
) -> None:
    registry = manager.registry
    for number in range(600):
        registry.register_service(info(f"a-{number}"))
        registry.heartbeat(f"of-a-{number}")
    clock.advance(30.1)
    assert registry.get_registry_stats()["unhealthy_services"] == 600
    assert registry.cleanup() == 0, "they stay listed for a minute"
    clock.advance(60.1)
    assert len(registry.get_all_services()) == 600, "nothing but clean-up removes"
    registry.heartbeat("of-a-7")
    assert registry.cleanup() == 599
    assert [one.service_id for one in registry.get_all_services()] == ["of-a-7"]
    assert registry.get_registry_stats()["total_expired"] == 599


async def test_a_started_registry_cleans_up_by_itself(clock: VirtualClock) -> None:
    registry = ServiceRegistry(cleanup_interval=0.01)
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    registry.add_event_listener(
        EventKind.REGISTRATION,
        lambda event: loop.call_soon_threadsafe(gone.set) if event.name == "expired" else None,
    )
    registry.register_service(info())
    registry.heartbeat("of-a")
    await registry.start()
    await registry.start()
    for _ in range(2):
        clock.advance(61.0)
        registry.get_all_services()
    await asyncio.wait_for(gone.wait(), 5.0)
    assert registry.get_all_services() == []
    await registry.stop()
    await registry.stop()
    assert not registry.running


def test_registering_again_updates_and_another_agents_id_is_refused(
    manager: ServiceDiscoveryManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    registry = manager.registry
    registry.register_service(info(tags=["old"]))
    registry.heartbeat("of-a")
    manager.set_agent_weight("of-a", 3.0)
    clock.advance(40.0)
    first = registry.get_service("of-a")
    assert registry.register_service(info(tags=["new"]))
    again = registry.get_service("of-a")
    assert first is not None
    assert again is not None
    assert (first.status, again.status, again.tags) == (S.UNHEALTHY, S.HEALTHY, ["new"])
    assert again.registration_time == first.registration_time < again.last_heartbeat
    performance = manager.get_agent_performance("of-a")
    assert performance is not None
    assert performance["weight"] == 3.0
    assert not registry.register_service(info("b", service_id="of-a"))
    assert "registration refused" in caplog.text
    assert [one.agent_id for one in registry.get_all_services()] == ["a"]


def test_copies_go_in_and_out(manager: ServiceDiscoveryManager) -> None:
    mine = info(capabilities=["x"], metadata={"deep": {"n": 1}, "flat": 2}, tags=["t"])
    manager.registry.register_service(mine)
    mine.capabilities.append("y")
    mine.metadata["deep"]["n"] = 2
    found = manager.registry.get_service("of-a")
    assert found is not None
    assert (found.capabilities, found.metadata) == (["x"], {"deep": {"n": 1}, "flat": 2})
    assert type(found.metadata["flat"]) is int
    found.metadata["deep"]["n"] = 3
    found.tags.clear()
    found.status = S.UNHEALTHY
    again = manager.registry.get_service("of-a")
    assert again is not None
    assert (again.metadata["deep"], again.tags, again.status) == ({"n": 1}, ["t"], S.HEALTHY)


def test_a_copy_is_as_of_when_it_was_made_however_late_it_is_looked_at(manager: ServiceDiscoveryManager) -> None:
    registry = manager.registry
    registry.register_service(info(tags=["t"]))
    found = [registry.get_service("of-a") for _ in range(4)]
    untouched, changed, pickled, copied = (one for one in found if one)
    changed.status = S.UNKNOWN
    changed.version = "2"
    registry.update_service_status("of-a", S.UNHEALTHY)
    registry.unregister_service("of-a")
    assert (untouched.status, untouched.tags) == (S.HEALTHY, ["t"])
    assert (changed.status, changed.version, changed.tags) == (S.UNKNOWN, "2", ["t"])
    assert changed.tags is changed.tags is not untouched.tags
    assert pickle.loads(pickle.dumps(pickled)) == untouched == copy.deepcopy(copied) == replace(copied)
    assert repr(untouched).startswith("ServiceInfo(service_id='of-a', agent_id='a'")
    assert not hasattr(untouched, "colour")


# ServiceInfo.


def test_a_service_to_a_dict_and_back(clock: VirtualClock) -> None:
    mine = info(host="::1", port=80, status=S.STOPPING, metadata={"a": [1]})
    assert ServiceInfo.from_dict(mine.to_dict()) == mine
    assert mine.get_endpoint_url() == "http://[::1]:80"
    assert info(host="h", protocol="grpc").get_endpoint_url() == "grpc://h"
    well = info(status=S.HEALTHY)
    assert well.is_healthy()
    clock.advance(31.0)
    assert not well.is_healthy(timeout=30.0)
    assert well.is_healthy(timeout=60.0)
    well.update_heartbeat()
    assert well.is_healthy()
    assert not mine.is_healthy()
    with pytest.raises(InvalidArgument, match=r"service: must be of the fields service_id, .*, got 'colour'"):
        ServiceInfo.from_dict({"colour": "blue"})
    with pytest.raises(InvalidArgument, match=r"service.status: must be one of healthy, .*, got 'well'"):
        ServiceInfo.from_dict({"status": "well"})


# Wrong input.


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"agent_id": ""}, "service.agent_id: must be 1 to 128"),
        ({"agent_id": 7}, "service.agent_id: must be a text, got 7"),
        ({"service_id": ""}, "service.service_id: must be set, got ''"),
        ({"port": 70_000}, "service.port: must be 0 to 65,535, got 70,000"),
        ({"port": "80"}, "service.port: must be a whole number, got '80'"),
        ({"status": "well"}, "service.status: must be one of healthy"),
        ({"status": S.UNSPECIFIED}, "service.status: must be one of healthy"),
        ({"capabilities": "add"}, "service.capabilities: must be a list of texts, got 'add'"),
        ({"tags": [1]}, r"service.tags\[0\]: must be a text, got 1"),
        ({"metadata": {"f": print}}, "service.metadata"),
        ({"metadata": None}, "service.metadata: must be a dict, got None"),
        ({"health_check_url": "ftp://x"}, "service.health_check_url: must be http"),
        ({"host": "http://x"}, "service.host: must be a host name"),
    ],
)
def test_a_wrong_service_is_refused_by_name_and_changes_nothing(
    manager: ServiceDiscoveryManager, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        manager.registry.register_service(info(**fields))
    assert manager.registry.get_all_services() == []


def test_other_wrong_input_is_refused_by_name(manager: ServiceDiscoveryManager) -> None:
    manager.registry.register_service(info())
    registry, balancer = manager.registry, manager.load_balancer
    wrong: list[tuple[Any, str]] = [
        (lambda: registry.discover_services(tags="blue"), "tags: must be a list of texts, got 'blue'"),
        (lambda: registry.discover_services(capability=1), "capability: must be a text"),  # type: ignore[arg-type]
        (lambda: registry.update_service_status("of-a", "well"), "status: must be one of"),  # type: ignore[arg-type]
        (lambda: balancer.select_service(exclude_services="of-a"), "exclude_services: must be a list"),
        (lambda: balancer.record_response_time("of-a", -1), "seconds: must be 0 to 86,400"),
        (lambda: balancer.record_response_time("of-a", "1"), "seconds: must be a number"),  # type: ignore[arg-type]
        (lambda: balancer.set_service_weight("of-a", 0), "service.weight: must be above 0"),
        (lambda: balancer.change_strategy("BEST"), "strategy: must be one of ROUND_ROBIN"),  # type: ignore[arg-type]
        (lambda: registry.add_event_listener("news", print), "kind: must be one of"),  # type: ignore[arg-type]
        (lambda: registry.add_event_listener(EventKind.HEALTH, 1), "callback: must be callable"),  # type: ignore[arg-type]
        (lambda: ServiceRegistry(cleanup_interval=0), "cleanup_interval: must be 0.01 to"),
        (lambda: ServiceDiscoveryManager(health_check_interval=-1), "check_interval: must be 0 to"),
        (lambda: registry.register_service({}), "service_info: must be a ServiceInfo"),  # type: ignore[arg-type]
        (lambda: LoadBalancer(None), "registry: must be a ServiceRegistry"),  # type: ignore[arg-type]
    ]
    for call, said in wrong:
        with pytest.raises(InvalidArgument, match=said):
            call()
    assert status(registry, "of-a") is S.HEALTHY


def test_an_unknown_id_is_no_error(manager: ServiceDiscoveryManager) -> None:
    registry = manager.registry
    assert registry.get_service("x") is None
    assert manager.get_agent_health("x") is None
    assert manager.get_agent_performance("x") is None
    for answer in (
        registry.unregister_service("x"),
        registry.heartbeat("x"),
        registry.update_service_status("x", S.HEALTHY),
        manager.release_agent("x"),
        manager.record_agent_response_time("x", 1.0),
        manager.set_agent_weight("x", 1.0),
        registry.remove_event_listener(EventKind.HEALTH, print),
    ):
        assert answer is False


# Selections.


def test_selections_take_turns_and_skip_who_is_excluded(manager: ServiceDiscoveryManager) -> None:
    for agent_id in "abc":
        manager.registry.register_service(info(agent_id, capabilities=["add"]))
    manager.registry.register_service(info("other", service_type="tool"))

    def turn(**query: Any) -> str | None:
        selected = manager.select_agent("add", **query)
        return selected.agent_id if selected else None

    assert [turn() for _ in range(6)] == ["a", "b", "c"] * 2
    assert {turn(exclude_agents=["a"]) for _ in range(6)} == {"b", "c"}
    assert {turn(exclude_agents=["of-a", "b"]) for _ in range(6)} == {"c"}
    assert turn(exclude_agents=["a", "b", "c"]) is None
    assert manager.select_agent("subtract") is None
    assert manager.select_agent(tags=["none"]) is None
    assert manager.load_balancer.get_load_balancer_stats()["failed_selections"] == 3


def test_release_ends_the_oldest_and_a_forgotten_call_ends_by_itself(
    manager: ServiceDiscoveryManager, clock: VirtualClock
) -> None:
    def under_way() -> float:
        performance = manager.get_agent_performance("of-a")
        assert performance is not None
        return performance["connection_count"]

    manager.registry.register_service(info())
    manager.select_agent()
    clock.advance(40.0)
    manager.select_agent()
    assert under_way() == 2
    assert manager.release_agent("of-a")
    clock.advance(30.0)
    assert under_way() == 1, "the one of 40 s ago was released, not the one that has 30 s left"
    clock.advance(30.2)
    assert under_way() == 0
    assert not manager.release_agent("of-a")
    manager.select_agent()
    manager.registry.unregister_service("of-a")
    assert manager.release_agent("of-a"), "of one that is gone too"
    assert manager.load_balancer.get_load_balancer_stats()["active_connections"] == 0


def test_strategies_go_by_what_they_are_told(manager: ServiceDiscoveryManager) -> None:
    for agent_id in "ab":
        manager.registry.register_service(info(agent_id))

    def turns(count: int) -> list[str]:
        selected = [manager.select_agent() for _ in range(count)]
        return [one.agent_id for one in selected if one]

    manager.set_agent_weight("of-b", 3.0)
    manager.change_load_balancing_strategy(LoadBalancingStrategy.WEIGHTED_ROUND_ROBIN)
    assert sorted(turns(8)) == ["a"] * 2 + ["b"] * 6
    manager.change_load_balancing_strategy(LoadBalancingStrategy.LEAST_CONNECTIONS)
    assert turns(4) == ["a"] * 4, "it has two calls, the other six"
    for strategy in LoadBalancingStrategy:
        manager.change_load_balancing_strategy(strategy)
        assert len(turns(1)) == 1


def test_two_balancers_of_one_registry_see_each_others_calls(manager: ServiceDiscoveryManager) -> None:
    other = LoadBalancer(manager.registry, LoadBalancingStrategy.LEAST_CONNECTIONS)
    for agent_id in "ab":
        manager.registry.register_service(info(agent_id))
    assert [one.agent_id for one in (manager.select_agent(), other.select_service()) if one] == ["a", "b"]
    assert manager.load_balancer.strategy is LoadBalancingStrategy.ROUND_ROBIN


def test_a_million_calls_that_are_never_released_are_an_error(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "BALANCER", BalancerConfig(leases=2))
    manager = ServiceDiscoveryManager()
    manager.registry.register_service(info())
    assert manager.select_agent()
    assert manager.select_agent()
    with pytest.raises(ResourceExhausted, match="2 leases may be open"):
        manager.select_agent()


# Events.


def test_events_of_every_kind(manager: ServiceDiscoveryManager, clock: VirtualClock) -> None:
    heard: list[ServiceEvent] = []
    for kind in EventKind:
        manager.add_event_listener(kind, heard.append)
    registry = manager.registry
    registry.register_service(info())
    registry.register_service(info())
    registry.heartbeat("of-a")
    clock.advance(30.1)
    registry.discover_services()
    registry.heartbeat("of-a")
    manager.select_agent()
    manager.release_agent("of-a")
    manager.set_agent_weight("of-a", 2.0)
    manager.change_load_balancing_strategy(LoadBalancingStrategy.RANDOM)
    registry.unregister_service("of-a")
    manager.select_agent()
    assert [f"{event.kind}: {event.name}" for event in heard] == [
        "registration: registered",
        "registration: updated",
        "discovery: discovered",
        "health: status_changed",
        "health: status_changed",
        "load_balancing: selected",
        "load_balancing: released",
        "load_balancing: weight_changed",
        "load_balancing: strategy_changed",
        "registration: unregistered",
        "load_balancing: none_ready",
    ]
    fell = heard[3]
    assert fell.service is not None
    assert (fell.details["was"], fell.service.status, fell.details["reason"]) == (S.HEALTHY, S.UNHEALTHY, "SILENT")
    assert manager.remove_event_listener(EventKind.REGISTRATION, heard.append)
    before = len(heard)
    registry.register_service(info())
    assert len(heard) == before


def test_a_callback_may_call_the_registry_and_one_that_raises_is_logged(
    manager: ServiceDiscoveryManager, caplog: pytest.LogCaptureFixture
) -> None:
    def raising(event: ServiceEvent) -> None:
        raise ValueError("no")

    found: list[ServiceInfo] = []
    manager.add_event_listener(EventKind.REGISTRATION, raising)
    manager.add_event_listener(EventKind.REGISTRATION, lambda event: found.extend(manager.registry.get_all_services()))
    with caplog.at_level(logging.ERROR):
        service_id = manager.register_agent_service("a", "work")
    assert [one.service_id for one in found] == [service_id]
    assert "an event callback raised" in caplog.text
    assert "ValueError: no" in caplog.text
