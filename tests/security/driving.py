"""One call of any RPC, and what came of it: OK, or a code with its reason."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from orion_registry.errors import CLASS_OF, Reason
from orion_registry_pb.v1.errors_pb2 import ErrorReason
from tests.fuzz.answers import reason_of
from tests.fuzz.schema import Rpc

Metadata = tuple[tuple[str, str | bytes], ...]
OK = "OK"
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_PREFIX = "ERROR_REASON_"


def code_of(reason: str) -> str:
    """The name of the code that a reason always comes with."""
    return _CODES[CLASS_OF[Reason[reason]].code]


async def drive(channel: grpc.aio.Channel, rpc: Rpc, frames: Sequence[bytes], metadata: Metadata, reads: int) -> str:
    """Sends frames, reads some answers, and cancels the call if it goes on.

    Returns: OK, or CODE/REASON of its status, or of the first error within an answer.
    """
    found = await _drive(channel, rpc, frames, metadata, reads)
    if found == "INTERNAL/none" and rpc.client_streams:
        # What gRPC's client makes of an answer that came before it had sent all: seen once in 3,000 refused streams.
        found = await _drive(channel, rpc, frames, metadata, reads)
    return found


async def _drive(channel: grpc.aio.Channel, rpc: Rpc, frames: Sequence[bytes], metadata: Metadata, reads: int) -> str:
    call = _opened(channel, rpc, frames, metadata)
    try:
        return await _converse(call, rpc, frames, reads)
    except grpc.aio.AioRpcError as error:
        return _status(error.code(), error.trailing_metadata())
    except asyncio.InvalidStateError:  # written to a call that is over
        return _status(await call.code(), await call.trailing_metadata())
    finally:
        call.cancel()


def _opened(channel: grpc.aio.Channel, rpc: Rpc, frames: Sequence[bytes], metadata: Metadata) -> Any:
    if rpc.client_streams:
        return channel.stream_stream(rpc.path)(metadata=metadata, timeout=30)
    opener: Any = channel.unary_stream(rpc.path)  # what is read is a stream of one
    return opener(frames[0], metadata=metadata, timeout=30)


async def _converse(call: Any, rpc: Rpc, frames: Sequence[bytes], reads: int) -> str:
    if rpc.client_streams:
        for frame in frames:
            await call.write(frame)
        if not rpc.server_streams:
            await call.done_writing()
    for _ in range(reads):
        data = await call.read()
        if data is grpc.aio.EOF:
            return _status(await call.code(), await call.trailing_metadata())
        if found := error_in(rpc.response.FromString(data)):
            return found
    return OK


def error_in(message: Message) -> str:
    """CODE/REASON of the first error within an answer; empty if there is none."""
    if message.DESCRIPTOR.full_name == "orion.registry.v1.Error":
        given: Any = message
        reason = ErrorReason.Name(given.reason).removeprefix(_PREFIX)
        return f"{_CODES[given.code]}/{reason}"
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for inner in value if field.is_repeated else (value,):
            if found := error_in(inner):
                return found
    return ""


def _status(code: grpc.StatusCode, trailers: Any) -> str:
    if code is grpc.StatusCode.OK:
        return OK
    reason = reason_of(trailers)
    return f"{code.name}/{'none' if reason is None else reason.name}"
