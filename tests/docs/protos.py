"""The protos as buf compiles them: descriptors with the comments that stand at each element."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).with_name("buf")
# Numbers of the fields of FileDescriptorProto, DescriptorProto and so on that lead to an element: descriptor.proto.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED, NESTED_ENUMS = 2, 3, 4
VALUES = METHODS = 2
Path_ = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """A message or enum.

    Attributes:
        name: its name without the package; Outer.Inner if it is nested.
        full: its name with the package, as fields refer to it.
        about: the comment that stands at it.
        comments: those of its fields or values, in their order.
    """

    name: str
    full: str
    about: str
    comments: Sequence[str]
    descriptor: DescriptorProto | EnumDescriptorProto


def compile_protos() -> Sequence[FileDescriptorProto]:
    """All files below protos/, with their comments."""
    made = subprocess.run(
        [BUF, "build", "--as-file-descriptor-set", "-o", "-"], cwd=ROOT, capture_output=True, check=True
    )
    return FileDescriptorSet.FromString(made.stdout).file


def comments_of(file: FileDescriptorProto) -> Mapping[Path_, str]:
    """The comment that leads each element, by the element's path."""
    return {tuple(at.path): at.leading_comments for at in file.source_code_info.location}


def types_of(file: FileDescriptorProto) -> Iterator[Type]:
    """Its messages, each with those nested in it behind it; then its enums."""
    comments = comments_of(file)

    def walk(message: DescriptorProto, path: Path_, outer: str) -> Iterator[Type]:
        if message.options.map_entry:
            return
        name = outer + message.name
        yield Type(
            name=name,
            full=f".{file.package}.{name}",
            about=comments.get(path, ""),
            comments=[comments.get((*path, FIELDS, at), "") for at in range(len(message.field))],
            descriptor=message,
        )
        for at, inner in enumerate(message.nested_type):
            yield from walk(inner, (*path, NESTED, at), f"{name}.")

    for at, message in enumerate(file.message_type):
        yield from walk(message, (MESSAGES, at), "")
    for at, enum in enumerate(file.enum_type):
        yield Type(
            name=enum.name,
            full=f".{file.package}.{enum.name}",
            about=comments.get((ENUMS, at), ""),
            comments=[comments.get((ENUMS, at, VALUES, one), "") for one in range(len(enum.value))],
            descriptor=enum,
        )


def map_entry(message: DescriptorProto, field: FieldDescriptorProto) -> DescriptorProto | None:
    """Key and value of a field that is a map; of others None."""
    name = field.type_name.rpartition(".")[2]
    return next((one for one in message.nested_type if one.name == name and one.options.map_entry), None)
