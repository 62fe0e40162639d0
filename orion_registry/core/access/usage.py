"""What each namespace takes of the registry, held against its quota. Who is in stays in: quotas turn newcomers away."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

from orion_registry.core.access.quota import NO_QUOTAS
from orion_registry.core.admission import TokenBucket
from orion_registry.errors import Limit, Reason, ResourceExhausted

RETRY_S = 5.0
"""When to try again where a quota is used up: the dead are removed by and by, and operators need time."""

BUCKETS = 4_096
"""Namespaces whose registrations are remembered; the one that registered least recently is forgotten first."""

_MINUTE_S = 60.0


class Usage:
    """Counts and judges. A namespace without a quota is counted too: it may get one.

    Args:
        services: how many are registered in a namespace.

    Attributes:
        quotas: what it goes by from now on.
    """

    __slots__ = ("_arriving", "_buckets", "_coming", "_services", "_streams", "_watches", "quotas")

    def __init__(self, services: Callable[[str], int]) -> None:
        self._services = services
        self.quotas = NO_QUOTAS
        self._coming: dict[str, str] = {}
        self._arriving: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._watches: Counter[str] = Counter()
        self._buckets: OrderedDict[str, tuple[int, TokenBucket]] = OrderedDict()

    # Services.

    def registration(self, namespace: str, mono: float) -> None:
        """Lets a registration in.

        Raises:
            ResourceExhausted: RATE_LIMITED, more a minute than the namespace's quota.
        """
        per_minute = self.quotas.of(namespace).registrations_per_minute
        if not per_minute:
            return
        held = self._buckets.get(namespace)
        if held is None or held[0] != per_minute:  # another quota begins with a full bucket
            held = self._buckets[namespace] = (per_minute, TokenBucket(per_minute / _MINUTE_S, per_minute))
            if len(self._buckets) > BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(namespace)
        if wait_s := held[1].take(mono):
            message = (
                f"namespace {namespace!r} may register {per_minute:,} services a minute "
                f"(quota registrations_per_minute); your turn is in {wait_s:.1f} s"
            )
            raise ResourceExhausted(
                Reason.RATE_LIMITED, message, retry_after_s=wait_s, limit=Limit.NAMESPACE_REGISTRATIONS
            )

    def services(self, namespaces: Iterable[str]) -> None:
        """Lets services in that are not registered, all of them or none. namespaces: that of each.

        Raises:
            ResourceExhausted: TOO_LARGE, a namespace's quota has no room for them.
        """
        for namespace, new in Counter(namespaces).items():
            most = self.quotas.of(namespace).services
            there = self._services(namespace) + self._arriving[namespace]
            if most and there + new > most:
                raise _used_up(namespace, "services", most, there, Limit.NAMESPACE_SERVICES)

    def coming(self, service_id: str, namespace: str) -> None:
        """A new service is on its way to the store: it takes its place already."""
        if service_id not in self._coming:
            self._coming[service_id] = namespace
            self._arriving[namespace] += 1

    def come(self, service_id: str) -> None:
        """It is registered now, or was not stored."""
        namespace = self._coming.pop(service_id, None)
        if namespace is not None:
            _less(self._arriving, namespace)

    # Streams.

    def stream(self, namespace: str, *, replaces: bool) -> None:
        """Lets a stream carry its first service of a namespace. replaces: another stream is about to lose that one, so
        there may be one more for a moment: an agent that comes back is not kept out by its own old stream.

        Raises:
            ResourceExhausted: TOO_LARGE, the namespace's quota of streams is used up.
        """
        most, there = self.quotas.of(namespace).streams, self._streams[namespace]
        if most and there - replaces >= most:
            raise _used_up(namespace, "streams", most, there, Limit.NAMESPACE_STREAMS)

    def stream_came(self, namespace: str) -> None:
        """A stream carries its first service of a namespace."""
        self._streams[namespace] += 1

    def stream_left(self, namespace: str) -> None:
        """A stream has lost its last service of a namespace."""
        _less(self._streams, namespace)

    # Watches.

    def watch(self, namespace: str) -> None:
        """A watch of a namespace begins.

        Raises:
            ResourceExhausted: TOO_LARGE, the namespace's quota of watches is used up.
        """
        most, there = self.quotas.of(namespace).watches, self._watches[namespace]
        if most and there >= most:
            raise _used_up(namespace, "watches", most, there, Limit.NAMESPACE_WATCHES)
        self._watches[namespace] += 1

    def unwatch(self, namespace: str) -> None:
        """It is over."""
        _less(self._watches, namespace)

    def of(self, namespace: str) -> tuple[int, int, int]:
        """Services, streams and watches of a namespace now."""
        return self._services(namespace), self._streams[namespace], self._watches[namespace]


def _less(counts: Counter[str], namespace: str) -> None:
    """One fewer; names that nobody uses are forgotten."""
    counts[namespace] -= 1
    if not counts[namespace]:
        del counts[namespace]


def _used_up(namespace: str, what: str, most: int, there: int, limit: Limit) -> ResourceExhausted:
    message = f"namespace {namespace!r} may have {most:,} {what} (quota {what}) and has {there:,}"
    return ResourceExhausted(Reason.TOO_LARGE, message, retry_after_s=RETRY_S, limit=limit)
