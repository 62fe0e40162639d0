"""The SDK for programs without an event loop: the same names, with plain calls and `with` instead of `await`.

    from orion_registry.sync import BalancerClient

    with BalancerClient("127.0.0.1:6746") as balancer:
        print(balancer.call("math.add", {"a": 2, "b": 3}))

All of it is the asyncio SDK, run by one thread that all clients of a process share; methods may be called from any
thread. Clients do not survive a fork: make new ones in the child.
"""

from orion_registry.sync.admin import AdminClient
from orion_registry.sync.balancer import BalancerClient, Selection
from orion_registry.sync.registry import RegistryClient
from orion_registry.sync.session import HeartbeatSession
from orion_registry.sync.watch import Watch

__all__ = ["AdminClient", "BalancerClient", "HeartbeatSession", "RegistryClient", "Selection", "Watch"]
