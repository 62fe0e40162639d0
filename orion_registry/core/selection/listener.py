"""Who hears what selection does on its own account."""

from typing import Protocol

from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.queue import Waiter


class Listener(Protocol):
    """Hears what happens without being asked for. Must not call the balancer."""

    def settled(self, waiter: Waiter) -> None:
        """Somebody's wait is over."""
        ...

    def expired(self, lease: Lease) -> None:
        """A lease ended by time: its caller crashed, or forgot it."""
        ...

    def ejected(self, service_id: str, until: float) -> None:
        """A service's outcomes keep it out until then, in monotonic seconds."""
        ...

    def returned(self, service_id: str) -> None:
        """It is back."""
        ...

    def closed(self, pool: Pool) -> None:
        """A pool made room for another."""
        ...
