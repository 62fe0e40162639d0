"""`google.protobuf.Struct` as plain Python values, and back."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from orion_registry.core import limits
from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import Scalar
from orion_registry.errors import Said, bad_field

_ENCODED_MAX = 4 * limits.METADATA_BYTES
"""No Struct above this fits the limit as JSON: the worst ratio is a number in a list, 11 bytes here and 4 there."""
_INTEGRAL_MAX = 2**53


def decode_metadata(field: str, struct: Struct) -> tuple[str, dict[str, Scalar]]:
    """Metadata as canonical JSON, and its top-level scalars.

    Raises:
        InvalidArgument: beyond a limit, not finite, or a value of no kind.
    """
    if (size := struct.ByteSize()) > _ENCODED_MAX:  # before any work that grows with it
        raise bad_field(field, f"at most {limits.METADATA_BYTES:,} bytes as JSON", Said(f"{size:,} bytes as protobuf"))
    return canonical_metadata({key: _strict(value, field, key) for key, value in struct.fields.items()}, field)


def decode_scalars(field: str, struct: Struct) -> tuple[tuple[str, Scalar], ...]:
    """Top-level scalars that a selector asks for, sorted by key.

    Raises:
        InvalidArgument: a list, an object, a number that is not finite, or too many keys.
    """
    if len(struct.fields) > limits.METADATA_KEYS:
        raise bad_field(field, f"at most {limits.METADATA_KEYS} keys", len(struct.fields))
    terms: list[tuple[str, Scalar]] = []
    for key in sorted(struct.fields):
        value = _strict(struct.fields[key], field, key, scalar=True)
        if isinstance(value, float) and value - value != 0:  # NaN or an infinity
            raise bad_field(f"{field}[{key!r}]", "a finite number", value)
        terms.append((key, value))
    return tuple(terms)


def _strict(value: Value, field: str, key: str, *, scalar: bool = False) -> Any:
    """A value that came in at this key of a field, or below. Depth is bounded by the protobuf parser (100)."""
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case "null_value":
            return None
        case None:
            rule = "of some kind: null, bool, number, string, list or object"
            raise bad_field(f"{field}[{key!r}]", rule, Said("none"))
        case kind if scalar:
            raise bad_field(f"{field}[{key!r}]", "a string, number, bool or null", Said(kind))
        case "list_value":
            return [_strict(item, field, key) for item in value.list_value.values]
        case _:
            return {name: _strict(item, field, key) for name, item in value.struct_value.fields.items()}


def plain_of(struct: Struct) -> dict[str, Any]:
    """A Struct that the registry sent as a dict; whole numbers become int."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < _INTEGRAL_MAX else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "struct_value":
            return plain_of(value.struct_value)
        case _:
            return None


def fill_struct(struct: Struct, values: Mapping[str, Any]) -> None:
    """Puts plain JSON values into an empty Struct."""
    fields = struct.fields
    for key, value in values.items():
        if isinstance(value, str):  # nearly all are
            fields[key].string_value = value
        else:
            _fill(fields[key], value)


def _fill(target: Value, value: Any) -> None:
    match value:
        case None:
            target.null_value = 0  # type: ignore[assignment] # NULL_VALUE, the only member
        case bool():
            target.bool_value = value
        case str():
            target.string_value = value
        case int() | float():
            target.number_value = value
        case Mapping():
            target.struct_value.SetInParent()
            fill_struct(target.struct_value, value)
        case _:
            target.list_value.SetInParent()
            for item in value:
                _fill(target.list_value.values.add(), item)
