"""Looking at services: HTTP, TCP, ICMP, gRPC and custom probes, and the policy of where they may go.

A custom check imports `CheckFailed` from here; its worker process loads no more than that.
"""

from orion_registry.probes.ends import CheckFailed

__all__ = ["CheckFailed"]
