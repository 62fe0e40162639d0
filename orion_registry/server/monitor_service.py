"""MonitorService: each handler decodes, asks the monitor, and encodes."""

from orion_registry.core.model import Actor
from orion_registry.core.validation import check_id
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.methods import MONITOR_SERVICE
from orion_registry.server.wrapper import Handlers
from orion_registry.wire.monitor_answers import encode_checked, encode_health, encode_health_stats
from orion_registry_pb.v1 import monitor_pb2 as pb


class MonitorService:
    """Handlers of the RPCs, by their names. Errors are the core's own; the wrapper makes statuses of them."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._registry = coordinator.registry

    @property
    def handlers(self) -> Handlers:
        """What `build_handlers` takes."""
        return {
            MONITOR_SERVICE: {
                "CheckServiceHealth": self.check_service_health,
                "GetServiceHealth": self.get_service_health,
                "GetHealthStats": self.get_health_stats,
            }
        }

    async def check_service_health(self, request: pb.CheckServiceHealthRequest, actor: Actor) -> bytes:
        """CheckServiceHealth."""
        service_id = check_id("service_id", request.service_id)
        check = check_id("check", request.check) if request.check else ""
        results = await self._coordinator.monitor.check_now(service_id, check)
        entry = self._registry.get(service_id)
        self._coordinator.audit.did(actor, "CheckServiceHealth", entry.spec.namespace, service_id)
        return encode_checked(results, entry.snapshot)

    def get_service_health(self, request: pb.GetServiceHealthRequest, _actor: Actor) -> bytes:
        """GetServiceHealth."""
        service_id = check_id("service_id", request.service_id)
        entry, checks = self._registry.get(service_id), self._registry.monitoring.health(service_id)
        return encode_health(entry.snapshot, entry.last_beat_wall, checks, self._coordinator.timelines.of(service_id))

    def get_health_stats(self, _request: pb.GetHealthStatsRequest, _actor: Actor) -> bytes:
        """GetHealthStats."""
        return encode_health_stats(self._registry.monitoring.stats())
