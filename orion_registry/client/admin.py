"""For operators: how a registry is, what happens in it, services out of selection and back, its snapshot out and in.

async with AdminClient("127.0.0.1:6746") as admin:
    print((await admin.server_info()).alarms)
    async for news in admin.watch_events(EventFilter(types=frozenset({EventType.STATUS_CHANGED}))):
        print(news.events)
    await admin.set_overlay(Selector(agent_id="calc-1"), OverlayMode.DRAIN, deadline_s=30.0, note="new disk")
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import grpc.aio

from orion_registry.client.admin_events import EventPage
from orion_registry.client.calls import error_of, unary
from orion_registry.client.channel import Connection, resolve_addresses
from orion_registry.client.credentials import Credentials
from orion_registry.client.monitor import MonitorCalls
from orion_registry.client.profile import resolve_profile
from orion_registry.core import limits
from orion_registry.core.audit import AuditFilter
from orion_registry.core.commands import SetOverlay
from orion_registry.core.events import EventFilter
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.selector import Selector
from orion_registry.errors import bad_field
from orion_registry.wire.audit import AuditPage, decode_audit_page, encode_audit_filter
from orion_registry.wire.events import decode_events, encode_types
from orion_registry.wire.overlay import (
    OverlayState,
    SetOverlays,
    decode_overlay,
    decode_overlays_set,
    encode_set_overlay,
)
from orion_registry.wire.server_info import ServerInfo, decode_server_info
from orion_registry_pb.v1 import admin_pb2 as pb
from orion_registry_pb.v1 import overlay_pb2
from orion_registry_pb.v1.admin_pb2_grpc import AdminServiceStub

if TYPE_CHECKING:  # it exists for type checkers only
    from orion_registry_pb.v1.admin_pb2_grpc import AdminServiceAsyncStub

DEFAULT_TIMEOUT_S = 120.0
ALL_EVENTS: Final = EventFilter()
ALL_AUDIT: Final = AuditFilter()
PIECE_BYTES: Final = 60 * 1024
"""Of an import, in one message: it fits into the smallest max_message_size that a daemon may have, 64 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What an import did: services added, services kept because they are registered, revision after it.

    masked: values that were masked in the file, and are left out.
    """

    added: int
    kept: int
    revision: int
    masked: int = 0


class AdminClient(MonitorCalls):
    """A connection for operators. Belongs to one event loop; use it inside `async with`.

    Calls raise `orion_registry.errors.RegistryError` or a subclass; `client.failures.Unreachable` when no registry
    answered. `timeout_s` bounds each call as a whole.
    """

    def __init__(
        self,
        address: str | Sequence[str] = "",
        *,
        profile: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        credentials: Credentials | None = None,
    ) -> None:
        """Args: address, profile, credentials: as `RegistryClient`; timeout_s: of each call as a whole."""
        if timeout_s <= 0.0:
            raise bad_field("timeout_s", "above 0 seconds", timeout_s)
        self._timeout_s = timeout_s
        self._connection = Connection(resolve_addresses(address), resolve_profile(profile), credentials)

    async def __aenter__(self) -> "AdminClient":
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False

    async def close(self) -> None:
        """Closes the connection. Idempotent."""
        await self._connection.close()

    @property
    def address(self) -> str:
        """The address that calls go to now."""
        return self._connection.address

    async def server_info(self) -> ServerInfo:
        """How the registry is; it answers while it starts and stops, too."""
        request = pb.GetServerInfoRequest()
        return decode_server_info(await unary(self._connection, self._stub.GetServerInfo, request, self._timeout_s))

    async def list_events(
        self, wanted: EventFilter = ALL_EVENTS, *, after_seq: int = 0, history_id: str = "", page_size: int = 0
    ) -> EventPage:
        """One page of the events kept, those after after_seq; there are more while its after_seq < last_seq.

        Raises:
            InvalidArgument: BAD_FIELD.
            OutOfRange: events after after_seq are gone, it is of the future, or of another life than history_id.
        """
        request = pb.ListEventsRequest(
            types=encode_types(wanted.types),
            service_id=wanted.service_id,
            agent_id=wanted.agent_id,
            namespace=wanted.namespace,
            after_seq=after_seq,
            history_id=history_id,
            page_size=page_size,
        )
        answer = await unary(self._connection, self._stub.ListEvents, request, self._timeout_s)
        return EventPage(
            events=decode_events(answer.events),
            after_seq=answer.after_seq,
            history_id=answer.history_id,
            oldest_seq=answer.oldest_seq,
            last_seq=answer.last_seq,
        )

    async def watch_events(
        self, wanted: EventFilter = ALL_EVENTS, *, after_seq: int = 0, history_id: str = ""
    ) -> AsyncIterator[EventPage]:
        """Events after after_seq, then those that come, until this is closed; `timeout_s` does not bound it.

        The first page comes at once, and one without events now and then: go on after the last one's after_seq, with
        its history_id, if the connection breaks.

        Raises:
            InvalidArgument: BAD_FIELD.
            OutOfRange: as `list_events`; or events were taken so slowly that some are lost.
            Unavailable: the registry stops, or is out of reach.
        """
        address = self.address
        request = pb.WatchEventsRequest(
            types=encode_types(wanted.types),
            service_id=wanted.service_id,
            agent_id=wanted.agent_id,
            namespace=wanted.namespace,
            after_seq=after_seq,
            history_id=history_id,
        )
        call = self._stub.WatchEvents(request)
        try:
            while isinstance(news := await call.read(), pb.WatchEventsResponse):
                yield EventPage(events=decode_events(news.events), after_seq=news.after_seq, history_id=news.history_id)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            raise error_of(failure, self._connection, address) from None
        finally:
            call.cancel()

    async def set_overlay(
        self,
        target: ServiceKey | Selector,
        mode: OverlayMode | None = None,
        *,
        weight: float | None = None,
        deadline_s: float | None = None,
        note: str = "",
    ) -> SetOverlays:
        """Sets what is wanted of services, whatever their agents say: it holds until it is changed or cleared.

        Args:
            target: one service, registered or not; or all that match now.
            mode: None: as it was; NONE ends what is set.
            weight: in selection, above 0; None: as it was.
            deadline_s: with DRAIN, how long it may take; None: no limit.
            note: why, for people.

        Raises:
            InvalidArgument: a field beyond its limit.
            NotFound: nothing has or had the service_id.
            ResourceExhausted: TOO_LARGE, more than 10,000 services match.
            Unavailable: STORE_DOWN.
        """
        command = SetOverlay(target=target, mode=mode, weight=weight, deadline_s=deadline_s, note=note)
        request = encode_set_overlay(command)
        return decode_overlays_set(await unary(self._connection, self._stub.SetOverlay, request, self._timeout_s))

    async def overlays(
        self,
        mode: OverlayMode | None = None,
        *,
        namespace: str = "",
        agent_id: str = "",
        service_name: str = "",
        service_id: str = "",
    ) -> AsyncIterator[OverlayState]:
        """What is set, in the order of natural keys, page by page; what is empty does not restrict.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        token = ""
        while True:
            request = pb.ListOverlaysRequest(
                namespace=namespace,
                agent_id=agent_id,
                service_name=service_name,
                service_id=service_id,
                mode=overlay_pb2.OverlayMode.ValueType(mode or 0),
                page_size=limits.OVERLAYS_PAGE,
                page_token=token,
            )
            answer = await unary(self._connection, self._stub.ListOverlays, request, self._timeout_s)
            for overlay in answer.overlays:
                yield decode_overlay(overlay)
            token = answer.next_page_token
            if not token:
                return

    async def remove_service(self, service_id: str) -> int:
        """Removes a service whoever holds it; what is set for it stays. Returns the revision.

        Raises:
            InvalidArgument: BAD_FIELD.
            NotFound: NO_SUCH_SERVICE.
            Unavailable: STORE_DOWN.
        """
        request = pb.RemoveServiceRequest(service_id=service_id)
        answer = await unary(self._connection, self._stub.RemoveService, request, self._timeout_s)
        return answer.revision

    async def audit_page(self, wanted: AuditFilter = ALL_AUDIT, *, after_seq: int = 0, page_size: int = 0) -> AuditPage:
        """One page of the audit chain, records after after_seq; there are more while its after_seq < its head's seq.

        Raises:
            InvalidArgument: BAD_FIELD.
            Unavailable: STORE_DOWN.
        """
        request = encode_audit_filter(wanted, after_seq, page_size)
        return decode_audit_page(await unary(self._connection, self._stub.ListAuditRecords, request, self._timeout_s))

    async def export_snapshot(self, *, with_secrets: bool = False) -> AsyncIterator[bytes]:
        """The snapshot file of the registry, in pieces; if this raises, what came is a part that nothing accepts.

        with_secrets: also what looks like a secret in metadata and checks; else it is masked, and not brought back.
        """
        address = self.address
        call = self._stub.ExportSnapshot(pb.ExportSnapshotRequest(with_secrets=with_secrets), timeout=self._timeout_s)
        try:
            while isinstance(response := await call.read(), pb.ExportSnapshotResponse):
                yield response.chunk
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            raise error_of(failure, self._connection, address) from None
        finally:
            call.cancel()

    async def import_snapshot(self, pieces: AsyncIterable[bytes]) -> Import:
        """Adds the services of a snapshot file that are not registered; all or nothing. Doing it again is safe.

        Raises:
            InvalidArgument: the file is damaged, cut off, or of a newer version; the message names the line.
            AlreadyExists: a service_id is another agent's there.
            ResourceExhausted: TOO_LARGE, or another import is under way.
        """
        address = self.address
        call: Any = self._stub.ImportSnapshot(timeout=self._timeout_s)
        try:
            await _send(call, pieces)
            answer: pb.ImportSnapshotResponse = await call
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            raise error_of(failure, self._connection, address) from None
        finally:
            call.cancel()
        return Import(added=answer.added, kept=answer.kept, revision=answer.revision, masked=answer.masked)

    @property
    def _stub(self) -> "AdminServiceAsyncStub":
        stub: AdminServiceAsyncStub = AdminServiceStub(self._connection.channel)
        return stub


async def _send(call: Any, pieces: AsyncIterable[bytes]) -> None:
    """Writes all, unless the registry has answered before it had read everything."""
    async for piece in pieces:
        for start in range(0, len(piece), PIECE_BYTES):
            if call.done():
                return
            try:
                await call.write(pb.ImportSnapshotRequest(chunk=piece[start : start + PIECE_BYTES]))
            except asyncio.InvalidStateError:
                return  # it ended between the two
    if not call.done():
        await call.done_writing()
