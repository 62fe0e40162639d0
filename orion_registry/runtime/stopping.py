"""What whoever waits for something is told when the registry stops."""

from orion_registry.errors import Reason, Unavailable


def stopping() -> Unavailable:
    """NOT_SERVING: the registry comes back, or another one is there, in about a second."""
    return Unavailable(Reason.NOT_SERVING, "the registry is stopping", retry_after_s=1.0)
