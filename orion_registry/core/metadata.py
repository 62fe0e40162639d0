"""Metadata: opaque to the registry, but bounded, and kept in one canonical form."""

import json
import math
from collections.abc import Mapping
from typing import Any

from orion_registry.core import limits
from orion_registry.core.model import Scalar
from orion_registry.errors import Said, bad_field

_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_metadata(metadata: Mapping[str, Any], field: str = "metadata") -> tuple[str, dict[str, Scalar]]:
    """Returns metadata as canonical JSON (sorted keys, no spaces) and its top-level scalars.

    Numbers are doubles, as in `google.protobuf.Struct`. `field` is its name in messages.

    Raises:
        InvalidArgument: too many keys, too deep, too long, or a number that JSON cannot say.
    """
    if len(metadata) > limits.METADATA_KEYS:
        raise bad_field(field, f"at most {limits.METADATA_KEYS} keys", len(metadata))
    plain = {
        _key(key, field): value if isinstance(value, str) else _plain(value, f"{field}[{key!r}]", 1)  # nearly all are
        for key, value in metadata.items()
    }
    text = _JSON.encode(plain)
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.METADATA_BYTES:
        raise bad_field(field, f"at most {limits.METADATA_BYTES:,} bytes as JSON", size)
    return text, {key: value for key, value in plain.items() if not isinstance(value, (dict, list))}


def _plain(value: object, path: str, depth: int) -> Any:
    """A JSON value with numbers as finite doubles, no deeper than the limit."""
    match value:
        case None | bool() | str():
            return value
        case int() | float():
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if not math.isfinite(number):
                raise bad_field(path, "a finite number", value)
            return number
    if depth >= limits.METADATA_DEPTH:
        raise bad_field(path, f"nested at most {limits.METADATA_DEPTH} deep", Said(type(value).__name__))
    match value:
        case Mapping():
            return {_key(key, path): _plain(item, path, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, path, depth + 1) for item in value]
    raise bad_field(path, "JSON: null, bool, number, string, list or object", Said(type(value).__name__))


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise bad_field(path, "keyed by strings", key)
    return key
