"""Connections to the nodes of an etcd cluster: one at a time, the next one when it fails; and who we are there."""

from __future__ import annotations  # grpc's classes are generic for type checkers alone

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from orion_etcd_pb.v1 import etcd_pb2 as pb
from orion_registry.etcd.config import EtcdConfig
from orion_registry.etcd.failures import EtcdRefused, EtcdUnavailable, EtcdUnreachable, cut_off, failure_of

log = logging.getLogger("orion_registry")

M = TypeVar("M", bound=Message)

_OPTIONS = (
    # etcd takes PINGs 5 s apart at most (grpc-keepalive-min-time); a node that hangs is found sooner by calls' limits.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)


class Endpoints:
    """The one connection that is in use."""

    def __init__(self, config: EtcdConfig) -> None:
        self.config = config
        self._index = 0
        self._channel: grpc.aio.Channel | None = None
        self._written: tuple[int, ...] = ()
        self._token = ""
        self._connecting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self.heard_at: float | None = None
        """Loop seconds of the last answer of any kind; None = there was none."""

    @property
    def endpoint(self) -> str:
        """The one that is in use, or tried."""
        return self.config.endpoints[self._index]

    async def channel(self) -> grpc.aio.Channel:
        """A connection that is up.

        Waiting for one here keeps writes from being left open by a node that is down: they are sent only where
        somebody listens.

        Raises:
            EtcdUnreachable: no endpoint could be connected to.
        """
        async with self._connecting:
            if self._channel is not None and self._written != self.config.written():
                self._drop()
            if self._channel is not None and self._channel.get_state() is grpc.ChannelConnectivity.READY:
                return self._channel
            for _ in self.config.endpoints:
                channel = self._channel or self._open()
                try:
                    async with asyncio.timeout(self.config.connect_s):
                        await channel.channel_ready()
                except TimeoutError:
                    self._next()
                    continue
                return channel
        raise EtcdUnreachable(f"none of {', '.join(self.config.endpoints)} could be connected to")

    def failed(self, endpoint: str) -> None:
        """A call there came to nothing: the next one goes to the next endpoint."""
        if endpoint == self.endpoint and len(self.config.endpoints) > 1:
            self._next()

    def heard(self) -> None:
        """Something came back."""
        self.heard_at = asyncio.get_running_loop().time()

    async def unary(self, path: str, request: Message, answer: Callable[[bytes], M], timeout_s: float) -> M:
        """One call, sent once; after a refused token once more, for then nothing has happened.

        Raises:
            EtcdError: see `failures`.
        """
        for attempt in range(2):
            channel, endpoint = await self.channel(), self.endpoint
            call: grpc.aio.UnaryUnaryMultiCallable[Message, M] = channel.unary_unary(
                path, request_serializer=type(request).SerializeToString, response_deserializer=answer
            )
            try:
                got: M = await call(request, timeout=timeout_s, metadata=await self.metadata())
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAUTHENTICATED and self._token and not attempt:
                    self._token = ""
                    continue
                failure = failure_of(error, endpoint)
                if isinstance(failure, EtcdUnavailable):
                    self.failed(endpoint)
                else:
                    self.heard()
                raise failure from error
            except asyncio.CancelledError:
                raise cut_off(endpoint) from None
            self.heard()
            return got
        raise AssertionError  # the second attempt returned or raised

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries.

        Raises:
            EtcdRefused: etcd does not know the user.
        """
        if not self.config.user:
            return ()
        if not self._token:
            channel, endpoint = await self.channel(), self.endpoint
            call = channel.unary_unary(
                "/etcdserverpb.Auth/Authenticate",
                request_serializer=pb.AuthenticateRequest.SerializeToString,
                response_deserializer=pb.AuthenticateResponse.FromString,
            )
            request = pb.AuthenticateRequest(name=self.config.user, password=self.config.password)
            try:
                self._token = (await call(request, timeout=self.config.timeout_s)).token
            except grpc.aio.AioRpcError as error:
                failure = failure_of(error, endpoint)
                if isinstance(failure, EtcdUnavailable):
                    self.failed(endpoint)
                    raise failure from error
                raise EtcdRefused(f"{endpoint}: user {self.config.user!r} is not let in") from error
        return (("token", self._token),)

    def forget_token(self) -> None:
        """A stream was told that its token is worth nothing: the next call asks for another one."""
        self._token = ""

    async def close(self) -> None:
        """Closes the connection; calls still open end."""
        self._drop()
        await asyncio.gather(*self._closing)

    def _open(self) -> grpc.aio.Channel:
        self._written = self.config.written()
        try:
            credentials = self.config.credentials()
        except OSError as error:
            raise EtcdUnreachable(f"{error.filename} cannot be read: {(error.strerror or '').lower()}") from error
        if credentials is None:
            channel = grpc.aio.insecure_channel(self.endpoint, options=_OPTIONS)
        else:
            channel = grpc.aio.secure_channel(self.endpoint, credentials, options=_OPTIONS)
        self._channel = channel
        return channel

    def _next(self) -> None:
        self._drop()
        self._index = (self._index + 1) % len(self.config.endpoints)

    def _drop(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            closing = asyncio.get_running_loop().create_task(channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
