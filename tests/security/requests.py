"""A request of every RPC that the right caller is answered OK: about a service of the owner's, made for it alone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio

from orion_registry_pb.v1 import admin_pb2, balancer_pb2, registry_pb2, service_pb2
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1.admin_pb2_grpc import AdminServiceStub
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.security.driving import Metadata

NAMESPACE = "pay"
SECRET = "s" * 43
STREAM, TTL, STATIC = 1, 2, 4
SERVICES = "orion.registry.v1."


@dataclass
class Ground:
    """Where services are registered: by their owner, who shows what it has to show."""

    channel: grpc.aio.Channel
    owner: Metadata
    made: int = 0
    service_id: str = ""
    """Of the service made last."""
    snapshot: tuple[bytes, ...] = ()

    async def ref(self, liveness: int = STATIC, **fields: Any) -> service_pb2.SessionRef:
        """The right to act for a new service."""
        self.made += 1
        service = service_pb2.ServiceInfo(
            namespace=NAMESPACE,
            agent_id=f"agent-{self.made}",
            service_name="pay",
            host="127.0.0.1",
            port=80,
            liveness=liveness,  # type: ignore[arg-type] # a number does as well
            **fields,
        )
        request = registry_pb2.RegisterServiceRequest(service=service, secret=SECRET)
        stub: Any = RegistryServiceStub(self.channel)
        done = await stub.RegisterService(request, metadata=self.owner)
        self.service_id = done.service.service_id
        return service_pb2.SessionRef(service_id=self.service_id, epoch=done.service.epoch, secret=SECRET)

    async def id(self, **fields: Any) -> str:
        """The service_id of a new service."""
        return (await self.ref(**fields)).service_id

    async def selector(self) -> service_pb2.Selector:
        """Finds a new service alone."""
        await self.ref()
        return service_pb2.Selector(namespace=NAMESPACE, agent_id=f"agent-{self.made}")

    async def lease(self) -> str:
        """The owner's lease on a new service."""
        request = balancer_pb2.SelectServiceRequest(selector=await self.selector())
        stub: Any = BalancerServiceStub(self.channel)
        done = await stub.SelectService(request, metadata=self.owner)
        return str(done.selections[0].selection_id)

    async def exported(self) -> tuple[bytes, ...]:
        """Pieces of a snapshot, as an import takes them."""
        if not self.snapshot:
            stub: Any = AdminServiceStub(self.channel)
            call = stub.ExportSnapshot(admin_pb2.ExportSnapshotRequest(), metadata=self.owner)
            self.snapshot = tuple([piece.chunk async for piece in call])
        return self.snapshot


Frames = list[Any]
Maker = Callable[[Ground], Awaitable[Frames]]
"""Makes the messages of one call, and what they are about."""


def plain(message: Any) -> Maker:
    """A message that is about nothing."""

    async def make(_ground: Ground) -> Frames:
        return [message]

    return make


def with_ref(request: type[Any], liveness: int = STATIC, **fields: Any) -> Maker:
    """A message with the right to act for a service."""

    async def make(ground: Ground) -> Frames:
        return [request(ref=await ground.ref(liveness), **fields)]

    return make


def with_id(request: type[Any], **fields: Any) -> Maker:
    """A message that names a service."""

    async def make(ground: Ground) -> Frames:
        return [request(service_id=await ground.id(**fields))]

    return make


def with_selector(request: type[Any], **fields: Any) -> Maker:
    """A message with a query."""

    async def make(ground: Ground) -> Frames:
        return [request(selector=await ground.selector(), **fields)]

    return make


def command(kind: str, maker: Maker) -> Maker:
    """A command of a Route stream."""

    async def make(ground: Ground) -> Frames:
        (request,) = await maker(ground)
        return [balancer_pb2.RouteRequest(commands=[balancer_pb2.RouteCommand(id=1, **{kind: request})])]

    return make


async def register(ground: Ground) -> Frames:
    """A claim of a service, with its secret."""
    await ground.ref()
    service = service_pb2.ServiceInfo(
        namespace=NAMESPACE,
        agent_id=f"agent-{ground.made}",
        service_name="pay",
        host="127.0.0.1",
        port=81,
        liveness=STATIC,  # type: ignore[arg-type] # a number does as well
    )
    return [registry_pb2.RegisterServiceRequest(service=service, secret=SECRET)]


async def update(ground: Ground) -> Frames:
    """A change of a service's port."""
    request = registry_pb2.UpdateServiceRequest(ref=await ground.ref(), service=service_pb2.ServiceInfo(port=82))
    request.update_mask.paths.append("port")
    return [request]


async def hello(ground: Ground) -> Frames:
    """The first frame of a stream that carries a service."""
    session = hb.Session(ref=await ground.ref(STREAM))
    return [hb.HeartbeatRequest(hello=hb.Hello(agent_id=f"agent-{ground.made}", sessions=[session]))]


async def release(ground: Ground) -> Frames:
    """The end of a lease."""
    return [balancer_pb2.ReleaseServiceRequest(selection_id=await ground.lease())]


async def renew(ground: Ground) -> Frames:
    """A longer life for a lease."""
    return [balancer_pb2.RenewSelectionsRequest(selection_ids=[await ground.lease()])]


async def explain(ground: Ground) -> Frames:
    """A question about a query."""
    wanted = balancer_pb2.SelectServiceRequest(selector=await ground.selector())
    return [balancer_pb2.ExplainSelectionRequest(request=wanted)]


async def overlay_by_key(ground: Ground) -> Frames:
    """Drains the service of a natural key."""
    await ground.ref()
    key = {"namespace": NAMESPACE, "agent_id": f"agent-{ground.made}", "service_name": "pay"}
    return [admin_pb2.SetOverlayRequest(key=key, mode=2)]  # type: ignore[arg-type] # a mapping and a number do as well


async def overlay_by_id(ground: Ground) -> Frames:
    """Drains the service of a service_id."""
    return [admin_pb2.SetOverlayRequest(key={"service_id": await ground.id()}, mode=2)]  # type: ignore[arg-type] # as above


async def snapshot(ground: Ground) -> Frames:
    """A whole snapshot file."""
    return [admin_pb2.ImportSnapshotRequest(chunk=chunk) for chunk in await ground.exported()]
