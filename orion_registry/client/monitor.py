"""Calls of MonitorService: how a service and its checks are. Part of the clients for callers and for operators."""

from typing import TYPE_CHECKING

from orion_registry.client.calls import unary
from orion_registry.client.channel import Connection
from orion_registry.core.checks.stats import HealthStats
from orion_registry.wire.monitor import (
    CheckedNow,
    ServiceHealth,
    decode_checked,
    decode_health,
    decode_health_stats,
)
from orion_registry_pb.v1 import monitor_pb2 as pb
from orion_registry_pb.v1.monitor_pb2_grpc import MonitorServiceStub

if TYPE_CHECKING:  # it exists for type checkers only
    from orion_registry_pb.v1.monitor_pb2_grpc import MonitorServiceAsyncStub

CHECK_TIMEOUT_S = 60.0
"""Deadline of `check_now` unless it says its own: checks may wait for their turn, and make several attempts."""


class MonitorCalls:
    """What clients that look after services have in common."""

    _connection: Connection
    _timeout_s: float

    async def health(self, service_id: str, *, timeout_s: float | None = None) -> ServiceHealth:
        """How a service is and why: each check with its last runs, and its last changes of status.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        request = pb.GetServiceHealthRequest(service_id=service_id)
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        return decode_health(await unary(self._connection, self._monitor.GetServiceHealth, request, limit_s))

    async def check_now(self, service_id: str, check: str = "", *, timeout_s: float = CHECK_TIMEOUT_S) -> CheckedNow:
        """Runs a check of a service now, or all of them, and returns what they found. It counts like any other run.

        Raises:
            NotFound: NO_SUCH_SERVICE.
            InvalidArgument: BAD_FIELD, it has no check of that name.
            FailedPrecondition: WRONG_MODE, it has no checks.
            ResourceExhausted: RATE_LIMITED, a run of it ended less than a second ago.
        """
        request = pb.CheckServiceHealthRequest(service_id=service_id, check=check)
        return decode_checked(await unary(self._connection, self._monitor.CheckServiceHealth, request, timeout_s))

    async def health_stats(self, *, timeout_s: float | None = None) -> HealthStats:
        """How the checks of all services fare, in all and by kind, since the registry started."""
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        call = self._monitor.GetHealthStats
        return decode_health_stats(await unary(self._connection, call, pb.GetHealthStatsRequest(), limit_s))

    @property
    def _monitor(self) -> "MonitorServiceAsyncStub":
        stub: MonitorServiceAsyncStub = MonitorServiceStub(self._connection.channel)
        return stub
