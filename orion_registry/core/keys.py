"""Natural keys: what makes two registrations the same service."""

import functools
import uuid

from orion_registry.core.model import ServiceSpec

_SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "registry.orion")


@functools.lru_cache(maxsize=1_024)  # asked for twice in every registration: by the lane, and by the plan
def derived_service_id(namespace: str, agent_id: str, service_name: str) -> str:
    """The service_id of a registration that gives none: a uuid5 (RFC 9562 section 5.5) of its natural key.

    None of the parts may hold "/" (see `limits.ID`), so no two keys share a text.
    """
    return str(uuid.uuid5(_SPACE, f"{namespace}/{agent_id}/{service_name}"))


def service_id_of(spec: ServiceSpec) -> str:
    """The service_id of a registration: the given one, else the derived one."""
    return spec.service_id or derived_service_id(spec.namespace, spec.agent_id, spec.service_name)


def natural_key(spec: ServiceSpec) -> tuple[str, str, str]:
    """Who a service_id belongs to: (namespace, agent_id, service_name)."""
    return (spec.namespace, spec.agent_id, spec.service_name)
