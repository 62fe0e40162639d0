"""Odd values, by the type of a field: boundaries, and what makes parsers, formatters and databases stumble."""

import math
import random
import struct
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as F

_INT32 = (0, 1, -1, 2, 7, 64, 65, 100, 127, 128, 255, 999, 1_000, 1_001, 65_535, 65_536, 999_999_999, 1_000_000,
          1_000_001, 2**31 - 1, -(2**31))  # fmt: skip
_INT64 = (*_INT32, 2**32, 2**53, 2**53 + 1, 315_576_000_000, 315_576_000_001, 253_402_300_800, 2**63 - 1, -(2**63))
_DOUBLE = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-9, 5e-324, 100.0, 100.0000001, 1_000.0, 1_000.5, 1e18, 1.8e308, -1e308,
           math.inf, -math.inf, math.nan)  # fmt: skip
_TEXTS = ("", "a", "A-1.b_c:d", "0", "-a", " ", " lead", "trail ", "a b", "a" * 127, "a" * 128, "a" * 129, "x" * 253,
          "x" * 254, "y" * 2049, "\x00", "a\x00b", "line\nbreak", "\r\nx-injected: 1", "tab\t", "\x1b[31m", "\x7f",
          "\u202egnp.exe", "\ufeff", "\u2028", "ß" * 128, "İ", "\U0001f600" * 40, "\U0010ffff", "\ud7ff", "../../etc",
          "%s%n%p", "{0.__class__}", "$(id)", "' or 1=1 --", "null", "NaN", "true", "default", "agent", "0.0.0.0", "::",
          "::1", "[::1]", "127.0.0.1", "localhost", "999.1.1.1", "fe80::1%eth0", "::ffff:127.0.0.1", "a/b", "a@b",
          "http://h/", "orion.registry.v1.RegistryService", "orion_registry_pb/v1/service.proto",
          "google.protobuf.Struct", "grpc.health.v1.Health", "AAAAAAAAAAAAAAAAAAAAAA==", "====", "é" * 64)  # fmt: skip

BIG_TEXT = 20_000
HUGE_TEXT = 1_100_000
"""Above what the daemon takes: refused by gRPC itself."""


def odd_scalar(field: F, rng: random.Random, words: list[str]) -> Any:
    """An odd value for a field that is no message. `words`: what the daemon knows by now, such as ids and tokens."""
    match field.cpp_type:
        case F.CPPTYPE_INT32:
            return rng.choice(_INT32)
        case F.CPPTYPE_INT64:
            return rng.choice(_INT64)
        case F.CPPTYPE_UINT32 | F.CPPTYPE_UINT64:
            return abs(rng.choice(_INT32[:-1]))
        case F.CPPTYPE_DOUBLE:
            return rng.choice(_DOUBLE)
        case F.CPPTYPE_FLOAT:
            return struct.unpack("f", rng.randbytes(4))[0]
        case F.CPPTYPE_BOOL:
            return rng.random() < 0.8
        case F.CPPTYPE_ENUM:
            known = len(field.enum_type.values) if field.enum_type is not None else 0
            return rng.choice((*range(known + 2), rng.randrange(known), -1, 2**31 - 1, -(2**31)))
    text = odd_text(rng, words)
    return text.encode() if field.type == F.TYPE_BYTES else text


def odd_text(rng: random.Random, words: list[str]) -> str:
    """An odd string, or one that means something to the daemon."""
    draw = rng.random()
    if draw < 0.35 and words:
        return rng.choice(words)
    if draw < 0.38:
        return rng.choice("az\x00é") * BIG_TEXT
    if draw < 0.48:
        return "".join(chr(rng.choice((rng.randrange(1, 0x250), rng.randrange(0x2000, 0x2100)))) for _ in range(8))
    return rng.choice(_TEXTS)


def deep_struct(rng: random.Random) -> bytes:
    """A serialised Value of lists or objects within each other, below and beyond what parsers take."""
    data = b"\x11" + b"\x00" * 8 if rng.random() < 0.5 else b""  # number_value 0, or a Value of no kind
    for _ in range(rng.choice((2, 6, 7, 8, 9, 15, 24, 30, 33, 34, 48, 50, 99, 200, 2_000))):
        if rng.random() < 0.5:
            data = tagged(6, tagged(1, data))  # Value.list_value.values
        else:
            data = tagged(5, tagged(1, tagged(1, b"k") + tagged(2, data)))  # Value.struct_value.fields
    return data


def unknown_fields(rng: random.Random) -> bytes:
    """Well-formed fields with numbers that no message has, of every wire type, groups too."""
    number = rng.choice((900, 19_000, 2**29 - 1))
    match rng.randrange(5):
        case 0:
            return varint(number << 3) + varint(rng.getrandbits(64))
        case 1:
            return varint(number << 3 | 1) + rng.randbytes(8)
        case 2:
            return tagged(number, rng.randbytes(rng.choice((0, 3, 2_000))))
        case 3:
            return varint(number << 3 | 5) + rng.randbytes(4)
        case _:
            depth = rng.choice((1, 20, 98, 150))
            return varint(number << 3 | 3) * depth + varint(number << 3 | 4) * depth


def tagged(number: int, data: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """A number, seven bits a byte."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
