"""Natural keys: what makes two registrations the same service."""

import functools
import hashlib
import uuid

from orion_registry.core.model import ServiceSpec

_SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "registry.orion").bytes


@functools.lru_cache(maxsize=1_024)  # asked for twice in every registration: by the lane, and by the plan
def derived_service_id(namespace: str, agent_id: str, service_name: str) -> str:
    """The service_id of a registration that gives none: a uuid5 (RFC 9562 section 5.5) of its natural key.

    None of the parts may hold "/" (see `limits.ID`), so no two keys share a text.
    """
    digest = bytearray(
        hashlib.sha1(_SPACE + f"{namespace}/{agent_id}/{service_name}".encode(), usedforsecurity=False).digest()
    )
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest[:16].hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def service_id_of(spec: ServiceSpec) -> str:
    """The service_id of a registration: the given one, else the derived one."""
    return spec.service_id or derived_service_id(spec.namespace, spec.agent_id, spec.service_name)


def key_text(namespace: str, agent_id: str, service_name: str, service_id: str) -> str:
    """A natural key as one text. service_id: the given one, else the derived one, so no key stands for two."""
    return f"{namespace}/{agent_id}/{service_name}/{service_id}"


def key_of_spec(spec: ServiceSpec) -> str:
    """The natural key of a registered service, as `key_text`."""
    return key_text(spec.namespace, spec.agent_id, spec.service_name, spec.service_id)


def natural_key(spec: ServiceSpec) -> tuple[str, str, str]:
    """Who a service_id belongs to: (namespace, agent_id, service_name)."""
    return (spec.namespace, spec.agent_id, spec.service_name)
