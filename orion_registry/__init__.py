"""Orion Registry: a coordination daemon for agents, and its client.

    from orion_registry import RegistryClient, Selector, ServiceSpec

Importing this package imports nothing else: a name is loaded when it is first used, so that an agent pays for the
client alone and never for the server.
"""

# The house, from the ground up; a floor imports only lower ones (import-linter holds it):
#   errors     one tree of errors, a closed list of reasons
#   core/      what the registry decides; pure: no clock, no network, no threads
#   wire/      protobuf <-> core, errors <-> status
#   store/     where registrations are kept
#   runtime/   the asyncio shell around the core: clock, entropy, coordinator, watch hub, monitor
#   probes/    how active checks look at services, and where they may go
#   server/    gRPC: method table, wrapper, handlers, settings, the daemon
#   web/       the HTTP port beside gRPC: JSON, changes, metrics, the page
#   client/    the SDK for agents and callers
#   manager/   the same core inside a process of yours, without a network
#   sync/      the same SDK for threads
#   testing/   fakes to test against, a daemon in your process, the pytest plugin
#   cli/       the command line

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orion_registry.client.agent import Agent
    from orion_registry.client.agent_calls import AgentUnreachable, CallFailed, CallTimedOut
    from orion_registry.client.balancer import BalancerClient
    from orion_registry.client.client import RegistryClient
    from orion_registry.client.credentials import Credentials
    from orion_registry.client.local_view import LocalView
    from orion_registry.client.options import SessionOptions
    from orion_registry.client.specs import with_metadata
    from orion_registry.core.checks.spec import CheckSpec, CustomProbe, GrpcProbe, HttpProbe, IcmpProbe, TcpProbe
    from orion_registry.core.checks.verdict import Verdict
    from orion_registry.core.model import LivenessMode, Load, ServiceSpec, ServiceStatus
    from orion_registry.core.selection.performance import Outcome
    from orion_registry.core.selection.strategy import StrategyName
    from orion_registry.core.selector import Selector
    from orion_registry.errors import RegistryError
    from orion_registry.manager.health_monitor import HealthMonitor
    from orion_registry.manager.load_balancer import LoadBalancer, LoadBalancingStrategy
    from orion_registry.manager.manager import ServiceDiscoveryManager
    from orion_registry.manager.registry import ServiceRegistry
    from orion_registry.manager.service_info import ServiceInfo

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AgentUnreachable",
    "BalancerClient",
    "CallFailed",
    "CallTimedOut",
    "CheckSpec",
    "Credentials",
    "CustomProbe",
    "GrpcProbe",
    "HealthMonitor",
    "HttpProbe",
    "IcmpProbe",
    "LivenessMode",
    "Load",
    "LoadBalancer",
    "LoadBalancingStrategy",
    "LocalView",
    "Outcome",
    "RegistryClient",
    "RegistryError",
    "Selector",
    "ServiceDiscoveryManager",
    "ServiceInfo",
    "ServiceRegistry",
    "ServiceSpec",
    "ServiceStatus",
    "SessionOptions",
    "StrategyName",
    "TcpProbe",
    "Verdict",
    "__version__",
    "with_metadata",
]

_HOME = {
    "Agent": "orion_registry.client.agent",
    "AgentUnreachable": "orion_registry.client.agent_calls",
    "CallFailed": "orion_registry.client.agent_calls",
    "CallTimedOut": "orion_registry.client.agent_calls",
    "BalancerClient": "orion_registry.client.balancer",
    "RegistryClient": "orion_registry.client.client",
    "Credentials": "orion_registry.client.credentials",
    "LocalView": "orion_registry.client.local_view",
    "SessionOptions": "orion_registry.client.options",
    "with_metadata": "orion_registry.client.specs",
    "CheckSpec": "orion_registry.core.checks.spec",
    "CustomProbe": "orion_registry.core.checks.spec",
    "GrpcProbe": "orion_registry.core.checks.spec",
    "HttpProbe": "orion_registry.core.checks.spec",
    "IcmpProbe": "orion_registry.core.checks.spec",
    "TcpProbe": "orion_registry.core.checks.spec",
    "Verdict": "orion_registry.core.checks.verdict",
    "LivenessMode": "orion_registry.core.model",
    "Load": "orion_registry.core.model",
    "ServiceSpec": "orion_registry.core.model",
    "ServiceStatus": "orion_registry.core.model",
    "Outcome": "orion_registry.core.selection.performance",
    "StrategyName": "orion_registry.core.selection.strategy",
    "Selector": "orion_registry.core.selector",
    "RegistryError": "orion_registry.errors",
    "HealthMonitor": "orion_registry.manager.health_monitor",
    "LoadBalancer": "orion_registry.manager.load_balancer",
    "LoadBalancingStrategy": "orion_registry.manager.load_balancer",
    "ServiceDiscoveryManager": "orion_registry.manager.manager",
    "ServiceRegistry": "orion_registry.manager.registry",
    "ServiceInfo": "orion_registry.manager.service_info",
}


def __getattr__(name: str) -> object:
    """Loads a public name on first use (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, the unloaded ones too."""
    return sorted({*globals(), *__all__})
