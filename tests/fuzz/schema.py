"""What the daemon serves, as it says itself over reflection: so an RPC that is new cannot be missed."""

from dataclasses import dataclass
from typing import Any

import grpc.aio
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

Fields = tuple[FieldDescriptor, ...]
"""A way into a message: field after field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """One RPC. `request` and `response` are message classes made from the descriptors that the daemon sent."""

    service: str
    method: str
    client_streams: bool
    server_streams: bool
    request: Any
    response: Any
    fields: tuple[Fields, ...]

    @property
    def path(self) -> str:
        """What HTTP/2 calls it."""
        return f"/{self.service}/{self.method}"

    @property
    def name(self) -> str:
        """Short, for tables."""
        package, _, service = self.service.rpartition(".")
        return f"{service}{' (v1alpha)' if package.endswith('alpha') else ''}.{self.method}"


async def learn(channel: grpc.aio.Channel, metadata: Any = ()) -> tuple[Rpc, ...]:
    """Asks the daemon for all that it serves; metadata: of each call."""
    listed = await _ask(channel, reflection_pb2.ServerReflectionRequest(list_services="*"), metadata)
    services = [service.name for service in listed.list_services_response.service]
    files: dict[str, FileDescriptorProto] = {}
    for service in services:
        answer = await _ask(channel, reflection_pb2.ServerReflectionRequest(file_containing_symbol=service), metadata)
        for data in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(data)
            files[file.name] = file
    pool = _pool_of(files)
    return tuple(_rpc(pool, service, method) for service in services for method in _methods(pool, service))


async def _ask(
    channel: grpc.aio.Channel, question: reflection_pb2.ServerReflectionRequest, metadata: Any
) -> reflection_pb2.ServerReflectionResponse:
    call = channel.stream_stream(
        REFLECTION,
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(metadata=metadata, timeout=10)
    await call.write(question)
    await call.done_writing()
    answer = await call.read()
    assert isinstance(answer, reflection_pb2.ServerReflectionResponse), question
    return answer


def _pool_of(files: dict[str, FileDescriptorProto]) -> descriptor_pool.DescriptorPool:
    """A pool of these files, each added after those that it imports."""
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(name: str) -> None:
        if name not in added:
            added.add(name)
            for imported in files[name].dependency:
                add(imported)
            pool.Add(files[name])

    for name in files:
        add(name)
    return pool


def _methods(pool: descriptor_pool.DescriptorPool, service: str) -> list[Any]:
    return list(pool.FindServiceByName(service).methods)


def _rpc(pool: descriptor_pool.DescriptorPool, service: str, method: Any) -> Rpc:
    return Rpc(
        service=service,
        method=method.name,
        client_streams=method.client_streaming,
        server_streams=method.server_streaming,
        request=message_factory.GetMessageClass(method.input_type),
        response=message_factory.GetMessageClass(method.output_type),
        fields=tuple(_fields_below(method.input_type, (), ())),
    )


def _fields_below(descriptor: Any, way: Fields, types: tuple[str, ...]) -> list[Fields]:
    """Every way to a field below a type. A type within itself (Struct, Value) is entered once."""
    found: list[Fields] = []
    for field in descriptor.fields:
        found.append((*way, field))
        inner = field.message_type
        if inner is not None and inner.full_name not in types:
            found += _fields_below(inner, (*way, field), (*types, inner.full_name))
    return found


def name_of(way: Fields) -> str:
    """A way as text, such as service.metadata.fields.key."""
    return ".".join(field.name for field in way)
