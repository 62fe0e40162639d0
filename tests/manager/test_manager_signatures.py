"""Must-show 2: every name and signature of the embedded manager, as they were asked for; each is called so as well."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

import orion_registry
from orion_registry import (
    HealthMonitor,
    LoadBalancer,
    LoadBalancingStrategy,
    ServiceDiscoveryManager,
    ServiceInfo,
    ServiceRegistry,
    ServiceStatus,
)
from orion_registry.core.selection.strategy import StrategyName

RR = LoadBalancingStrategy.ROUND_ROBIN
Wanted = dict[Callable[..., Any], dict[str, Any]]
NEEDED = inspect.Parameter.empty
QUERY = {"service_type": None, "capability": None, "tags": None}
ONE = {"service_id": NEEDED}
TIMED = {"service_id": NEEDED, "seconds": NEEDED}
WEIGHED = {"service_id": NEEDED, "weight": NEEDED}

SIGNATURES: Wanted = {
    ServiceRegistry: {"registry_id": None, "cleanup_interval": 60.0},
    ServiceRegistry.register_service: {"service_info": NEEDED},
    ServiceRegistry.unregister_service: ONE,
    ServiceRegistry.discover_services: {**QUERY, "healthy_only": True},
    ServiceRegistry.get_service: ONE,
    ServiceRegistry.get_all_services: {},
    ServiceRegistry.heartbeat: ONE,
    ServiceRegistry.update_service_status: {"service_id": NEEDED, "status": NEEDED},
    ServiceRegistry.get_registry_stats: {},
    ServiceRegistry.start: {},
    ServiceRegistry.stop: {},
    HealthMonitor: {"registry": NEEDED, "check_interval": 30.0},
    HealthMonitor.check_service_health: {"service_info": NEEDED},
    HealthMonitor.start: {},
    HealthMonitor.stop: {},
    HealthMonitor.get_health_stats: {},
    LoadBalancer: {"registry": NEEDED, "strategy": RR},
    LoadBalancer.select_service: {**QUERY, "exclude_services": None},
    LoadBalancer.release_service: ONE,
    LoadBalancer.record_response_time: TIMED,
    LoadBalancer.set_service_weight: WEIGHED,
    LoadBalancer.change_strategy: {"strategy": NEEDED},
    LoadBalancer.get_load_balancer_stats: {},
    LoadBalancer.get_service_performance: ONE,
    ServiceDiscoveryManager: {
        "registry_id": None,
        "health_check_interval": 30.0,
        "cleanup_interval": 60.0,
        "load_balancing_strategy": RR,
    },
    ServiceDiscoveryManager.start: {},
    ServiceDiscoveryManager.stop: {},
    ServiceDiscoveryManager.register_agent_service: {
        "agent_id": NEEDED,
        "service_name": NEEDED,
        "host": "localhost",
        "port": 0,
        "capabilities": None,
        "metadata": None,
        "tags": None,
    },
    ServiceDiscoveryManager.unregister_agent_service: ONE,
    ServiceDiscoveryManager.discover_agents: {"capability": None, "tags": None, "healthy_only": True},
    ServiceDiscoveryManager.select_agent: {"capability": None, "tags": None, "exclude_agents": None},
    ServiceDiscoveryManager.release_agent: ONE,
    ServiceDiscoveryManager.record_agent_response_time: TIMED,
    ServiceDiscoveryManager.set_agent_weight: WEIGHED,
    ServiceDiscoveryManager.change_load_balancing_strategy: {"strategy": NEEDED},
    ServiceDiscoveryManager.get_agent_health: ONE,
    ServiceDiscoveryManager.get_agent_performance: ONE,
    ServiceDiscoveryManager.get_comprehensive_stats: {},
    ServiceInfo.to_dict: {},
    ServiceInfo.from_dict: {"data": NEEDED},
    ServiceInfo.get_endpoint_url: {},
    ServiceInfo.is_healthy: {"timeout": 30.0},
    ServiceInfo.update_heartbeat: {},
}
ASYNC = {"start", "stop", "check_service_health"}
BOOLS = {
    "register_service", "unregister_service", "heartbeat", "update_service_status", "check_service_health",
    "unregister_agent_service", "is_healthy",
}  # fmt: skip


@pytest.mark.parametrize("what", SIGNATURES, ids=lambda what: what.__qualname__)
def test_signature(what: Callable[..., Any]) -> None:
    signature = inspect.signature(what)
    told = {name: one.default for name, one in signature.parameters.items() if name != "self"}
    assert told == SIGNATURES[what]
    assert list(told) == list(SIGNATURES[what]), "positional use too"
    assert inspect.iscoroutinefunction(what) is (what.__name__ in ASYNC)
    if what.__name__ in BOOLS:
        assert signature.return_annotation is bool


def test_fields_and_defaults_of_a_service() -> None:
    assert [field.name for field in fields(ServiceInfo)] == [
        "service_id", "agent_id", "service_name", "service_type", "host", "port", "protocol", "status", "capabilities",
        "metadata", "health_check_url", "last_heartbeat", "registration_time", "tags", "version",
    ]  # fmt: skip
    info, other = ServiceInfo(), ServiceInfo()
    assert info.service_id != other.service_id
    told = info.to_dict()
    for name in ("service_id", "last_heartbeat", "registration_time"):
        del told[name]
    assert told == {
        "agent_id": "", "service_name": "", "service_type": "agent", "host": "localhost", "port": 0,
        "protocol": "http", "status": "starting", "capabilities": [], "metadata": {}, "health_check_url": None,
        "tags": [], "version": "1.0.0",
    }  # fmt: skip


def test_words_and_strategies() -> None:
    assert {status.value for status in ServiceStatus if status} == {
        "healthy", "unhealthy", "starting", "stopping", "unknown",
    }  # fmt: skip
    assert list(LoadBalancingStrategy) == list(StrategyName)
    assert len(LoadBalancingStrategy) == 10
    assert ServiceDiscoveryManager.__name__ in orion_registry.__all__


async def test_every_call_as_written() -> None:
    manager = ServiceDiscoveryManager(
        registry_id="r", health_check_interval=30.0, cleanup_interval=60.0, load_balancing_strategy=RR
    )
    service_id = manager.register_agent_service(
        "agent-1", "adder", host="localhost", port=0, capabilities=["add"], metadata={"size": 3}, tags=["blue"]
    )
    assert [one.agent_id for one in manager.discover_agents(capability="add", tags=["blue"], healthy_only=True)] == [
        "agent-1"
    ]
    selected = manager.select_agent(capability="add", tags=["blue"], exclude_agents=["agent-2"])
    assert selected is not None
    assert selected.service_id == service_id
    assert manager.release_agent(service_id)
    assert manager.record_agent_response_time(service_id, 0.5)
    assert manager.set_agent_weight(service_id, 2.0)
    manager.change_load_balancing_strategy(LoadBalancingStrategy.LEAST_CONNECTIONS)
    health = manager.get_agent_health(service_id)
    assert health is not None
    assert health["status"] == "healthy"
    assert manager.get_agent_performance(service_id) == {
        "avg_response_time": 0.5, "min_response_time": 0.5, "max_response_time": 0.5, "connection_count": 0,
        "weight": 2.0, "total_requests": 1,
    }  # fmt: skip
    registry, monitor, balancer = manager.registry, manager.health_monitor, manager.load_balancer
    info = registry.get_service(service_id)
    assert info is not None
    assert registry.register_service(service_info=info)
    assert registry.heartbeat(service_id)
    assert registry.update_service_status(service_id, ServiceStatus.HEALTHY)
    assert registry.discover_services(service_type="agent", capability="add", tags=None, healthy_only=False)
    assert len(registry.get_all_services()) == registry.get_registry_stats()["total_services"] == 1
    assert balancer.select_service(service_type=None, capability=None, tags=None, exclude_services=[service_id]) is None
    balancer.change_strategy(RR)
    assert balancer.get_load_balancer_stats()["strategy"] == "ROUND_ROBIN"
    await manager.start()
    assert (manager.running, registry.running, monitor.running) == (True, True, True)
    assert await monitor.check_service_health(info)
    stats = manager.get_comprehensive_stats()
    assert list(stats) == [
        "manager_id", "running", "manager_stats", "registry_stats", "health_stats", "load_balancer_stats",
    ]  # fmt: skip
    assert (stats["manager_id"], stats["running"], manager.manager_id) == ("r", True, "r")
    await manager.stop()
    assert not manager.running
    assert manager.unregister_agent_service(service_id)
    assert registry.get_all_services() == []
