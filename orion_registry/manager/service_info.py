"""A service as programs in one process hand it about: mutable, and always a copy of what the registry keeps."""

import uuid
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from orion_registry.core.model import ServiceStatus
from orion_registry.errors import bad_field
from orion_registry.runtime.clock import SystemClock

_CLOCK = SystemClock()


def wall_s() -> float:
    """Seconds since 1970, a label."""
    return _CLOCK.now().wall


@dataclass
class ServiceInfo:
    """One service. What the registry returns is a copy: changing it changes nothing there.

    Attributes:
        service_id: names it; a new uuid if not given. Registering the same one again updates it.
        agent_id: whose it is.
        service_name: groups replicas.
        service_type: "agent", or what you like.
        host, port: where to reach it; port 0 = in this process: nothing probes it.
        protocol: of its URL.
        status: what it says of itself when it registers; in copies, the effective status.
        capabilities: what it can do.
        metadata: anything that JSON can say.
        health_check_url: http or https; checks ask there instead of connecting to host and port.
        last_heartbeat: when it was last heard of, in seconds since 1970.
        registration_time: when it was registered first, in seconds since 1970.
        tags: free labels.
        version: of the service.
    """

    service_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    agent_id: str = ""
    service_name: str = ""
    service_type: str = "agent"
    host: str = "localhost"
    port: int = 0
    protocol: str = "http"
    status: ServiceStatus = ServiceStatus.STARTING
    capabilities: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    health_check_url: str | None = None
    last_heartbeat: float = field(default_factory=wall_s)
    registration_time: float = field(default_factory=wall_s)
    tags: list[str] = field(default_factory=list)
    version: str = "1.0.0"

    if not TYPE_CHECKING:  # else it would tell the type checker that there is every attribute

        def __getattr__(self, name: str) -> Any:
            """A field of a copy, when it is looked at first."""
            own = self.__dict__
            kept = own.get(KEPT)
            if kept is None or name not in _FIELDS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            value = kept[name]
            if isinstance(value, list):
                value = value.copy()
            elif isinstance(value, dict):
                value = deepcopy(value)
            return own.setdefault(name, value)  # two threads that look at once get the same list

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON can say them; status as its word."""
        told = {name: deepcopy(getattr(self, name)) for name in _FIELDS}
        told["status"] = self.status.value
        return told

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ServiceInfo":
        """What `to_dict` returned; fields that are not there have their defaults.

        Raises:
            InvalidArgument: BAD_FIELD, a field that there is not, or a status that is none.
        """
        if not isinstance(data, Mapping):
            raise bad_field("service", "a mapping of fields", data)
        unknown = [name for name in data if name not in _FIELDS]
        if unknown:
            raise bad_field("service", f"of the fields {', '.join(_FIELDS)}", unknown[0])
        values = deepcopy(dict(data))
        if "status" in values:
            values["status"] = status_of("service.status", values["status"])
        return cls(**values)

    def get_endpoint_url(self) -> str:
        """protocol://host:port, without the port if it is 0."""
        host = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        return f"{self.protocol}://{host}:{self.port}" if self.port else f"{self.protocol}://{host}"

    def is_healthy(self, timeout: float = 30.0) -> bool:
        """Whether its status is HEALTHY and it was heard of at most `timeout` seconds ago, by the wall clock.

        A copy of a service that has never beaten is as good as its status: nobody expects beats of it.
        """
        if self.status is not ServiceStatus.HEALTHY:
            return False
        still = self.__dict__.get(KEPT, {}).get(STILL)
        return self.last_heartbeat == still or wall_s() - self.last_heartbeat <= timeout

    def update_heartbeat(self) -> None:
        """Notes a beat in this copy. The registry hears of `ServiceRegistry.heartbeat` alone."""
        self.last_heartbeat = wall_s()


_FIELDS = tuple(one.name for one in fields(ServiceInfo))
for _field in fields(ServiceInfo):
    if _field.default is not MISSING:
        delattr(ServiceInfo, _field.name)  # else a copy would show it before its own: defaults are __init__'s matter

KEPT = "_kept"
"""Beside the fields of a copy: what it is a copy of."""

STILL = "_still"
"""Beside the fields of what is kept: the last_heartbeat of a service that has never beaten."""


Kept = dict[str, Any]
"""The fields of a service as the registry keeps them, never changed once made: a change makes another."""


def kept_of(info: ServiceInfo) -> Kept:
    """The fields of a service that registers; nothing in them is shared with it."""
    own: Kept = {name: getattr(info, name) for name in _FIELDS}
    own["capabilities"], own["tags"] = list(info.capabilities), list(info.tags)
    own["metadata"] = deepcopy(dict(info.metadata))
    return own


def copy_of(kept: Kept) -> ServiceInfo:
    """A copy for somebody: of what is kept now, though each field is made when it is first looked at.

    A selection is often asked for its address alone, and of 10,000 found nobody looks at all: 0.3 us each instead of 3.
    """
    info = _new(ServiceInfo)
    info._kept = kept  # type: ignore[attr-defined]  # no field: see `__getattr__`
    return info


_new = object.__new__


def status_of(field_name: str, status: object) -> ServiceStatus:
    """A status, also by its word.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    try:
        found = ServiceStatus(status)  # type: ignore[arg-type]  # what is none raises
    except (ValueError, TypeError):
        found = ServiceStatus.UNSPECIFIED
    if found is ServiceStatus.UNSPECIFIED:
        words = ", ".join(one.value for one in ServiceStatus if one)
        raise bad_field(field_name, f"one of {words}", status)
    return found
