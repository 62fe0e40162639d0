"""Comfort for those who write service specifications by hand."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import ServiceSpec


def with_metadata(spec: ServiceSpec, metadata: Mapping[str, Any]) -> ServiceSpec:
    """The spec with this metadata: JSON values under at most 64 keys, depth 8, 16 KiB.

    Raises:
        InvalidArgument: BAD_FIELD, naming the limit that is broken.
    """
    text, scalars = canonical_metadata(metadata)
    return replace(spec, metadata_json=text, metadata_scalars=scalars)
