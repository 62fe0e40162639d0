"""The registry inside a program: python examples/service_discovery_demo.py; no daemon, no network, about a second.

Seven scenarios: registration of five agents, discovery, load balancing, health monitoring, fault tolerance, statistics,
clean-up. Each says what it found; the exit code is 1 if one did not go as it should. docs/embedded.md explains it all.
"""

import asyncio
import sys
import time
from collections import Counter

from orion_registry import LoadBalancingStrategy, ServiceDiscoveryManager, ServiceInfo, ServiceStatus
from orion_registry.manager import EventKind

AGENTS = {
    "analyst": (["text.summarise", "data.chart"], ["gpu", "fast"]),
    "writer": (["text.write", "text.summarise"], ["fast"]),
    "translator": (["text.translate"], ["fast"]),
    "calculator": (["math.add", "math.solve"], ["exact"]),
    "solver": (["math.solve"], ["exact", "gpu"]),
}
CALLS = 600


class Unexpected(Exception):
    """A scenario did not go as it should."""


def scenario(number: int, title: str) -> None:
    print(f"\n{number}. {title}")


def expect(holds: object, what: str) -> None:
    print(f"   {'ok' if holds else 'NOT'}: {what}")
    if not holds:
        raise Unexpected(what)


def names(services: list[ServiceInfo]) -> str:
    return ", ".join(sorted(service.agent_id for service in services)) or "nobody"


def register(manager: ServiceDiscoveryManager, ports: dict[str, int]) -> dict[str, str]:
    """Five agents; one of them listens on a port, the others are in this process."""
    ids = {
        name: manager.register_agent_service(
            name, f"{name}-service", "127.0.0.1", ports.get(name, 0), capabilities=capabilities, tags=tags
        )
        for name, (capabilities, tags) in AGENTS.items()
    }
    expect(len(manager.discover_agents()) == len(AGENTS), f"{len(ids)} agents are registered and HEALTHY at once")
    return ids


def discover(manager: ServiceDiscoveryManager) -> None:
    solvers = manager.discover_agents("math.solve")
    expect(len(solvers) == 2, f"math.solve: {names(solvers)}")
    on_gpu = manager.discover_agents(tags=["gpu"])
    expect(len(on_gpu) == 2, f"tag gpu: {names(on_gpu)}")
    both = manager.discover_agents("text.summarise", tags=["fast", "gpu"])
    expect([one.agent_id for one in both] == ["analyst"], f"text.summarise with fast and gpu: {names(both)}")
    expect(not manager.discover_agents("tea.make"), "tea.make: nobody, which is no error")


def balance(manager: ServiceDiscoveryManager, ids: dict[str, str]) -> None:
    for strategy, capability, weights, share in (
        (LoadBalancingStrategy.ROUND_ROBIN, "text.summarise", {}, (300, 300)),
        (LoadBalancingStrategy.WEIGHTED_ROUND_ROBIN, "math.solve", {"calculator": 2.0}, (400, 200)),
    ):
        for name, weight in weights.items():
            manager.set_agent_weight(ids[name], weight)
        manager.change_load_balancing_strategy(strategy)
        chosen: Counter[str] = Counter()
        for _ in range(CALLS):
            agent = call(manager, capability, seconds=0.02)
            chosen[agent.agent_id] += 1
        told = ", ".join(f"{name} {count}" for name, count in sorted(chosen.items()))
        expect(tuple(sorted(chosen.values(), reverse=True)) == share, f"{strategy.name.lower()}: {told}")
    manager.change_load_balancing_strategy(LoadBalancingStrategy.LEAST_CONNECTIONS)
    first, second = manager.select_agent("math.solve"), manager.select_agent("math.solve")
    assert first is not None
    assert second is not None
    expect(first.agent_id != second.agent_id, "least_connections: two calls at once go to two agents")
    for agent in (first, second):
        manager.release_agent(agent.service_id)


def call(manager: ServiceDiscoveryManager, capability: str, seconds: float) -> ServiceInfo:
    """A call as a caller makes it: select, do the work, say how long it took, release."""
    agent = manager.select_agent(capability)
    if agent is None:
        raise Unexpected(f"nobody is ready for {capability}")
    manager.record_agent_response_time(agent.service_id, seconds)
    manager.release_agent(agent.service_id)
    return agent


async def monitor(manager: ServiceDiscoveryManager, ids: dict[str, str], server: asyncio.Server) -> None:
    """One agent listens on a port: the monitor looks whether it answers. The others tell by their beats."""
    translator = manager.registry.get_service(ids["translator"])
    assert translator is not None
    monitor = manager.health_monitor
    expect(await monitor.check_service_health(translator), f"{translator.get_endpoint_url()} answers")
    server.close()
    await server.wait_closed()
    expect(not await monitor.check_service_health(translator), "its server has gone, and the check says so")
    expect(manager.registry.heartbeat(ids["solver"]), "solver beats: from now on it must, every 30 s")
    health = manager.get_agent_health(ids["solver"])
    assert health is not None
    expect(health["reasons"] == ["BEATING"], f"solver is {health['status']} because it is {health['reasons'][0]}")


def tolerate(manager: ServiceDiscoveryManager, ids: dict[str, str]) -> None:
    began = time.perf_counter()
    manager.registry.update_service_status(ids["solver"], ServiceStatus.UNHEALTHY)
    chosen = {call(manager, "math.solve", 0.02).agent_id for _ in range(10)}
    took_ms = 1000.0 * (time.perf_counter() - began)
    expect(chosen == {"calculator"}, "solver fails: every call goes to calculator, from the next one on")
    expect(took_ms < 100.0, "that took less than 100 ms")
    other = manager.select_agent("math.solve", exclude_agents=["calculator"])
    expect(other is None, "with calculator excluded too there is nobody, and select_agent says None")
    manager.registry.update_service_status(ids["solver"], ServiceStatus.HEALTHY)
    expect(len(manager.discover_agents("math.solve")) == 2, "solver is well again, and found")


def tell(manager: ServiceDiscoveryManager, ids: dict[str, str], events: Counter[str]) -> None:
    stats = manager.get_comprehensive_stats()
    registry, balancer = stats["registry_stats"], stats["load_balancer_stats"]
    expect(registry["healthy_services"] == len(AGENTS), f"registry: {registry['healthy_services']} agents are healthy")
    total = balancer["total_selections"]
    expect(total == balancer["total_releases"], f"load balancer: {total} selections, all released")
    performance = manager.get_agent_performance(ids["calculator"])
    assert performance is not None
    calls, average_ms = performance["total_requests"], 1000.0 * performance["avg_response_time"]
    expect(round(average_ms) == 20, f"calculator: {calls:g} calls, {average_ms:.0f} ms on average")
    heard = {name: events[name] for name in ("registered", "status_changed", "selected")}
    expect(
        heard["selected"] == total, f"callbacks heard {', '.join(f'{count} {name}' for name, count in heard.items())}"
    )


async def clean_up(manager: ServiceDiscoveryManager, ids: dict[str, str]) -> None:
    expect(all(manager.unregister_agent_service(service_id) for service_id in ids.values()), "all are unregistered")
    expect(not manager.unregister_agent_service(ids["solver"]), "a second time there is nothing to unregister")
    expect(not manager.discover_agents(healthy_only=False), "nobody is left")
    await manager.stop()
    expect(not manager.running, "the manager has stopped")


async def main() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    ports = {"translator": server.sockets[0].getsockname()[1]}
    manager = ServiceDiscoveryManager("demo")
    events: Counter[str] = Counter()
    for kind in (EventKind.REGISTRATION, EventKind.HEALTH, EventKind.LOAD_BALANCING):
        manager.add_event_listener(kind, lambda event: events.update([event.name]))
    await manager.start()

    scenario(1, "Registration")
    ids = register(manager, ports)
    scenario(2, "Discovery")
    discover(manager)
    scenario(3, "Load balancing")
    balance(manager, ids)
    scenario(4, "Health monitoring")
    await monitor(manager, ids, server)
    scenario(5, "Fault tolerance")
    tolerate(manager, ids)
    scenario(6, "Statistics")
    tell(manager, ids, events)
    scenario(7, "Clean-up")
    await clean_up(manager, ids)
    print("\nall seven scenarios went as they should")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except Unexpected:
        sys.exit(1)
