"""Calls that send and receive bytes: what a client says before any library has tidied it up."""

import grpc.aio

OWN = (("grpc.use_local_subchannel_pool", 1),)
"""A connection of its own for every channel."""


async def unary(channel: grpc.aio.Channel, path: str, data: bytes = b"", timeout_s: float = 5.0) -> bytes:
    """One unary call."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    return await call(data, timeout=timeout_s)


def server_stream(channel: grpc.aio.Channel, path: str, data: bytes = b"") -> "grpc.aio.UnaryStreamCall[bytes, bytes]":
    """A call that streams back."""
    call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
    return call(data)


def bidi(channel: grpc.aio.Channel, path: str) -> "grpc.aio.StreamStreamCall[bytes, bytes]":
    """A call that streams both ways."""
    call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(path)
    return call(timeout=30.0)


async def message(call: "grpc.aio.UnaryStreamCall[bytes, bytes] | grpc.aio.StreamStreamCall[bytes, bytes]") -> bytes:
    """The next message; fails at the end of the stream."""
    data = await call.read()
    assert isinstance(data, bytes), "the stream has ended"
    return data
