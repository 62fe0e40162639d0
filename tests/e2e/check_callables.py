"""A custom check for tests.e2e.checks: a service that tells the length of its queue must not have too long a one."""

import socket
from typing import Any

from orion_registry.probes import CheckFailed

MOST = 10


def queue(target: dict[str, Any]) -> None:
    """Passes if the service says a number up to `MOST`."""
    with socket.create_connection((target["addresses"][0], target["port"]), timeout=1.0) as connection:
        length = int(connection.recv(32))
    if length > MOST:
        raise CheckFailed(f"{length} in the queue, not {MOST} at most")
