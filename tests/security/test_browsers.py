"""A web page can make a browser send to any port of this machine: it gets nothing from the registry's."""

import asyncio

import pytest

from orion_registry.testing.daemon import running_daemon

PATH = "/orion.registry.v1.AdminService/ExportSnapshot"
REQUESTS = {
    "a simple request": f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n"
    "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
    "one that asks first": f"OPTIONS {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n"
    "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n",
    "a rebound name": f"GET {PATH} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "an upgrade to HTTP/2": f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "a WebSocket": f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
}


@pytest.mark.parametrize("what", REQUESTS)
async def test_a_browser_gets_nothing(what: str) -> None:
    """No answer of HTTP/1.1 at all, so no header that would let a page read one; and nothing has happened."""
    async with running_daemon() as daemon:
        host, _, port = daemon.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        before = daemon.coordinator.registry.revision
        writer.write(REQUESTS[what].encode())
        async with asyncio.timeout(10.0):
            said = await reader.read(64 * 1024)
        writer.close()
        assert b"HTTP/1" not in said
        assert b"access-control" not in said.lower()
        assert b"orion" not in said
        assert daemon.coordinator.registry.revision == before
