"""Keys, transactions and leases."""

from collections.abc import Sequence
from dataclasses import dataclass

from orion_etcd_pb.v1 import etcd_pb2 as pb
from orion_registry.etcd.config import EtcdConfig
from orion_registry.etcd.endpoints import Endpoints
from orion_registry.etcd.failures import EtcdLeaseLost, EtcdUnavailable

MOST_OPS = 128
"""Operations of one transaction (etcd's --max-txn-ops)."""
MOST_BYTES = 1_500_000
"""Bytes of one request; etcd takes 1.5 MiB (--max-request-bytes), and its framing needs some."""

_PAGE = 1_000
"""Keys read at once: of 2 kB each, 2 MB."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it stands. revision is that of its latest change."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Read:
    """What a read found, and as of which revision of the store."""

    kvs: tuple[KeyValue, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Writes a key; lease 0 = it stays."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes a key. That there is none is fine."""

    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a transaction. If its conditions did not hold, `found` is how the keys that it compares are."""

    succeeded: bool
    revision: int
    found: tuple[KeyValue, ...] = ()


Op = Put | Delete


def prefix_end(prefix: str) -> bytes:
    """The end of the range of all keys that begin so."""
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])  # no prefix of ours ends in 255


class Etcd:
    """Speaks to etcd. `close` it.

    Attributes:
        endpoints: the connection.
    """

    def __init__(self, config: EtcdConfig) -> None:
        self.config = config
        self.endpoints = Endpoints(config)

    async def close(self) -> None:
        """Lets go of the connection."""
        await self.endpoints.close()

    # Keys.

    async def get(self, key: str) -> Read:
        """One key as it is now, whoever wrote it last; none if it is not there.

        Raises:
            EtcdError: see `failures`.
        """
        return await self._read(pb.RangeRequest(key=key.encode()))

    async def get_all(self, prefix: str) -> Read:
        """All keys that begin so, as of one revision.

        Raises:
            EtcdError: see `failures`; EtcdCompacted if it took so long that this revision is gone.
        """
        kvs: list[KeyValue] = []
        start, revision = prefix.encode(), 0
        while True:
            request = pb.RangeRequest(key=start, range_end=prefix_end(prefix), limit=_PAGE, revision=revision)
            page = await self._range(request)
            revision = revision or page.header.revision
            kvs += map(_key_value, page.kvs)
            if not page.more:
                return Read(tuple(kvs), revision)
            start = page.kvs[-1].key + b"\0"

    async def commit(self, unchanged: dict[str, int], ops: Sequence[Op]) -> Outcome:
        """Does all operations if each of these keys was changed last at its revision (0 = it is not there). Sent once.

        Raises:
            EtcdTooLarge: more than etcd takes at once.
            EtcdUnavailable: it is open whether it took place.
            EtcdError: see `failures`: nothing was changed.
        """
        request = pb.TxnRequest(
            compare=[
                pb.Compare(target=pb.COMPARE_TARGET_MOD, key=key.encode(), mod_revision=revision)
                for key, revision in unchanged.items()
            ],
            success=map(_op, ops),
            failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key.encode())) for key in unchanged],
        )
        answer = await self.endpoints.unary(
            "/etcdserverpb.KV/Txn", request, pb.TxnResponse.FromString, self.config.timeout_s
        )
        if answer.succeeded:
            return Outcome(True, answer.header.revision)
        found = [_key_value(kv) for response in answer.responses for kv in response.response_range.kvs]
        return Outcome(False, answer.header.revision, tuple(found))

    async def _read(self, request: pb.RangeRequest) -> Read:
        answer = await self._range(request)
        return Read(tuple(map(_key_value, answer.kvs)), answer.header.revision)

    async def _range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        """Reading twice does no harm: every endpoint is asked before it fails."""
        attempts = len(self.config.endpoints)
        for attempt in range(attempts):
            try:
                return await self.endpoints.unary(
                    "/etcdserverpb.KV/Range", request, pb.RangeResponse.FromString, self.config.timeout_s
                )
            except EtcdUnavailable:
                if attempt == attempts - 1:
                    raise
        raise AssertionError  # there is one endpoint at least

    # Leases.

    async def grant(self, ttl_s: int) -> int:
        """A new lease; etcd rounds a short one up to 1.5 elections (2 s).

        Raises:
            EtcdError: see `failures`.
        """
        request = pb.LeaseGrantRequest(ttl=ttl_s)
        answer = await self.endpoints.unary(
            "/etcdserverpb.Lease/LeaseGrant", request, pb.LeaseGrantResponse.FromString, self.config.timeout_s
        )
        return answer.id

    async def revoke(self, lease: int) -> None:
        """Ends a lease, and its keys with it. That there is none is fine.

        Raises:
            EtcdError: see `failures`.
        """
        request = pb.LeaseRevokeRequest(id=lease)
        try:
            await self.endpoints.unary(
                "/etcdserverpb.Lease/LeaseRevoke", request, pb.LeaseRevokeResponse.FromString, self.config.timeout_s
            )
        except EtcdLeaseLost:
            return

    # How it is.

    async def status(self) -> pb.StatusResponse:
        """How the node is that we speak to. Raises EtcdError."""
        return await self.endpoints.unary(
            "/etcdserverpb.Maintenance/Status", pb.StatusRequest(), pb.StatusResponse.FromString, self.config.timeout_s
        )


def _op(op: Op) -> pb.RequestOp:
    if isinstance(op, Put):
        return pb.RequestOp(request_put=pb.PutRequest(key=op.key.encode(), value=op.value, lease=op.lease))
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=op.key.encode()))


def _key_value(kv: pb.KeyValue) -> KeyValue:
    return KeyValue(kv.key.decode(), kv.value, kv.mod_revision)


def size_of(op: Op) -> int:
    """Bytes that an operation takes in a request, about."""
    return len(op.key) + (len(op.value) if isinstance(op, Put) else 0) + 32
