"""AdminService: what operators do. Handlers decode, make one call to the coordinator, and encode."""

from collections.abc import Sequence

from orion_registry.core.model import Actor
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.methods import ADMIN_SERVICE
from orion_registry.server.server_info import server_info
from orion_registry.server.snapshot_streams import IDLE_S, SnapshotStreams
from orion_registry.server.wrapper import Handlers, Stream
from orion_registry.wire.events import decode_filter, encode_news, encode_page
from orion_registry.wire.server_info import encode_server_info
from orion_registry_pb.v1 import admin_pb2 as pb


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

    async def watch_events(self, request: pb.WatchEventsRequest, _actor: Actor, stream: Stream) -> None:
        """WatchEvents: a client that takes nothing holds one message, and its place in the log."""
        wanted = decode_filter(request)
        subscription = self._events.subscribe(wanted, request.after_seq, request.history_id)
        try:
            while True:
                await stream.write(encode_news(await subscription.next_batch(), self._events.history_id))
        finally:
            subscription.close()
