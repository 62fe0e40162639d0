"""RegistryService: each handler decodes, makes one call to the coordinator, and encodes."""

from typing import cast

from orion_registry.core.commands import Registered, Removed, Updated
from orion_registry.core.model import Actor
from orion_registry.core.validation import check_id
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.heartbeat_stream import HeartbeatStreams
from orion_registry.server.methods import REGISTRY_SERVICE
from orion_registry.server.watch_stream import WatchStreams
from orion_registry.server.wrapper import Handlers
from orion_registry.wire.decode import (
    decode_checked_ref,
    decode_load,
    decode_register,
    decode_selector,
    decode_unregister,
    decode_update,
)
from orion_registry.wire.encode import (
    encode_beaten,
    encode_got,
    encode_page,
    encode_registered,
    encode_removed,
    encode_reported,
    encode_updated,
)
from orion_registry.wire.enums import decode_status
from orion_registry_pb.v1 import registry_pb2 as pb


class RegistryService:
    """Handlers of the RPCs, by their names. Errors are the coordinator's own; the wrapper makes statuses of them."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._registry = coordinator.registry
        self._heartbeats = HeartbeatStreams(coordinator)
        self._watches = WatchStreams(coordinator)

    @property
    def handlers(self) -> Handlers:
        """What `build_handlers` takes."""
        return {
            REGISTRY_SERVICE: {
                "RegisterService": self.register,
                "UnregisterService": self.unregister,
                "GetService": self.get,
                "UpdateService": self.update,
                "UpdateServiceStatus": self.update_status,
                "DiscoverServices": self.discover,
                "WatchServices": self._watches.serve,
                "Heartbeat": self._heartbeats.serve,
                "SendHeartbeat": self.send_heartbeat,
            }
        }

    async def register(self, request: pb.RegisterServiceRequest, actor: Actor) -> bytes:
        """RegisterService."""
        result = await self._coordinator.execute(decode_register(request), actor)
        return encode_registered(cast("Registered", result))

    async def unregister(self, request: pb.UnregisterServiceRequest, actor: Actor) -> bytes:
        """UnregisterService."""
        result = await self._coordinator.execute(decode_unregister(request), actor)
        return encode_removed(cast("Removed", result))

    def get(self, request: pb.GetServiceRequest, _actor: Actor) -> bytes:
        """GetService."""
        entry = self._registry.get(check_id("service_id", request.service_id))
        return encode_got(entry, self._registry.revision, self._registry.history_id)

    async def update(self, request: pb.UpdateServiceRequest, actor: Actor) -> bytes:
        """UpdateService."""
        result = await self._coordinator.execute(decode_update(request), actor)
        return encode_updated(cast("Updated", result))

    def update_status(self, request: pb.UpdateServiceStatusRequest, actor: Actor) -> bytes:
        """UpdateServiceStatus."""
        status = decode_status("status", request.status)
        entry = self._coordinator.report_status(decode_checked_ref(request.ref), status, actor)
        return encode_reported(entry, self._registry.revision)

    def discover(self, request: pb.DiscoverServicesRequest, _actor: Actor) -> bytes:
        """DiscoverServices."""
        registry = self._registry
        page = registry.discover(decode_selector(request.selector), request.page_size, request.page_token)
        return encode_page(page, registry.revision, registry.history_id)

    def send_heartbeat(self, request: pb.SendHeartbeatRequest, actor: Actor) -> bytes:
        """SendHeartbeat."""
        load = decode_load("load", request.load) if request.HasField("load") else None
        status = decode_status("self_status", request.self_status)
        ttl_s, entry = self._coordinator.send_heartbeat(decode_checked_ref(request.ref), load, status, actor)
        return encode_beaten(ttl_s, entry.snapshot.status)
