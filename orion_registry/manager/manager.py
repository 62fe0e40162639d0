"""Registry, health monitor and load balancer of one process, joined: what agents in it are found by."""

from collections.abc import Iterable
from typing import Any, Self

from orion_registry.core.model import ServiceStatus
from orion_registry.core.selector import Selector
from orion_registry.manager.events import Callback, EventKind
from orion_registry.manager.health_monitor import HealthMonitor
from orion_registry.manager.load_balancer import LoadBalancer, LoadBalancingStrategy
from orion_registry.manager.registry import ServiceRegistry
from orion_registry.manager.service_info import ServiceInfo
from orion_registry.manager.specs import labels

AGENT = "agent"
"""The service_type of what it registers."""


class ServiceDiscoveryManager:
    """Agents in this process: they register, are found, selected and checked. No network, no daemon.

    Every method works before `start` and from any thread; `start` adds clean-up and checks. It can be used with
    `async with`.

    Args:
        registry_id: names the registry; made if not given.
        health_check_interval: seconds; see `HealthMonitor`.
        cleanup_interval: seconds; see `ServiceRegistry`.
        load_balancing_strategy: see `LoadBalancer`.

    Attributes:
        registry, health_monitor, load_balancer: its parts, which may be used by themselves.
        manager_id: its name, the registry's.

    Raises:
        InvalidArgument: BAD_FIELD.
    """

    def __init__(
        self,
        registry_id: str | None = None,
        health_check_interval: float = 30.0,
        cleanup_interval: float = 60.0,
        load_balancing_strategy: LoadBalancingStrategy = LoadBalancingStrategy.ROUND_ROBIN,
    ) -> None:
        self.registry = ServiceRegistry(registry_id, cleanup_interval)
        self.health_monitor = HealthMonitor(self.registry, health_check_interval)
        self.load_balancer = LoadBalancer(self.registry, load_balancing_strategy)
        self.manager_id = self.registry.registry_id
        self._made_at = self.registry.shell.now().mono

    # Life.

    @property
    def running(self) -> bool:
        """Between `start` and `stop`."""
        return self.registry.running

    async def start(self) -> None:
        """Begins to clean up and to check, in this event loop. Calling it again does nothing.

        Raises:
            FailedPrecondition: WRONG_MODE, another HealthMonitor runs for its registry.
        """
        await self.health_monitor.start()  # first: it may be refused
        await self.registry.start()

    async def stop(self) -> None:
        """Ends that, in the event loop that started it; agents stay registered, and everything else goes on working."""
        try:
            await self.health_monitor.stop()
        finally:  # also when it is cancelled: else the clean-up would run on
            await self.registry.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # Agents.

    def register_agent_service(
        self,
        agent_id: str,
        service_name: str,
        host: str = "localhost",
        port: int = 0,
        capabilities: Iterable[str] | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
    ) -> str:
        """Registers a service of an agent, HEALTHY at once; returns its service_id, a new one with every call.

        Port 0 means that it is in this process: nothing probes it.

        Raises:
            InvalidArgument: BAD_FIELD, naming the field, its limit and what came.
        """
        info = ServiceInfo(
            agent_id=agent_id,
            service_name=service_name,
            service_type=AGENT,
            host=host,
            port=port,
            capabilities=list(labels("capabilities", capabilities)) if capabilities else [],
            metadata={} if metadata is None else metadata,
            tags=list(labels("tags", tags)) if tags else [],
        )
        self.registry.register_service(info)
        return info.service_id

    def unregister_agent_service(self, service_id: str) -> bool:
        """Removes a service; False if there is none."""
        return self.registry.unregister_service(service_id)

    def discover_agents(
        self, capability: str | None = None, tags: Iterable[str] | None = None, healthy_only: bool = True
    ) -> list[ServiceInfo]:
        """See `ServiceRegistry.discover_services`; of service_type "agent"."""
        return self.registry.discover_services(AGENT, capability, tags, healthy_only)

    # Selections.

    def select_agent(
        self,
        capability: str | None = None,
        tags: Iterable[str] | None = None,
        exclude_agents: Iterable[str] | None = None,
    ) -> ServiceInfo | None:
        """See `LoadBalancer.select_service`; of service_type "agent".

        Args:
            capability: one that it has.
            tags: a list; it has all of them.
            exclude_agents: a list of agent_ids or service_ids not wanted.
        """
        excluded = self._excluded(exclude_agents) if exclude_agents else None
        return self.load_balancer.select_service(AGENT, capability, tags, excluded)

    def release_agent(self, service_id: str) -> bool:
        """See `LoadBalancer.release_service`."""
        return self.load_balancer.release_service(service_id)

    def record_agent_response_time(self, service_id: str, seconds: float) -> bool:
        """See `LoadBalancer.record_response_time`."""
        return self.load_balancer.record_response_time(service_id, seconds)

    def set_agent_weight(self, service_id: str, weight: float) -> bool:
        """See `LoadBalancer.set_service_weight`."""
        return self.load_balancer.set_service_weight(service_id, weight)

    def change_load_balancing_strategy(self, strategy: LoadBalancingStrategy) -> None:
        """See `LoadBalancer.change_strategy`."""
        self.load_balancer.change_strategy(strategy)

    # How they are.

    def get_agent_health(self, service_id: str) -> dict[str, Any] | None:
        """The status of a service and why it has it, the worst reason first; None if there is none."""
        shell = self.registry.shell
        with shell as now:
            if service_id not in shell.core:
                return None
            info, snapshot = shell.copy_of(service_id), shell.core.get(service_id).snapshot
            checks = shell.core.monitoring.health(service_id)
            return {
                "service_id": service_id,
                "agent_id": info.agent_id,
                "status": info.status.value,
                "is_healthy": info.status is ServiceStatus.HEALTHY,
                "reasons": [reason.code.name for reason in snapshot.reasons],
                "last_heartbeat": info.last_heartbeat,
                "seconds_since_heartbeat": max(0.0, now.wall - info.last_heartbeat),
                "checks": [{"name": check.name, "state": check.state.name.lower()} for check in checks],
            }

    def get_agent_performance(self, service_id: str) -> dict[str, float] | None:
        """See `LoadBalancer.get_service_performance`."""
        return self.load_balancer.get_service_performance(service_id)

    def get_comprehensive_stats(self) -> dict[str, Any]:
        """Everything in numbers: those of the manager itself, and those of its parts."""
        registry_stats = self.registry.get_registry_stats()
        return {
            "manager_id": self.manager_id,
            "running": self.running,
            "manager_stats": {
                "uptime_seconds": self.registry.shell.now().mono - self._made_at,
                "agents": registry_stats["services_by_type"].get(AGENT, 0),
                "health_check_interval": self.health_monitor.check_interval,
                "cleanup_interval": self.registry.cleanup_interval,
            },
            "registry_stats": registry_stats,
            "health_stats": self.health_monitor.get_health_stats(),
            "load_balancer_stats": self.load_balancer.get_load_balancer_stats(),
        }

    # Events.

    def add_event_listener(self, kind: EventKind, callback: Callback) -> None:
        """See `ServiceRegistry.add_event_listener`: of the manager and of its parts."""
        self.registry.add_event_listener(kind, callback)

    def remove_event_listener(self, kind: EventKind, callback: Callback) -> bool:
        """See `ServiceRegistry.remove_event_listener`."""
        return self.registry.remove_event_listener(kind, callback)

    # Inside.

    def _excluded(self, names: Iterable[str]) -> list[str]:
        """The service_ids that names of agents and services stand for."""
        excluded = list(labels("exclude_agents", names))
        shell = self.registry.shell
        with shell:
            for name in tuple(excluded):
                if name not in shell.core:
                    found = shell.found(Selector(agent_id=name, include_not_ready=True))
                    excluded += [entry.service_id for entry in found]
        return excluded
