"""The twin: what the catalog must hold, told by nothing but requests that were acknowledged. Slow and obvious."""

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

HOUR_S = 3_600
STATIC = 4
"""Mode of services that never die."""
PEER = "127.0.0.1"
"""What an empty host becomes."""

_SPANS = ("retention", "silence_timeout", "stuck_after")

Spec = dict[str, Any]


@dataclass(slots=True)
class Known:
    """A service that was acknowledged."""

    spec: Spec
    secret: str
    epoch: int
    request_id: str


def spec_of(service: Any) -> Spec:
    """What an agent owns of a ServiceInfo, with the defaults that the protos promise."""
    return {
        "namespace": service.namespace or "default",
        "agent_id": service.agent_id,
        "service_name": service.service_name,
        "service_type": service.service_type or "agent",
        "host": service.host or PEER,
        "port": service.port,
        "protocol": service.protocol or "http",
        "version": service.version or "1.0.0",
        "zone": service.zone,
        "capabilities": list(dict.fromkeys(service.capabilities)),
        "tags": list(dict.fromkeys(service.tags)),
        "metadata": MessageToDict(service.metadata),
        "weight": service.weight if service.HasField("weight") else 1.0,
        "max_concurrency": service.max_concurrency,
        "health_check_url": service.health_check_url,
        "checks": [_check_of(check) for check in service.checks],
        "liveness": service.liveness or 1,
        "liveness_ttl": _nanos(service.liveness_ttl) if service.HasField("liveness_ttl") else 30 * 10**9,
        **{span: _nanos(getattr(service, span)) if service.HasField(span) else None for span in _SPANS},
    }


def _check_of(check: Any) -> Spec:
    kind = check.WhichOneof("kind")
    told: Spec = {
        "name": kind,
        "interval": "30s",
        "fall": 3,
        "rise": 2,
        **MessageToDict(check, preserving_proto_field_name=True),
    }
    for probe in (told, *told.get("fallbacks", ())):
        if "http" in probe:
            probe["http"] = {"method": "GET", "status_min": 200, "status_max": 299, **probe["http"]}
    return told


def _nanos(span: Any) -> int:
    return int(span.seconds) * 10**9 + int(span.nanos)


class Twin:
    """Acknowledged services by id.

    Attributes:
        services: what must be there, exactly so.
        unsure: ids whose fate the fuzzer gave up knowing, such as a farewell that it cut off itself, or a retention
            that ends within the run. They are not compared, and not used again.
        namespaces: all that ever held something.
    """

    def __init__(self) -> None:
        self.services: dict[str, Known] = {}
        self.unsure: dict[str, Known] = {}
        self.namespaces: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def holding(self, *service_ids: str) -> AsyncExitStack:
        """To be entered around a request: of two that name the same service, the answers tell the order."""
        return _Locks([self._locks[service_id] for service_id in sorted(set(service_ids))])

    def registered(self, request: Any, response: Any) -> str:
        """RegisterService was answered OK. Returns what is wrong with the answer, if anything."""
        service = response.service
        self.namespaces.add(service.namespace)
        home = self.unsure if service.service_id in self.unsure else self.services
        known = home.get(service.service_id)
        retry = known is not None and request.request_id != "" and request.request_id == known.request_id
        if known is None or not retry:
            secret = request.secret or response.secret
            known = Known(spec_of(request.service), secret, service.epoch, request.request_id)
            home[service.service_id] = known
        known.epoch = max(known.epoch, service.epoch)
        if home is self.services:
            self._doubt_short_retention(service.service_id)
        return difference(known.spec, spec_of(service))

    def updated(self, request: Any, response: Any) -> str:
        """UpdateService was answered OK. Returns what is wrong with the answer, if anything."""
        known = self.services.get(request.ref.service_id)
        if known is None:
            return "" if request.ref.service_id in self.unsure else "updated a service that nobody has registered"
        wanted = spec_of(request.service)
        known.spec |= {path: wanted[path] for path in request.update_mask.paths if path in wanted}
        self._doubt_short_retention(request.ref.service_id)
        return difference(known.spec, spec_of(response.service))

    def removed(self, service_id: str) -> None:
        """The service was acknowledged to be gone."""
        self.services.pop(service_id, None)
        self.unsure.pop(service_id, None)

    def saw_epoch(self, service_id: str, epoch: int) -> None:
        """An answer carried this epoch."""
        if service_id in self.services:
            self.services[service_id].epoch = max(self.services[service_id].epoch, epoch)

    def doubt(self, service_id: str) -> None:
        """Nobody can say any more whether it is there."""
        if (known := self.services.pop(service_id, None)) is not None:
            self.unsure[service_id] = known

    def _doubt_short_retention(self, service_id: str) -> None:
        spec = self.services[service_id].spec
        if spec["liveness"] != STATIC and 0 < (spec["retention"] or 0) < HOUR_S * 10**9:
            self.doubt(service_id)

    def compare(self, found: dict[str, Spec]) -> list[str]:
        """What differs between the catalog and the twin."""
        faults = [f"{name}: not in the catalog" for name in self.services.keys() - found.keys()]
        faults += [f"{name}: in the catalog only" for name in found.keys() - self.services.keys() - self.unsure.keys()]
        for name in self.services.keys() & found.keys():
            if wrong := difference(self.services[name].spec, found[name]):
                faults.append(f"{name}: {wrong}")
        return faults


def difference(expected: Spec, got: Spec) -> str:
    """Names the first field that differs; empty if none does."""
    for field, value in expected.items():
        if got[field] != value:
            return f"{field} should be {value!r:.200}, is {got[field]!r:.200}"
    return ""


class _Locks(AsyncExitStack):
    """Several locks, taken in their order."""

    def __init__(self, locks: list[asyncio.Lock]) -> None:
        super().__init__()
        self._wanted = locks

    async def __aenter__(self) -> "_Locks":
        for lock in self._wanted:
            await self.enter_async_context(lock)
        return self
