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
from orion_registry.etcd.failures import (
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnreachable,
    cut_off,
    failure_of,
    is_token_refused,
)
from orion_registry.etcd.tls_advice import TlsSettings, explained

log = logging.getLogger("orion_registry")

M = TypeVar("M", bound=Message)

_WHY_S = 0.25
"""How long to wait for gRPC to say why a connection did not come about; where the peer hangs it never does."""

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
        self._logging_in = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self.heard_at: float | None = None
        """Loop seconds of the last answer of any kind; None = there was none."""
        self.trouble = ""
        """Why nothing could be connected to of late; empty since something was heard."""

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
            if self._channel is not None and self._written != (written := self.config.written()):
                await self._renew(self._channel, written)
            if self._channel is not None and self._channel.get_state() is grpc.ChannelConnectivity.READY:
                return self._channel
            found = []
            for _ in self.config.endpoints:
                channel = self._channel or self._open()
                try:
                    async with asyncio.timeout(self.config.connect_s):
                        await channel.channel_ready()
                except TimeoutError:
                    found.append(f"{self.endpoint}: {await self._why(channel)}")
                    self._next()
                    continue
                except grpc.aio.UsageError:  # closed meanwhile: a call that was under way on it has failed
                    found.append("another call failed there")
                    continue
                return channel
        self.trouble = "; ".join(found)
        raise EtcdUnreachable(f"no endpoint could be connected to: {self.trouble}")

    async def _renew(self, old: grpc.aio.Channel, written: tuple[int, ...]) -> None:
        """The files have changed: they are taken if a connection comes about with them, or if there is none to lose."""
        self._channel = None
        if old.get_state() is grpc.ChannelConnectivity.READY:
            try:
                fresh = self._open()
                async with asyncio.timeout(self.config.connect_s):
                    await fresh.channel_ready()
            except (TimeoutError, EtcdUnreachable) as error:
                why = str(error) or await self._why(fresh)
                log.warning("new certificate is of no use at etcd, the old one goes on", extra={"error": why})
                self._drop()
                self._channel, self._written = old, written
                return
        self._close(old)

    async def _why(self, channel: grpc.aio.Channel) -> str:
        """Why a connection did not come about. A channel does not say; a call on it that fails does."""
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/etcdserverpb.Maintenance/Status")
        try:
            await ask(b"", timeout=_WHY_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return explained(error.details() or "", self._tls)
        return f"no connection within {self.config.connect_s:g} s"

    @property
    def _tls(self) -> TlsSettings:
        return TlsSettings(
            spoken=bool(self.config.ca_file),
            authorities="etcd_ca_file",
            certificate="etcd_cert_file and etcd_key_file",
        )

    def failed(self, endpoint: str) -> None:
        """A call there came to nothing: the next one goes to the next endpoint."""
        if endpoint == self.endpoint and len(self.config.endpoints) > 1:
            self._next()

    def heard(self) -> None:
        """Something came back."""
        self.heard_at = asyncio.get_running_loop().time()
        self.trouble = ""

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
            metadata = await self.metadata()
            try:
                got: M = await call(request, timeout=timeout_s, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if metadata and is_token_refused(error) and not attempt:
                    self.forget_token(metadata)
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
        async with self._logging_in:  # many calls are told at once that a token is worth nothing: one asks for the next
            if not self._token:
                self._token = await self._log_in()
        return (("token", self._token),)

    async def _log_in(self) -> str:
        """A new token."""
        channel, endpoint, user = await self.channel(), self.endpoint, self.config.user
        call = channel.unary_unary(
            "/etcdserverpb.Auth/Authenticate",
            request_serializer=pb.AuthenticateRequest.SerializeToString,
            response_deserializer=pb.AuthenticateResponse.FromString,
        )
        try:
            request = pb.AuthenticateRequest(name=user, password=self.config.secret())
        except OSError as error:
            raise EtcdRefused(f"etcd_password_file cannot be read: {(error.strerror or '').lower()}") from error
        try:
            answer = await call(request, timeout=self.config.timeout_s)
        except grpc.aio.AioRpcError as error:
            failure = failure_of(error, endpoint)
            if isinstance(failure, EtcdUnavailable):
                self.failed(endpoint)
                raise failure from error
            said = f"user {user!r} is not let in: check etcd_user and etcd_password_file ({error.details()})"
            raise EtcdRefused(f"{endpoint}: {said}") from error
        return answer.token

    def forget_token(self, metadata: tuple[tuple[str, str], ...]) -> None:
        """A call was told that its token is worth nothing: the next one asks for another. metadata: what it carried,
        for somebody may have asked by now.
        """
        if ("token", self._token) in metadata:
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
            self._close(channel)

    def _close(self, channel: grpc.aio.Channel) -> None:
        closing = asyncio.get_running_loop().create_task(channel.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
