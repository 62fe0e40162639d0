"""ClusterService: what a member does for the others."""

import asyncio
import hmac
import inspect
from collections.abc import Callable, Mapping

from orion_registry.core.fleet import no_such_service
from orion_registry.core.model import Actor
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.errors import Reason, RegistryError, ResourceExhausted, Unauthenticated, Unavailable, bad_field
from orion_registry.runtime.clustered import ClusterCoordinator
from orion_registry.server.cluster_methods import CLUSTER_SERVICE, RENEW
from orion_registry.server.door import Door
from orion_registry.server.load_telling import TELL_S, Asked, LoadTelling
from orion_registry.server.methods import Method
from orion_registry.server.stream import Stream, parse_request
from orion_registry.server.wrapper import Handlers, stopping
from orion_registry.wire.callers import decode_rights
from orion_registry.wire.spans import decode_span, span_of
from orion_registry_pb.cluster.v1 import cluster_pb2 as pb

DOUBT_RETRY_S = 1.0


class ClusterService:
    """Handlers of the RPCs, by their names.

    Args:
        coordinator: whom they ask.
        local: the daemon's own handlers, and methods their rows, for what is relayed.
        door: judges what is relayed.
    """

    def __init__(
        self, coordinator: ClusterCoordinator, local: Handlers, methods: Mapping[str, Method], door: Door
    ) -> None:
        self._coordinator = coordinator
        self._balancing = coordinator.registry.balancing
        self._membership = coordinator.membership
        self._local = local
        self._methods = methods
        self._door = door
        self._asked = Asked()

    @property
    def handlers(self) -> Handlers:
        """What `build_handlers` takes."""
        return {
            CLUSTER_SERVICE: {
                "Reserve": self.reserve,
                "Relay": self.relay,
                "HandOver": self.hand_over,
                "EndStream": self.end_stream,
                "WatchLoad": self.watch_load,
            }
        }

    def _check(self, token: str) -> None:
        """Refuses whoever is no member, or means an earlier life of this one: as no call that is relayed is refused."""
        if not hmac.compare_digest(token.encode(), self._membership.own.token.encode()):
            raise Unauthenticated(Reason.NO_IDENTITY, "token: not this member's, or that of an earlier life of it")

    def reserve(self, request: pb.ReserveRequest, _actor: Actor) -> bytes:
        """Reserve."""
        self._check(request.token)
        service_id = request.service_id
        entry = self._coordinator.registry.get(service_id)
        if request.namespace != entry.spec.namespace:  # another service has its id by now, or had it there
            raise no_such_service(service_id)
        if entry.owner is not None:
            message = f"{service_id!r} is another member's"
            raise ResourceExhausted(Reason.NO_FREE_SLOT, message, retry_after_s=DOUBT_RETRY_S)
        if self._balancing.shaken:  # others may have taken what this member takes for its own
            raise Unavailable(Reason.NO_READY_SERVICE, "this member stood still", retry_after_s=DOUBT_RETRY_S)
        wanted = SelectionRequest(
            caller=request.caller,
            ttl_s=decode_span("lease_ttl", request.lease_ttl) if request.HasField("lease_ttl") else None,
            allow_degraded=request.allow_degraded,
            request_id=request.request_id,
            payload=request.payload,
            stream=request.stream,
        )
        now = self._coordinator.selections.now()
        self._asked.note(service_id, now.mono)
        lease = self._balancing.reserve(service_id, wanted, now)
        return pb.ReserveResponse(
            selection_id=lease.selection_id,
            ttl=span_of(self._balancing.left_s(lease)),  # of a retry: what is left
            in_flight=lease.slots.in_flight,
        ).SerializeToString()

    async def relay(self, request: pb.RelayRequest, _actor: Actor) -> bytes:
        """Relay. That the caller is who the other member says, and may do what it says, is why that one has to prove
        that it is a member.
        """
        self._check(request.token)
        method = self._methods.get(request.method)
        if method is None:
            raise bad_field("method", "one that is relayed", request.method)
        message = parse_request(method.request.FromString, request.request)
        handler: Callable[..., object] = self._local[method.service][method.name]
        caller = Actor(identity=request.identity, rights=decode_rights(request.grants), address=request.address)
        try:
            self._door.judge_relayed(method, message, caller)
            lives_on = (request.stream,) if request.stream and method.name == RENEW else ()
            answer = handler(message, caller, *lives_on)
            if inspect.isawaitable(answer):
                answer = await answer
        except RegistryError as error:
            self._door.ends(caller, error, method)  # a denial is the caller's, not the other member's
            raise
        assert isinstance(answer, bytes)
        return pb.RelayResponse(response=answer).SerializeToString()

    async def hand_over(self, request: pb.HandOverRequest, _actor: Actor) -> bytes:
        """HandOver. What etcd says by now is read first: it is why the other asks."""
        self._check(request.token)
        answer = pb.HandOverResponse()
        for service_id in request.service_ids:
            await self._coordinator.let_go(service_id, request.owner)
            if service_id not in self._coordinator.registry:
                continue
            leases = self._balancing.granted_here(service_id)
            if leases:
                answer.held.add(
                    service_id=service_id, left=[span_of(self._balancing.left_s(lease)) for lease in leases]
                )
        return answer.SerializeToString()

    def end_stream(self, request: pb.EndStreamRequest, _actor: Actor) -> bytes:
        """EndStream."""
        self._check(request.token)
        if "/" not in request.stream:
            raise bad_field("stream", "another member's: its life, a slash and a name", request.stream)
        self._balancing.stream_ended(request.stream, self._coordinator.selections.now())
        return b""

    async def watch_load(self, request: pb.WatchLoadRequest, _actor: Actor, stream: Stream) -> None:
        """WatchLoad."""
        self._check(request.token)
        telling = LoadTelling(self._coordinator, self._asked)
        while self._coordinator.serving:
            if (news := telling.news(self._coordinator.selections.now().mono)) is not None:
                await stream.write(news.SerializeToString())
            await asyncio.sleep(TELL_S)
        raise stopping()
