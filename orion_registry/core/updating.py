"""What an update may touch, and how it is merged into what is there."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orion_registry.core.model import ServiceSpec
from orion_registry.errors import Said, bad_field

MUTABLE: Mapping[str, tuple[str, ...]] = {
    "service_type": ("service_type",),
    "host": ("host",),
    "port": ("port",),
    "protocol": ("protocol",),
    "capabilities": ("capabilities",),
    "metadata": ("metadata_json", "metadata_scalars"),
    "health_check_url": ("health_check_url",),
    "tags": ("tags",),
    "version": ("version",),
    "zone": ("zone",),
    "weight": ("weight",),
    "max_concurrency": ("max_concurrency",),
    "checks": ("checks",),
    "liveness_ttl": ("liveness_ttl_s",),
    "retention": ("retention_s",),
    "silence_timeout": ("silence_timeout_s",),
    "stuck_after": ("stuck_after_s",),
}
"""Fields of ServiceInfo that an update may name, and the fields of the spec behind each."""


def merged(present: ServiceSpec, wanted: ServiceSpec, paths: tuple[str, ...]) -> ServiceSpec:
    """`present` with the fields that `paths` names taken from `wanted`; not yet checked.

    Raises:
        InvalidArgument: no path, or one that an update may not name.
    """
    if not paths:
        raise bad_field("update_mask", "at least one field", Said("none"))
    values: dict[str, Any] = {}
    for path in paths:
        if path not in MUTABLE:
            raise bad_field("update_mask", f"of {', '.join(MUTABLE)}", path)
        values.update((name, getattr(wanted, name)) for name in MUTABLE[path])
    return replace(present, **values)
