"""A coordinator behind the real wrapper on a real port, with nothing of the daemon around it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio

from orion_registry.core.access.rights import EVERYTHING, Rights
from orion_registry.core.config import RegistryConfig
from orion_registry.core.model import Actor
from orion_registry.runtime.clock import SystemClock
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.accepting import open_server, serve
from orion_registry.server.door import Door
from orion_registry.server.methods import REGISTRY_METHODS, Kind, Method
from orion_registry.server.registry_service import RegistryService
from orion_registry.server.wrapper import Handler, build_handlers
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.entropy import SeededEntropy
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import registry_pb2_grpc as stubs
from orion_registry_pb.v1 import service_pb2

MIB = 1024 * 1024
OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MIB), ("grpc.http2.bdp_probe", 0))
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


def nothing_registered() -> Any:
    """Where no call looks a service up."""
    raise AssertionError


@asynccontextmanager
async def serving(
    table: Iterable[Method],
    handlers: Mapping[str, Mapping[str, Handler]],
    gate: Any = lambda: True,
    registry: Any = None,
    rights: Rights = EVERYTHING,
    address: str = "127.0.0.1:0",
    options: Sequence[tuple[str, int]] = OPTIONS,
) -> AsyncIterator[str]:
    """The address at which the table is served."""
    server = open_server(options)
    known = None if rights is EVERYTHING else lambda _context: Actor(identity="somebody", rights=rights)
    door = Door(gate, registry or nothing_registered, identify=known)
    serve(server, build_handlers(table, handlers, door))
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
    finally:
        await server.stop(0.2)


@dataclass
class Served:
    coordinator: Coordinator
    address: str
    stub: "stubs.RegistryServiceAsyncStub"
    channel: grpc.aio.Channel

    async def register(
        self, agent_id: str = "agent", service_name: str = "sum", **fields: Any
    ) -> service_pb2.SessionRef:
        info = service_pb2.ServiceInfo(agent_id=agent_id, service_name=service_name, host="10.0.0.1", port=80, **fields)
        answer = await self.stub.RegisterService(pb.RegisterServiceRequest(service=info))
        return service_pb2.SessionRef(
            service_id=answer.service.service_id, epoch=answer.service.epoch, secret=answer.secret
        )

    async def heartbeat(self, *refs: service_pb2.SessionRef, agent_id: str = "agent") -> "Call":
        """A stream after its hello was answered."""
        call = self.stub.Heartbeat()
        sessions = [hb.Session(ref=ref) for ref in refs]
        await call.write(hb.HeartbeatRequest(hello=hb.Hello(agent_id=agent_id, sessions=sessions)))
        assert (await read(call)).HasField("welcome")
        results = (await read(call)).sessions.results
        assert len(results) == len(refs)
        assert not any(result.HasField("error") for result in results), results
        return call


Call = grpc.aio.StreamStreamCall[hb.HeartbeatRequest, hb.HeartbeatResponse]


def raw(channel: grpc.aio.Channel, method: Method) -> Any:
    """A multi-callable of bytes."""
    openers: dict[Kind, Any] = {
        Kind.UNARY: channel.unary_unary,
        Kind.SERVER_STREAM: channel.unary_stream,
        Kind.BIDI: channel.stream_stream,
    }
    return openers[method.kind](method.path)


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Polls: what is waited for has no event of its own."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def read(call: Any) -> Any:
    message = await call.read()
    assert message is not grpc.aio.EOF, await call.code()
    return message


@asynccontextmanager
async def served_registry(address: str = "127.0.0.1:0") -> AsyncIterator[Served]:
    """RegistryService over a real coordinator with a memory store."""
    coordinator = Coordinator(
        config=RegistryConfig(admission_rate=1_000_000.0),
        store=MemoryStore(),
        clock=SystemClock(),
        entropy=SeededEntropy(),
    )
    service = RegistryService(coordinator)
    async with serving(REGISTRY_METHODS, service.handlers, lambda: coordinator.serving, address=address) as bound:
        await coordinator.start()
        async with grpc.aio.insecure_channel(bound, options=OWN_CONNECTION) as channel:
            stub: Any = stubs.RegistryServiceStub(channel)
            yield Served(coordinator, bound, stub, channel)
        if coordinator.serving:
            await coordinator.stop()
