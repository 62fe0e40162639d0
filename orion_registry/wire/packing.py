"""Protobuf's wire format by hand, where a message is put together from bytes that are there already.

See https://protobuf.dev/programming-guides/encoding: a field is its tag (number * 8 + wire type) as a varint, then its
value: a varint (type 0), or a length as a varint and that many bytes (type 2).
"""

_VARINT, _BYTES = 0, 2


def varint(value: int) -> bytes:
    """A number from 0 on, seven bits a byte, the lowest first."""
    if value < 0x80:
        return _ONE_BYTE[value]
    if value < 0x4000:  # nearly every service's length
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag_of_bytes(field: int) -> bytes:
    """Tag of a message, string or bytes field."""
    return varint(field << 3 | _BYTES)


def number(field: int, value: int) -> bytes:
    """A number from 0 on as a field; nothing if it is 0, as in proto3."""
    return varint(field << 3 | _VARINT) + varint(value) if value else b""


def blob(field: int, data: bytes) -> bytes:
    """A message, string or bytes as a field."""
    return b"".join((tag_of_bytes(field), varint(len(data)), data))


_ONE_BYTE = [bytes((value,)) for value in range(0x80)]
