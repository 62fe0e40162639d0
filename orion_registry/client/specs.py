"""Comfort for those who write service specifications by hand."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import ServiceSpec
from orion_registry.core.selector import Selector
from orion_registry.errors import bad_field


def with_metadata(spec: ServiceSpec, metadata: Mapping[str, Any]) -> ServiceSpec:
    """The spec with this metadata: JSON values under at most 64 keys, depth 8, 16 KiB.

    Raises:
        InvalidArgument: BAD_FIELD, naming the limit that is broken.
    """
    text, scalars = canonical_metadata(metadata)
    return replace(spec, metadata_json=text, metadata_scalars=scalars)


def check_not_letters(what: str, terms: ServiceSpec | Selector) -> None:
    """Refuses one text where labels belong: it would be taken for its letters.

    Raises:
        InvalidArgument: BAD_FIELD, naming the field.
    """
    for name in ("capabilities", "tags", "tags_any", "tags_none"):
        labels = getattr(terms, name, ())
        if isinstance(labels, str):
            raise bad_field(f"{what}.{name}", "a tuple of texts", labels)
