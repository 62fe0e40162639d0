"""A watch that goes on by itself: after a broken stream from behind the last event that it has told."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import grpc.aio

from orion_etcd_pb.v1 import etcd_pb2 as pb
from orion_registry.etcd.client import Etcd, KeyValue, prefix_end
from orion_registry.etcd.failures import EtcdCompacted, EtcdError, cut_off, is_token_refused

log = logging.getLogger("orion_registry")

RETRY_S = 0.2

_NEEDS_LEADER = ("hasleader", "true")
"""Ends the stream when its node has lost the leader: one of a minority would never tell anything again."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a key. value None = it was deleted, with this revision."""

    key: str
    value: bytes | None
    revision: int

    @classmethod
    def of(cls, kv: KeyValue) -> "Change":
        """A key that is as it is."""
        return cls(kv.key, kv.value, kv.revision)


class Watch:
    """All changes of keys that begin so, from a revision on.

    It goes on with the revision behind the last event told, never with one that only a header names: etcd has told of
    progress that its watchers had not been told of (etcd#15220).

    Attributes:
        next_revision: where it would go on.
        resumes: how often it had to.
    """

    def __init__(self, etcd: Etcd, prefix: str, start_revision: int) -> None:
        self._etcd = etcd
        self._prefix = prefix
        self.next_revision = start_revision
        self.resumes = 0

    async def changes(self) -> AsyncIterator[list[Change]]:
        """Batches of changes, in the order of revisions, for ever.

        Raises:
            EtcdCompacted: what came next is not kept any more. Read all anew, then watch from there.
        """
        while True:
            try:
                async for batch in self._once():
                    yield batch
            except EtcdCompacted:
                raise
            except EtcdError as error:
                log.debug("the watch broke", extra={"error": str(error), "next_revision": self.next_revision})
            self.resumes += 1
            await asyncio.sleep(RETRY_S)

    async def _once(self) -> AsyncIterator[list[Change]]:
        endpoints = self._etcd.endpoints
        channel, endpoint = await endpoints.channel(), endpoints.endpoint
        open_stream = channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )
        metadata = await endpoints.metadata()
        call = open_stream(metadata=(*metadata, _NEEDS_LEADER))
        try:
            await call.write(
                pb.WatchRequest(
                    create_request=pb.WatchCreateRequest(
                        key=self._prefix.encode(),
                        range_end=prefix_end(self._prefix),
                        start_revision=self.next_revision,
                    )
                )
            )
            async for answer in call:
                endpoints.heard()
                if answer.canceled:
                    if answer.compact_revision:
                        raise EtcdCompacted(answer.compact_revision)
                    if "permission" in answer.cancel_reason or "token" in answer.cancel_reason:
                        endpoints.forget_token(metadata)
                    raise EtcdError(f"{endpoint}: {answer.cancel_reason}")
                if answer.events:
                    self.next_revision = answer.events[-1].kv.mod_revision + 1
                    yield [_change(event) for event in answer.events]
        except grpc.aio.AioRpcError as error:
            endpoints.failed(endpoint)
            if is_token_refused(error):
                endpoints.forget_token(metadata)
            raise EtcdError(f"{endpoint}: {error.details()}") from error
        except asyncio.CancelledError:
            raise cut_off(endpoint) from None
        finally:
            call.cancel()


def _change(event: pb.Event) -> Change:
    kv = event.kv
    deleted = event.type == pb.Event.EVENT_TYPE_DELETE
    return Change(kv.key.decode(), None if deleted else kv.value, kv.mod_revision)
