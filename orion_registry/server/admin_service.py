"""AdminService: what operators do. Handlers decode, make one call to the coordinator, and encode."""

from collections.abc import Sequence
from typing import cast

from orion_registry.core.commands import OverlaysSet, Remove, Removed
from orion_registry.core.model import Actor, RemovalReason
from orion_registry.core.validation import check_id
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.methods import ADMIN_SERVICE
from orion_registry.server.server_info import server_info
from orion_registry.server.snapshot_streams import IDLE_S, SnapshotStreams
from orion_registry.server.stream import Stream
from orion_registry.server.wrapper import Handlers
from orion_registry.wire.audit import PAGE_DEFAULT, decode_audit_filter, encode_audit_page
from orion_registry.wire.events import decode_filter, encode_news, encode_page
from orion_registry.wire.overlay import (
    decode_overlay_filter,
    decode_set_overlay,
    encode_overlay_page,
    encode_overlays_set,
    encode_service_removed,
)
from orion_registry.wire.server_info import encode_server_info
from orion_registry_pb.v1 import admin_pb2 as pb
from orion_registry_pb.v1 import audit_pb2


class AdminService:
    """Handlers of the RPCs, by their names.

    Args:
        coordinator: what they ask.
        addresses: where the daemon listens.
        profile: of spans that it runs with.
        idle_s: how long an import may send nothing.
    """

    def __init__(
        self, coordinator: Coordinator, addresses: Sequence[str] = (), profile: str = "", *, idle_s: float = IDLE_S
    ) -> None:
        self._coordinator = coordinator
        self._events = coordinator.events
        self._addresses = tuple(addresses)
        self._profile = profile
        self._snapshots = SnapshotStreams(coordinator, idle_s=idle_s)

    @property
    def handlers(self) -> Handlers:
        """What `build_handlers` takes."""
        return {
            ADMIN_SERVICE: {
                "GetServerInfo": self.get_server_info,
                "ListEvents": self.list_events,
                "WatchEvents": self.watch_events,
                "SetOverlay": self.set_overlay,
                "ListOverlays": self.list_overlays,
                "RemoveService": self.remove_service,
                "ListAuditRecords": self.list_audit_records,
                "ExportSnapshot": self._snapshots.export,
                "ImportSnapshot": self._snapshots.import_snapshot,
            }
        }

    def get_server_info(self, _request: pb.GetServerInfoRequest, _actor: Actor) -> bytes:
        """GetServerInfo."""
        return encode_server_info(server_info(self._coordinator, self._addresses, self._profile))

    def list_events(self, request: pb.ListEventsRequest, _actor: Actor) -> bytes:
        """ListEvents."""
        wanted = decode_filter(request)
        page = self._events.page(wanted, request.after_seq, request.history_id, request.page_size)
        return encode_page(page, self._events.history_id)

    async def set_overlay(self, request: pb.SetOverlayRequest, actor: Actor) -> bytes:
        """SetOverlay."""
        result = await self._coordinator.execute(decode_set_overlay(request), actor)
        return encode_overlays_set(cast("OverlaysSet", result))

    def list_overlays(self, request: pb.ListOverlaysRequest, _actor: Actor) -> bytes:
        """ListOverlays."""
        wanted = decode_overlay_filter(request)
        return encode_overlay_page(self._coordinator.overlays(wanted, request.page_size, request.page_token))

    async def remove_service(self, request: pb.RemoveServiceRequest, actor: Actor) -> bytes:
        """RemoveService."""
        service_id = check_id("service_id", request.service_id)
        result = await self._coordinator.execute(Remove(service_id=service_id, reason=RemovalReason.REMOVED), actor)
        return encode_service_removed(cast("Removed", result))

    async def list_audit_records(self, request: audit_pb2.ListAuditRecordsRequest, _actor: Actor) -> bytes:
        """ListAuditRecords."""
        wanted = decode_audit_filter(request)
        page = await self._coordinator.audit_page(wanted, request.after_seq, request.page_size or PAGE_DEFAULT)
        return encode_audit_page(*page)

    async def watch_events(self, request: pb.WatchEventsRequest, _actor: Actor, stream: Stream) -> None:
        """WatchEvents: a client that takes nothing holds one message, and its place in the log."""
        wanted = decode_filter(request)
        subscription = self._events.subscribe(wanted, request.after_seq, request.history_id)
        try:
            while True:
                await stream.write(encode_news(await subscription.next_batch(), self._events.history_id))
        finally:
            subscription.close()
