"""Who holds selections: callers by name, and who hears what happens to what they hold."""

from typing import Protocol

from orion_registry.core.model import StatusReasonCode
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.queue import Waiter


class Holder(Protocol):
    """Hears what happens to selections without being asked for. Must not call back."""

    def settled(self, waiter: Waiter) -> None:
        """Somebody's wait is over."""
        ...

    def expired(self, lease: Lease) -> None:
        """A lease ended by time."""
        ...

    def lost(self, lease: Lease, reason: StatusReasonCode | None) -> None:
        """The service of an open lease has died, for this reason, or was removed (None). The lease stays open."""
        ...


class NobodyHolds:
    """A `Holder` where nobody listens."""

    def settled(self, waiter: Waiter) -> None:
        """See `Holder`."""

    def expired(self, lease: Lease) -> None:
        """See `Holder`."""

    def lost(self, lease: Lease, reason: StatusReasonCode | None) -> None:
        """See `Holder`."""


def caller_of(identity: str, name: str) -> str:
    """Who asks, as selection keeps it: the identity that was proven, and the name that the caller goes by (an id)."""
    return f"{identity}/{name}"


def identity_of(caller: str) -> str:
    """The identity of who asked."""
    return caller.rpartition("/")[0]


def owner_of(lease: Lease) -> str:
    """The identity that may release and renew a lease."""
    return identity_of(lease.caller)


def name_of(lease: Lease) -> str:
    """The name that its caller goes by."""
    return lease.caller.rpartition("/")[2]
