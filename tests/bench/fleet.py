"""Registered services to measure on, made with the SDK's own encoders."""

from dataclasses import dataclass

from orion_registry.client.credentials import PLAINTEXT, Credentials
from orion_registry.core.frames import Beat, Hello, SessionRequest
from orion_registry.core.model import Load, ServiceSpec, SessionRef
from orion_registry.wire.requests import encode_agent_frame, encode_spec
from orion_registry_pb.v1 import registry_pb2
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub

LOAD = Load(in_flight=3, queue_depth=1, utilization=0.375)
METADATA = '{"framework":"langgraph","model":"large-2","owner":"team-search","region":"eu-1"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A registered agent with one service, not yet on a stream."""

    service_id: str
    hello: bytes
    """Its first frame."""
    idle_hello: bytes
    """The same, without load: all slots are free."""
    beat: str = encode_agent_frame(Beat(seq=1)).SerializeToString().hex()
    """A beat, as hex."""


async def register(
    address: str, names: list[str], capability: str, credentials: Credentials = PLAINTEXT
) -> list[Agent]:
    """Registers one service for each agent name, of the size that agents have: some labels, some metadata."""
    agents = []
    async with credentials.open_channel(address, ()) as channel:
        stub = RegistryServiceStub(channel)
        for name in names:
            secret = f"{name:-<32}"
            spec = ServiceSpec(
                agent_id=name, service_name="worker", port=7000, protocol="grpc", zone="eu-1a",
                capabilities=(capability, "summarise", "translate"), tags=("prod", "gpu", "v2"),
                metadata_json=METADATA, max_concurrency=64,
            )  # fmt: skip
            request = registry_pb2.RegisterServiceRequest(service=encode_spec(spec), secret=secret)
            service = (await stub.RegisterService(request)).service
            ref = SessionRef(service_id=service.service_id, epoch=service.epoch, secret=secret)
            hello = Hello(agent_id=name, sdk="bench", sessions=(SessionRequest(ref=ref, load=LOAD),))
            idle = Hello(agent_id=name, sdk="bench", sessions=(SessionRequest(ref=ref),))
            first, free = (encode_agent_frame(frame).SerializeToString() for frame in (hello, idle))
            agents.append(Agent(service_id=service.service_id, hello=first, idle_hello=free))
    return agents
