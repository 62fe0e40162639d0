"""A lease that is kept: asked for, renewed three times in its span, and asked for anew when it was lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio

from orion_etcd_pb.v1 import etcd_pb2 as pb
from orion_registry.etcd.client import Etcd
from orion_registry.etcd.failures import EtcdError, EtcdLeaseLost, cut_off, failure_of, is_token_refused

log = logging.getLogger("orion_registry")

RETRY_S = 0.2
"""Pause after a failure: etcd itself needs a second to elect a leader."""

Granted = Callable[[int], Awaitable[None]]
"""Takes a new lease. Raises EtcdError if nothing could be put on it; then another one is asked for."""


class KeptLease:
    """Keeps one lease for as long as it runs.

    Args:
        etcd: who gives it.
        ttl_s: how long it lasts if it is not renewed.
        granted: puts on it what goes with it, each time it is a new one.
    """

    def __init__(self, etcd: Etcd, ttl_s: int, granted: Granted) -> None:
        self._etcd = etcd
        self._ttl_s = ttl_s
        self._granted = granted
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self.lease = 0
        """The lease; 0 while there is none."""

    async def start(self) -> None:
        """Returns once the first one is there and `granted` has taken it.

        Raises:
            EtcdError: it did not come to that.
        """
        await self._grant()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="etcd-lease")

    async def stop(self) -> None:
        """Ends the lease, and what is on it, if etcd answers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self.lease:
            try:
                await self._etcd.revoke(self.lease)
            except EtcdError as error:
                log.info("the lease was left to expire", extra={"error": str(error)})

    async def _grant(self) -> None:
        self.lease = 0
        lease = await self._etcd.grant(self._ttl_s)
        await self._granted(lease)
        self.lease = lease

    async def _run(self) -> None:
        while True:
            try:
                if not self.lease:
                    await self._grant()
                    log.warning("a new lease was needed", extra={"ttl_s": self._ttl_s})
                await self._keep()
            except EtcdLeaseLost:
                self.lease = 0
            except EtcdError as error:
                log.debug("the lease could not be renewed", extra={"error": str(error)})
                await asyncio.sleep(RETRY_S)

    async def _keep(self) -> None:
        """Renews it on one stream until that ends.

        Raises:
            EtcdLeaseLost: it is gone.
            EtcdError: no answer came in time, or the stream ended.
        """
        endpoints = self._etcd.endpoints
        channel, endpoint = await endpoints.channel(), endpoints.endpoint
        open_stream = channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=pb.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=pb.LeaseKeepAliveResponse.FromString,
        )
        answered = asyncio.Event()
        metadata = await endpoints.metadata()
        call = open_stream(self._beats(answered), metadata=metadata)
        guard = asyncio.get_running_loop().create_task(self._guard(call, answered))
        try:
            async for answer in call:
                endpoints.heard()
                answered.set()
                if answer.ttl <= 0:
                    raise EtcdLeaseLost(f"lease {self.lease:x}")
            endpoints.failed(endpoint)
            raise EtcdError(f"{endpoint}: the stream ended")
        except grpc.aio.AioRpcError as error:
            if is_token_refused(error):
                endpoints.forget_token(metadata)
            failure = failure_of(error, endpoint)
            if not isinstance(failure, EtcdLeaseLost):
                endpoints.failed(endpoint)
            raise failure from error
        except asyncio.CancelledError:  # the guard ended it, or somebody gave up the connection
            failure = cut_off(endpoint)
            endpoints.failed(endpoint)
            raise failure from None
        finally:
            guard.cancel()
            call.cancel()

    async def _beats(self, answered: asyncio.Event) -> AsyncIterator[pb.LeaseKeepAliveRequest]:
        while True:
            answered.clear()
            yield pb.LeaseKeepAliveRequest(id=self.lease)
            await asyncio.sleep(self._ttl_s / 3)

    async def _guard(self, call: grpc.aio.RpcContext, answered: asyncio.Event) -> None:
        """Ends a stream that nobody answers on any more; a third of the span is left then to try elsewhere."""
        while True:
            try:
                async with asyncio.timeout(self._etcd.config.timeout_s + self._ttl_s / 3):
                    await answered.wait()
            except TimeoutError:
                call.cancel()
                return
            await asyncio.sleep(self._ttl_s / 6)
