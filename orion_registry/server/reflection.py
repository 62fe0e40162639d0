"""Server reflection, v1 and v1alpha: how grpcurl and its like learn the API.

The two differ in their package name alone (gRFC A15), and grpcio-reflection ships v1alpha, so v1 answers with the same
messages. Only v1's own description is missing, and made here by renaming.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any, cast

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2

from orion_registry.core.model import Actor
from orion_registry.server.methods import REFLECTION_ALPHA_SERVICE, REFLECTION_SERVICE
from orion_registry.server.stream import Stream
from orion_registry.server.wrapper import Handlers, stopping

_NOT_FOUND, _INVALID_ARGUMENT = 5, 3
Request = reflection_pb2.ServerReflectionRequest
Response = reflection_pb2.ServerReflectionResponse


def _v1_pool() -> descriptor_pool.DescriptorPool:
    """A pool that knows v1's own file; apart from the default one, where somebody else may define it."""
    v1 = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(v1)
    v1.ClearField("options")  # of other languages; and "deprecated", which v1 is not
    v1.name, v1.package = "grpc/reflection/v1/reflection.proto", "grpc.reflection.v1"
    for message in v1.message_type:
        for field in message.field:
            if field.type_name:  # a type name that is set, even to nothing, says: not a scalar
                field.type_name = field.type_name.replace("v1alpha", "v1")
    for method in v1.service[0].method:
        method.input_type = method.input_type.replace("v1alpha", "v1")
        method.output_type = method.output_type.replace("v1alpha", "v1")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(v1)
    return pool


class Reflection:
    """Answers what the daemon serves and how its messages look."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted(services)
        self._pools = (descriptor_pool.Default(), _v1_pool())
        self._closing = asyncio.Event()

    @property
    def handlers(self) -> Handlers:
        """The methods of both versions."""
        methods = {"ServerReflectionInfo": self.answer_all}
        return {REFLECTION_SERVICE: methods, REFLECTION_ALPHA_SERVICE: methods}

    def close(self) -> None:
        """Ends every stream."""
        self._closing.set()

    async def answer_all(self, _actor: Actor, stream: Stream) -> None:
        """One answer for each question, until the client is done.

        Raises:
            Unavailable: NOT_SERVING, the daemon stops.
        """
        closing = asyncio.ensure_future(self._closing.wait())
        question: asyncio.Future[Request | None] | None = None
        try:
            while True:
                question = asyncio.ensure_future(stream.read())
                await asyncio.wait({question, closing}, return_when=asyncio.FIRST_COMPLETED)
                if not question.done():
                    raise stopping()
                request = question.result()
                if request is None:
                    return
                await stream.write(self.answer(request).SerializeToString())
        finally:
            closing.cancel()
            # A read that is still pending ends by itself with the call; to cancel it would leak in gRPC's core.
            if question is not None:
                question.add_done_callback(_forget)

    def answer(self, request: Request) -> Response:
        """The answer to one question; a wrong question is answered, too."""
        response = Response(valid_host=request.host, original_request=request)
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._add_files(response, self._by_name(request.file_by_filename))
            case "file_containing_symbol":
                self._add_files(response, self._by_symbol(request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                self._add_files(response, self._by_extension(wanted.containing_type, wanted.extension_number))
            case "all_extension_numbers_of_type":
                self._add_extensions(response, request.all_extension_numbers_of_type)
            case _:
                _set_error(response, _INVALID_ARGUMENT, "message_request: must be set")
        return response

    def _by_name(self, name: str) -> FileDescriptor | None:
        for pool in self._pools:
            with contextlib.suppress(KeyError):
                return pool.FindFileByName(name)
        return None

    def _by_symbol(self, name: str) -> FileDescriptor | None:
        for pool in self._pools:
            with contextlib.suppress(KeyError):
                return pool.FindFileContainingSymbol(name)
            with contextlib.suppress(KeyError):  # protobuf looks for no methods there
                method: Any = pool.FindMethodByName(name)
                return cast("FileDescriptor", method.containing_service.file)
            with contextlib.suppress(KeyError):  # nor for values by the name that people give them, Enum.VALUE
                enum, _, value = name.rpartition(".")
                return pool.FindEnumTypeByName(enum).values_by_name[value].type.file
        return None

    def _by_extension(self, containing_type: str, number: int) -> FileDescriptor | None:
        for pool in self._pools:
            with contextlib.suppress(KeyError):
                extended = pool.FindMessageTypeByName(containing_type)
                extension: Any = pool.FindExtensionByNumber(extended, number)
                return cast("FileDescriptor", extension.file)
        return None

    def _add_extensions(self, response: Response, containing_type: str) -> None:
        for pool in self._pools:
            with contextlib.suppress(KeyError):
                extended = pool.FindMessageTypeByName(containing_type)
                numbers = sorted(found.number for found in pool.FindAllExtensions(extended))
                response.all_extension_numbers_response.base_type_name = extended.full_name
                response.all_extension_numbers_response.extension_number.extend(numbers)
                return
        _set_error(response, _NOT_FOUND, f"no message type {_shown(containing_type)}")

    def _add_files(self, response: Response, file: FileDescriptor | None) -> None:
        """Adds a file and, so that one answer is enough, all that it imports."""
        if file is None:
            _set_error(response, _NOT_FOUND, "no such file, symbol or extension")
            return
        found: dict[str, FileDescriptor] = {}
        _collect(file, found)
        for each in found.values():
            response.file_descriptor_response.file_descriptor_proto.append(each.serialized_pb)


def _collect(file: FileDescriptor, found: dict[str, FileDescriptor]) -> None:
    if file.name not in found:
        found[file.name] = file
        for imported in file.dependencies:
            _collect(imported, found)


def _set_error(response: Response, code: int, message: str) -> None:
    response.error_response.error_code = code
    response.error_response.error_message = message


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")


def _forget(question: "asyncio.Future[Request | None]") -> None:
    if not question.cancelled():
        question.exception()
