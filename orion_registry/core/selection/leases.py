"""Leases: who holds which slot until when. A lease reserves its slot from its grant until it ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from orion_registry.core.selection.expiry import Expiries
from orion_registry.core.selection.refusals import reused
from orion_registry.core.selection.slots import Slots
from orion_registry.errors import NotFound, Reason, shown

K = TypeVar("K")
V = TypeVar("V")


class Lease:
    """One selection's slot. Only `Leases` changes it; a plain object: this is the hot path.

    Attributes:
        selection_id: names it.
        ordinal: order of its grant.
        slots: of the service selected.
        caller: who holds it.
        stream: names the Route stream that it lives on; empty if none.
        since: monotonic seconds of its grant.
        expires: monotonic seconds of its end by time.
        ttl_s: the span it was granted for.
        request: the (caller, request_id) that made it; None without a request_id.
    """

    __slots__ = ("caller", "expires", "ordinal", "request", "selection_id", "since", "slots", "stream", "ttl_s")

    def __init__(
        self,
        selection_id: str,
        ordinal: int,
        slots: Slots,
        caller: str,
        stream: str,
        since: float,
        ttl_s: float,
        request: tuple[str, str] | None,
    ) -> None:
        self.selection_id = selection_id
        self.ordinal = ordinal
        self.slots = slots
        self.caller = caller
        self.stream = stream
        self.since = since
        self.ttl_s = ttl_s
        self.expires = since + ttl_s
        self.request = request

    @property
    def service_id(self) -> str:
        """Of the service selected."""
        return self.slots.service_id


class Leases:
    """All open leases.

    Args:
        prefix: begins every selection_id; differs in every life of the daemon, so that none of an earlier life is
            taken for one of this.
    """

    __slots__ = ("_by_id", "_by_request", "_by_stream", "_expiries", "_granted", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._granted = 0
        self._by_id: dict[str, Lease] = {}
        self._by_stream: dict[str, dict[Lease, None]] = {}
        self._by_request: dict[tuple[str, str], tuple[str, dict[Lease, None]]] = {}
        self._expiries: Expiries[Lease] = Expiries()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._by_id.values())

    @property
    def granted(self) -> int:
        """How many were granted so far, open or not."""
        return self._granted

    def granted_for(self, request: tuple[str, str], payload: str) -> tuple[Lease, ...]:
        """The leases that the same request was given before and that are still open; empty if there are none.

        Raises:
            InvalidArgument: REQUEST_ID_REUSED: it was another payload.
        """
        before = self._by_request.get(request)
        if before is None:
            return ()
        if before[0] != payload:
            raise reused(request[1])
        return tuple(before[1])

    def grant(
        self,
        slots: Slots,
        caller: str,
        now: float,
        ttl_s: float,
        stream: str = "",
        request: tuple[str, str] | None = None,
        payload: str = "",
    ) -> Lease:
        """Reserves a free slot until the lease ends."""
        ordinal = self._granted = self._granted + 1
        lease = Lease(f"{self._prefix}-{ordinal:x}", ordinal, slots, caller, stream, now, ttl_s, request)
        slots.take(lease)
        self._by_id[lease.selection_id] = lease
        self._expiries.add(lease)
        if stream:
            on_stream = self._by_stream.get(stream)
            if on_stream is None:
                on_stream = self._by_stream[stream] = {}
            on_stream[lease] = None
        if request is not None:
            self._by_request.setdefault(request, (payload, {}))[1][lease] = None
        return lease

    def get(self, selection_id: str) -> Lease:
        """An open lease.

        Raises:
            NotFound: NO_SUCH_LEASE: it has ended, or never was.
        """
        lease = self._by_id.get(selection_id)
        if lease is None:
            raise NotFound(Reason.NO_SUCH_LEASE, f"selection_id: no open lease {shown(selection_id)}")
        return lease

    def end(self, lease: Lease) -> None:
        """Frees the slot of an open lease."""
        self._expiries.remove(lease)
        self._close(lease)

    def renew(self, lease: Lease, now: float, ttl_s: float) -> None:
        """From now it lasts `ttl_s` again."""
        lease.ttl_s = ttl_s
        self._move(lease, now + ttl_s)

    def move_to(self, lease: Lease, stream: str) -> None:
        """From now on an open lease lives on this Route stream."""
        if lease.stream != stream:
            if lease.stream:
                _drop(self._by_stream, lease.stream, self._by_stream[lease.stream], lease)
            lease.stream = stream
            self._by_stream.setdefault(stream, {})[lease] = None

    def stream_ended(self, stream: str, now: float, grace_s: float) -> None:
        """The leases of a Route stream outlive it by `grace_s` at most; a renewal saves them."""
        for lease in self._by_stream.pop(stream, ()):
            lease.stream = ""
            self._move(lease, min(lease.expires, now + grace_s))

    def due(self, now: float) -> Iterator[Lease]:
        """Ends the leases whose time has come."""
        for lease in self._expiries.due(now):
            self._close(lease)
            yield lease

    def next(self) -> float | None:
        """When the next one ends by time; None = never."""
        return self._expiries.next()

    def _move(self, lease: Lease, expires: float) -> None:
        self._expiries.remove(lease)
        lease.expires = expires
        self._expiries.add(lease)

    def _close(self, lease: Lease) -> None:
        del self._by_id[lease.selection_id]
        lease.slots.give_back(lease)
        if stream := lease.stream:  # as `_drop`, spelt out on the hot path
            on_stream = self._by_stream[stream]
            del on_stream[lease]
            if not on_stream:
                del self._by_stream[stream]
        if lease.request is not None:
            _drop(self._by_request, lease.request, self._by_request[lease.request][1], lease)


def _drop(table: dict[K, V], key: K, leases: dict[Lease, None], lease: Lease) -> None:
    """Takes a lease from those under a key, and the key with the last one."""
    del leases[lease]
    if not leases:
        del table[key]
