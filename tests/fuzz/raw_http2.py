"""One gRPC call as raw HTTP/2 frames (RFC 9113), to send what no client library would."""

import asyncio
import re
import struct

_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1


async def call(address: str, path: str, body: bytes, extra: dict[str, str]) -> int:
    """Sends a request on a new connection; returns the number of its grpc-status."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": address,
               "content-type": "application/grpc", "te": "trailers"} | extra  # fmt: skip
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b""))
    block = b"".join(_literal(name) + _literal(value, head=b"") for name, value in headers.items())
    writer.write(_frame(_HEADERS, _END_HEADERS, 1, block) + _frame(_DATA, _END_STREAM, 1, body))
    try:
        return await asyncio.wait_for(_status(reader, writer), timeout=10)
    finally:
        writer.close()


def message(data: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message: flag, length, bytes."""
    return struct.pack(">BI", compressed, len(data)) + data


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Reads frames until the trailers. Names on a new connection come as plain literals (RFC 7541 section 6.2.1)."""
    while True:
        head = await reader.readexactly(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        payload = await reader.readexactly(size)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        found = re.search(rb"grpc-status[\x01\x02](\d+)", payload) if kind == _HEADERS else None
        if found:
            return int(found[1])


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(text: str, head: bytes = b"\x00") -> bytes:
    """A header's name (with its head: literal, not indexed) or value, shorter than 127 bytes, without Huffman."""
    data = text.encode("latin-1")
    assert len(data) < 127, text
    return head + bytes((len(data),)) + data
