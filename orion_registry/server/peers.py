"""The other members: a channel to each, kept while it is there, and what it tells of load."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from orion_registry.calls.cancellation import end_if_cancelled
from orion_registry.core.access.rights import ALL, Grant, Rights, Role
from orion_registry.core.holder import identity_of
from orion_registry.core.membership import Member
from orion_registry.core.model import Actor
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.errors import Reason, RegistryError, Unauthenticated, Unavailable
from orion_registry.etcd.tls_advice import TlsSettings, explained
from orion_registry.runtime.clustered_selections import Reserved, gone
from orion_registry.server.cluster_methods import CLUSTER_SERVICE, RENEW
from orion_registry.server.methods import BALANCER_SERVICE
from orion_registry.wire.callers import encode_rights
from orion_registry.wire.spans import decode_known_span, span_of
from orion_registry.wire.status import DETAILS_KEY, decode_error, error_from_status, said_reason
from orion_registry_pb.cluster.v1 import cluster_pb2 as pb
from orion_registry_pb.v1 import balancer_pb2

if TYPE_CHECKING:
    from orion_registry.server.certificates import Certificates

log = logging.getLogger("orion_registry")

CALL_S = 1.0
"""How long a member may take to answer another: a caller waits for it."""
RETRY_S = 0.25
TOLD_AFTER = 8
"""Failures in a row until the log says that a member cannot be heard: 2 s at least."""
RELEASE = f"/{BALANCER_SERVICE}/ReleaseService"

TIDYING = Rights(grants=(Grant(roles=frozenset({Role.CALLER}), namespaces=(ALL,)),))
"""What a member needs to end, or to renew, leases that it took for a caller, whatever that one may do now."""

_OPTIONS = (
    ("grpc.keepalive_time_ms", 1_200),
    ("grpc.keepalive_timeout_ms", 1_500),
    ("grpc.http2.ping_timeout_ms", 1_500),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)

Load = Callable[[Member, pb.WatchLoadResponse], None]
"""Takes what a member tells of load."""


class _Peer:
    """One other member. shown: what its channel was made with. failures: to hear of it, in a row."""

    def __init__(self, member: Member, channel: grpc.aio.Channel, shown: object) -> None:
        self.member = member
        self.channel = channel
        self.shown = shown
        self.watching: asyncio.Task[None] | None = None
        self.tells = False
        self.failures = 0
        self.streams: int | None = None


class AllPeers:
    """See `cluster.base.Peers` and `runtime.clustered_selections.Reserving`.

    Args:
        certificates: for channels to other members; None = plaintext.
        life: of this member.
    """

    def __init__(self, life: str, certificates: "Certificates | None", load: Load) -> None:
        self._life = life
        self._certificates = certificates
        self._load = load
        self._peers: dict[str, _Peer] = {}
        self._there: frozenset[str] = frozenset()
        self._closing: set[asyncio.Task[None]] = set()

    # Who is there.

    def know(self, members: Collection[Member]) -> None:
        """See `Peers`."""
        there = {member.life: member for member in members}
        self._there = frozenset(there)
        for life in [life for life, peer in self._peers.items() if life not in there and not peer.tells]:
            self._drop(life)
        for life, member in there.items():
            known = self._peers.get(life)
            if known is not None and known.member.addresses == member.addresses:
                continue
            if known is not None:
                self._drop(life)
            if member.addresses:
                peer = self._peers[life] = _Peer(member, self._open(member.addresses[0]), self._shown)
                peer.watching = asyncio.get_running_loop().create_task(self._watch(peer), name="peer-load")

    def reachable(self, life: str) -> bool:
        """See `Peers`."""
        peer = self._peers.get(life)
        return peer is not None and peer.tells

    def is_silent(self, life: str) -> bool:
        """See `Reserving`. One that was never asked yet is not."""
        peer = self._peers.get(life)
        return peer is None or (not peer.tells and peer.failures > 0)

    def member(self, life: str) -> Member | None:
        """See `Peers`."""
        peer = self._peers.get(life)
        return None if peer is None else peer.member

    @property
    def streams(self) -> Mapping[str, int]:
        """See `Peers`."""
        return {
            life: peer.streams
            for life, peer in self._peers.items()
            if life in self._there and peer.tells and peer.streams is not None
        }

    async def close(self) -> None:
        """Lets go of all."""
        for life in list(self._peers):
            self._drop(life)
        await asyncio.gather(*self._closing)

    # Calls.

    async def reserve(self, member: Member, service_id: str, namespace: str, request: SelectionRequest) -> Reserved:
        """See `Reserving`."""
        message = pb.ReserveRequest(
            token=member.token,
            service_id=service_id,
            caller=request.caller,
            lease_ttl=None if request.ttl_s is None else span_of(request.ttl_s),
            allow_degraded=request.allow_degraded,
            request_id=request.request_id,
            payload=request.payload,
            namespace=namespace,
            stream=self._known_as(request.stream),
        )
        answer = await self._call(member, "Reserve", message, pb.ReserveResponse.FromString)
        return Reserved(
            selection_id=answer.selection_id, ttl_s=decode_known_span(answer.ttl), in_flight=answer.in_flight
        )

    async def renew(self, member: Member, selection_id: str, caller: str, stream: str) -> float:
        """See `Reserving`."""
        request = balancer_pb2.RenewSelectionsRequest(selection_ids=[selection_id]).SerializeToString()
        try:
            answer = await self.relay(member, f"/{BALANCER_SERVICE}/{RENEW}", request, _holder(caller), stream=stream)
        except MemberGone:
            raise gone(selection_id) from None
        (renewal,) = balancer_pb2.RenewSelectionsResponse.FromString(answer).renewals
        if renewal.HasField("error"):
            raise decode_error(renewal.error)
        return decode_known_span(renewal.ttl)

    def give_back(self, member: Member, selection_id: str, caller: str) -> None:
        """See `Reserving`."""
        request = balancer_pb2.ReleaseServiceRequest(selection_id=selection_id)
        self._tidy_up(self.relay(member, RELEASE, request.SerializeToString(), _holder(caller)))

    def end_stream(self, member: Member, stream: str) -> None:
        """Has the leases that a member has granted on a Route stream here end soon. Best effort: else by their ttl."""
        message = pb.EndStreamRequest(token=member.token, stream=self._known_as(stream))
        self._tidy_up(self._call(member, "EndStream", message, pb.EndStreamResponse.FromString))

    def _tidy_up(self, work: Awaitable[object]) -> None:
        """Nobody waits for it."""
        task = asyncio.get_running_loop().create_task(self._quietly(work))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _quietly(self, work: Awaitable[object]) -> None:
        try:
            await work
        except RegistryError as error:
            log.debug("another member was not told what is over", extra={"error": error.message})

    async def relay(
        self, member: Member, path: str, request: bytes, actor: Actor, timeout_s: float = CALL_S, stream: str = ""
    ) -> bytes:
        """Has a member run a call that belongs to it. stream: the Route stream here that what it renews lives on.

        Raises:
            RegistryError: the method's own; STORE_DOWN if the member does not answer.
        """
        message = pb.RelayRequest(
            token=member.token,
            method=path,
            request=request,
            identity=actor.identity,
            address=actor.address,
            grants=encode_rights(actor.rights),
            stream=self._known_as(stream),
        )
        answer = await self._call(member, "Relay", message, pb.RelayResponse.FromString, timeout_s)
        response: bytes = answer.response
        return response

    async def hand_over(self, member: Member, service_ids: Sequence[str]) -> Mapping[str, Sequence[float]] | None:
        """See `Peers`."""
        message = pb.HandOverRequest(token=member.token, owner=self._life, service_ids=service_ids)
        try:
            answer = await self._call(member, "HandOver", message, pb.HandOverResponse.FromString)
        except MemberGone:
            return None
        return {held.service_id: [decode_known_span(left) for left in held.left] for held in answer.held}

    async def _call(
        self, member: Member, name: str, message: Any, parse: Callable[[bytes], Any], timeout_s: float = CALL_S
    ) -> Any:
        peer = self._peers.get(member.life)
        if peer is None:
            raise MemberGone(member)
        call = peer.channel.unary_unary(
            f"/{CLUSTER_SERVICE}/{name}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=parse,
        )
        try:
            return await call(message, timeout=timeout_s)
        except grpc.aio.AioRpcError as failure:
            raise self._error_of(failure, member) from failure
        except asyncio.CancelledError as cancelled:
            raise self._cut_off(member) from cancelled

    # Inside.

    def _known_as(self, stream: str) -> str:
        """What other members call a Route stream of this one."""
        return f"{self._life}/{stream}" if stream else ""

    def _open(self, address: str) -> grpc.aio.Channel:
        if self._certificates is None:
            return grpc.aio.insecure_channel(address, options=_OPTIONS)
        return grpc.aio.secure_channel(address, self._certificates.channel_credentials(), options=_OPTIONS)

    @property
    def _shown(self) -> object:
        """What a channel would be made with now."""
        return None if self._certificates is None else self._certificates.material

    def _drop(self, life: str) -> None:
        peer = self._peers.pop(life)
        if peer.watching is not None:
            peer.watching.cancel()
        self._close(peer.channel)

    def _close(self, channel: grpc.aio.Channel, grace_s: float | None = None) -> None:
        closing = asyncio.get_running_loop().create_task(channel.close(grace_s))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _watch(self, peer: _Peer) -> None:
        """Hears of its load while it is there. A link that broke comes back with the files as they are then."""
        while True:
            call = peer.channel.unary_stream(
                f"/{CLUSTER_SERVICE}/WatchLoad",
                request_serializer=pb.WatchLoadRequest.SerializeToString,
                response_deserializer=pb.WatchLoadResponse.FromString,
            )(pb.WatchLoadRequest(token=peer.member.token))
            try:
                async for answer in call:
                    self._load(peer.member, answer)
                    peer.tells, peer.streams = True, answer.streams
                    if peer.failures >= TOLD_AFTER:
                        log.info("a member is heard again", extra={"member": peer.member.name})
                    peer.failures = 0
            except grpc.aio.AioRpcError as error:
                self._not_heard(peer, self._told(error))
            except Exception as error:  # a fault of ours: it is heard again, or counts as silent
                if not peer.failures:
                    log.exception("what a member tells could not be taken in", extra={"member": peer.member.name})
                self._not_heard(peer, f"{type(error).__name__}: {error}")
            finally:
                peer.tells = False
                call.cancel()
            if peer.member.life not in self._there:
                peer.watching = None
                self._drop(peer.member.life)
                return
            await asyncio.sleep(RETRY_S)
            if peer.shown is not self._shown:
                self._close(peer.channel, CALL_S)
                peer.channel, peer.shown = self._open(peer.member.addresses[0]), self._shown

    def _not_heard(self, peer: _Peer, why: str) -> None:
        """Told once, if it is not over at once as a start is: it is tried for as long as the member is in etcd."""
        peer.failures += 1
        if peer.failures == TOLD_AFTER:
            log.warning("a member cannot be heard", extra={"member": peer.member.name, "error": why})

    def _told(self, failure: grpc.aio.AioRpcError) -> str:
        settings = TlsSettings(
            spoken=self._certificates is not None,
            authorities="member_ca_file (or tls_client_ca_file)",
            certificate="tls_cert_file and tls_key_file",
        )
        return explained(failure.details() or failure.code().name.lower(), settings)

    def _cut_off(self, member: Member) -> RegistryError:
        """The error of a call whose channel was closed under it.

        Raises:
            asyncio.CancelledError: the task that waits for it is to end, not the call alone.
        """
        end_if_cancelled()
        if member.life not in self._peers:
            return MemberGone(member)
        return Unavailable(Reason.STORE_DOWN, f"the link to member {member.name!r} was renewed", retry_after_s=CALL_S)

    def _error_of(self, failure: grpc.aio.AioRpcError, member: Member) -> RegistryError:
        for key, value in failure.trailing_metadata() or ():
            if key == DETAILS_KEY and isinstance(value, bytes):
                error = error_from_status(failure.code().value[0], failure.details() or "", value)
                gone = isinstance(error, Unauthenticated) or said_reason(value) is Reason.NOT_SERVING
                return MemberGone(member) if gone else error
        if "connection refused" in (failure.details() or "").lower():
            return MemberGone(member)
        message = f"member {member.name!r} does not answer: {self._told(failure)}"
        return Unavailable(Reason.STORE_DOWN, message, retry_after_s=CALL_S)  # not NOT_SERVING: this member serves


def _holder(caller: str) -> Actor:
    """Acts for a caller of a lease on what it holds already."""
    return Actor(identity=identity_of(caller), rights=TIDYING)


class MemberGone(Unavailable):
    """No process listens where a member was, another life of it does, or it stops: what it granted ends with it."""

    def __init__(self, member: Member) -> None:
        super().__init__(Reason.STORE_DOWN, f"member {member.name!r} is gone", retry_after_s=CALL_S)
