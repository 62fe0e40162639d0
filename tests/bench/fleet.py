"""Registered services to measure on, made with the SDK's own encoders."""

import asyncio
from dataclasses import dataclass
from typing import Any

from orion_registry.client.credentials import PLAINTEXT, Credentials
from orion_registry.core.frames import Beat, Hello, SessionRequest
from orion_registry.core.model import LivenessMode, Load, ServiceSpec, SessionRef
from orion_registry.wire.requests import encode_agent_frame, encode_ref, encode_spec
from orion_registry_pb.v1 import registry_pb2, service_pb2
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


AT_ONCE = 32
"""Registrations under way."""


async def register(
    address: str, names: list[str], capability: str, credentials: Credentials = PLAINTEXT, *, slots: int = 64
) -> list[Agent]:
    """Registers one service for each agent name, of the size that agents have: some labels, some metadata."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with credentials.open_channel(address, ()) as channel:
        stub = RegistryServiceStub(channel)

        async def one(name: str) -> Agent:
            async with gate:
                return _agent(name, (await _register(stub, spec_of(name, capability, slots=slots))).service)

        return list(await asyncio.gather(*map(one, names)))


def spec_of(
    name: str, capability: str, *, slots: int = 64, liveness: LivenessMode = LivenessMode.STREAM
) -> ServiceSpec:
    """What an agent registers."""
    return ServiceSpec(
        agent_id=name, service_name="worker", port=7000, protocol="grpc", zone="eu-1a",
        capabilities=(capability, "summarise", "translate"), tags=("prod", "gpu", "v2"),
        metadata_json=METADATA, max_concurrency=slots, liveness=liveness,
    )  # fmt: skip


async def change_request(address: str, number: str) -> bytes:
    """Registers a service without a stream; returns the request of an UpdateService that sets its version to a text."""
    async with PLAINTEXT.open_channel(address, ()) as channel:
        spec = spec_of("changing", "change", liveness=LivenessMode.STATIC)
        service = (await _register(RegistryServiceStub(channel), spec)).service
    request = registry_pb2.UpdateServiceRequest(ref=encode_ref(_ref(spec.agent_id, service)))
    request.service.version = number
    request.update_mask.paths.append("version")
    return request.SerializeToString()


async def _register(stub: Any, spec: ServiceSpec) -> registry_pb2.RegisterServiceResponse:
    request = registry_pb2.RegisterServiceRequest(service=encode_spec(spec), secret=_secret(spec.agent_id))
    answer: registry_pb2.RegisterServiceResponse = await stub.RegisterService(request)
    return answer


def _secret(name: str) -> str:
    return f"{name:-<32}"


def _ref(name: str, service: service_pb2.ServiceInfo) -> SessionRef:
    return SessionRef(service_id=service.service_id, epoch=service.epoch, secret=_secret(name))


def _agent(name: str, service: service_pb2.ServiceInfo) -> Agent:
    ref = _ref(name, service)
    hello = Hello(agent_id=name, sdk="bench", sessions=(SessionRequest(ref=ref, load=LOAD),))
    idle = Hello(agent_id=name, sdk="bench", sessions=(SessionRequest(ref=ref),))
    first, free = (encode_agent_frame(frame).SerializeToString() for frame in (hello, idle))
    return Agent(service_id=service.service_id, hello=first, idle_hello=free)
