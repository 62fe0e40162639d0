"""From what programs in the process write to what the core takes. Pure."""

import math
from collections.abc import Iterable
from dataclasses import replace

from orion_registry.core.checks.spec import CheckSpec, HttpProbe, TcpProbe
from orion_registry.core.checks.url import probe_of_url
from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import LivenessMode, ServiceSpec
from orion_registry.core.selector import Selector
from orion_registry.core.validation import check_number
from orion_registry.errors import bad_field
from orion_registry.manager.service_info import ServiceInfo

CHECK = "health"
"""Name of the one check that a service has while a monitor runs."""

TTL_S = 30.0
"""A service that has beaten once is expected to beat at least this often."""

_TEXTS = ("service_id", "agent_id", "service_name", "service_type", "host", "protocol", "version")


def spec_of(info: ServiceInfo) -> ServiceSpec:
    """What the core registers: STATIC, until the first beat. Its limits are checked there.

    Raises:
        InvalidArgument: BAD_FIELD, a field of a wrong type, or a health_check_url that is none.
    """
    if not isinstance(info, ServiceInfo):
        raise bad_field("service_info", "a ServiceInfo", info)
    for name in _TEXTS:
        text("service." + name, getattr(info, name))
    if not info.service_id:
        raise bad_field("service.service_id", "set", info.service_id)
    if not isinstance(info.metadata, dict):
        raise bad_field("service.metadata", "a dict", info.metadata)
    check_of(info.health_check_url, info.host, info.port, TTL_S)
    metadata_json, scalars = canonical_metadata(info.metadata, "service.metadata")
    return ServiceSpec(
        service_id=info.service_id,
        agent_id=info.agent_id,
        service_name=info.service_name,
        service_type=info.service_type,
        host=info.host,
        port=info.port,
        protocol=info.protocol,
        version=info.version,
        capabilities=labels("service.capabilities", info.capabilities),
        tags=labels("service.tags", info.tags),
        metadata_json=metadata_json,
        metadata_scalars=scalars,
        liveness=LivenessMode.STATIC,
        liveness_ttl_s=TTL_S,
    )


def check_of(url: str | None, host: str, port: int, interval_s: float) -> CheckSpec | None:
    """How to look at a service: its health_check_url, else a TCP connection; None = it is in this process.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    text("service.host", host)
    if not isinstance(port, int):
        raise bad_field("service.port", "a whole number", port)
    number("service.port", port, 0, 65_535)
    probe: HttpProbe | TcpProbe
    if url is not None and text("service.health_check_url", url):
        probe = probe_of_url("service.health_check_url", url)
    elif port:
        probe = TcpProbe(host=host.strip("[]"), port=port)
    else:
        return None
    return CheckSpec(name=CHECK, probes=(probe,), interval_s=interval_s)


def selector_of(
    service_type: str | None, capability: str | None, tags: Iterable[str] | None, *, not_ready: bool = False
) -> Selector:
    """The query of a discovery or selection; tags: all of them must be there.

    Raises:
        InvalidArgument: BAD_FIELD, a term of a wrong type.
    """
    selector = Selector(include_not_ready=not_ready)
    if service_type is not None:
        selector = replace(selector, service_type=text("service_type", service_type))
    if capability is not None:
        selector = replace(selector, capabilities=(text("capability", capability),))
    if tags:
        selector = replace(selector, tags=labels("tags", tags))
    return selector


def text(field: str, value: object) -> str:
    """Returns it if it is a text.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    if not isinstance(value, str):
        raise bad_field(field, "a text", value)
    return value


def number(field: str, value: object, least: float = -math.inf, most: float = math.inf) -> float:
    """Returns it if it is a number within bounds, both included.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    if not isinstance(value, int | float):
        raise bad_field(field, "a number", value)
    return check_number(field, value, least, most)


def labels(field: str, values: object) -> tuple[str, ...]:
    """Texts in a list, tuple or set. One text alone is a mistake: its letters would be taken.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    if not isinstance(values, list | tuple | set | frozenset):
        raise bad_field(field, "a list of texts", values)
    ordered = sorted(values, key=str) if isinstance(values, set | frozenset) else values
    return tuple(text(f"{field}[{place}]", value) for place, value in enumerate(ordered))
