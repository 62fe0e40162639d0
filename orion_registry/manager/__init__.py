"""The registry inside your own process: the daemon's rules without a network, for threads and event loops alike.

    from orion_registry.manager import ServiceDiscoveryManager

Everything works before `start`, and from any thread. `start` adds what takes time of its own: clean-up and checks.
"""

from orion_registry.core.model import ServiceStatus
from orion_registry.manager.events import EventKind, ServiceEvent
from orion_registry.manager.health_monitor import HealthMonitor
from orion_registry.manager.load_balancer import LoadBalancer, LoadBalancingStrategy
from orion_registry.manager.manager import ServiceDiscoveryManager
from orion_registry.manager.registry import ServiceRegistry
from orion_registry.manager.service_info import ServiceInfo

__all__ = [
    "EventKind",
    "HealthMonitor",
    "LoadBalancer",
    "LoadBalancingStrategy",
    "ServiceDiscoveryManager",
    "ServiceEvent",
    "ServiceInfo",
    "ServiceRegistry",
    "ServiceStatus",
]
