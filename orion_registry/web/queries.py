"""Query parameters as requests: a parameter is a field of the request, by its name in the protos."""

import functools
import json
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from orion_registry.errors import InvalidArgument, Reason, bad_field, shown
from orion_registry.wire.structs import fill_struct

M = TypeVar("M", bound=Message)

_WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_SWITCH = {"": True, "true": True, "1": True, "false": False, "0": False}


class Parameter(NamedTuple):
    """Where a parameter's value goes: into `field` of the message that `path` leads to."""

    path: tuple[str, ...]
    field: FieldDescriptor


def request_of(kind: type[M], pairs: Iterable[tuple[str, str]]) -> M:
    """A request, from parameters. Repeated fields take one value each time that they are named.

    Fields of messages within, such as those of `selector`, stand beside the request's own. Where both have a name
    (`zone` of ExplainSelection), the outer one is meant, and `selector.zone` names the inner one. `metadata.KEY=VALUE`
    is a term of metadata: a VALUE that is a JSON scalar counts as that, all else is text.

    Raises:
        InvalidArgument: BAD_FIELD, there is no such parameter, or its value is none of its kind.
    """
    request, descriptor = kind(), cast("Descriptor", kind.DESCRIPTOR)
    for name, value in pairs:
        parameter = _find(descriptor, name)
        target: Any = request
        for step in parameter.path:
            target = getattr(target, step)
        _put(target, parameter.field, name, value)
    return request


def parameters_of(descriptor: Descriptor) -> dict[str, Parameter]:
    """All parameters of a request, by name."""
    return _parameters(descriptor)


def _find(descriptor: Descriptor, name: str) -> Parameter:
    known = _parameters(descriptor)
    plain = name.partition("metadata.")[0] + "metadata" if "metadata." in name else name
    if plain in known:
        return known[plain]
    short = sorted(name for name in known if "." not in name)
    message = f"{shown(name)} is no parameter of this path; it takes {', '.join(short) or 'none'}"
    raise InvalidArgument(Reason.BAD_FIELD, message)


@functools.cache
def _parameters(descriptor: Descriptor) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    level: list[tuple[tuple[str, ...], Descriptor]] = [((), descriptor)]
    while level:  # the outer ones first
        deeper: list[tuple[tuple[str, ...], Descriptor]] = []
        for path, one in level:
            for field in one.fields:
                inner = field.message_type
                if inner is not None and not inner.full_name.startswith("google.") and not field.is_repeated:
                    deeper.append(((*path, field.name), inner))
                    continue
                for start in range(len(path), -1, -1):
                    found.setdefault(".".join((*path[start:], field.name)), Parameter(path, field))
        level = deeper
    return found


def _put(target: Any, field: FieldDescriptor, name: str, text: str) -> None:
    inner = field.message_type
    if inner is Struct.DESCRIPTOR:
        key = name.partition("metadata.")[2]
        if not key:
            raise bad_field(name, "metadata.KEY=VALUE", text)
        fill_struct(getattr(target, field.name), {key: _scalar(text)})
    elif inner is Duration.DESCRIPTOR:
        try:
            getattr(target, field.name).FromJsonString(text)
        except ValueError:
            raise bad_field(name, "a span in seconds, as in 1.5s", text) from None
    elif field.is_repeated:
        getattr(target, field.name).append(_value(field, name, text))
    else:
        setattr(target, field.name, _value(field, name, text))


def _scalar(text: str) -> Any:
    """true, false, null and numbers are what JSON takes them for; "3" in quotes is text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, list | dict) else value


def _value(field: FieldDescriptor, name: str, text: str) -> Any:
    kind = field.cpp_type
    if kind in _WHOLE:
        least, most = _WHOLE[kind]
        if not text.removeprefix("-").isdecimal() or len(text) > 20 or not least <= int(text) <= most:
            raise bad_field(name, f"a whole number of {least:,} to {most:,}", text)
        return int(text)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        if text.lower() not in _SWITCH:
            raise bad_field(name, "true or false", text)
        return _SWITCH[text.lower()]
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return _number(field, name, text)
    return text


def _number(field: FieldDescriptor, name: str, text: str) -> int:
    """An enum's value by its name, with or without the prefix that all its names have."""
    assert field.enum_type is not None
    names = field.enum_type.values_by_name
    prefix = next(iter(names)).removesuffix("UNSPECIFIED")
    word = text.upper()
    for wanted in (word, prefix + word):
        if wanted in names:
            return int(names[wanted].number)
    raise bad_field(name, "one of " + ", ".join(one.removeprefix(prefix) for one in names), text)
