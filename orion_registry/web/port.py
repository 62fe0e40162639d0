"""The HTTP port: bound with the daemon, closed with it."""

import asyncio
import errno
import importlib
import logging
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orion_registry.server.address import TcpAddress, parse_address, resolve
from orion_registry.server.settings import Settings
from orion_registry.server.side_door import Authenticate, Served
from orion_registry.server.start_error import StartError
from orion_registry.web.access import anybody

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("orion_registry")

DEFAULT = "127.0.0.1:6747"
"""What "auto" means, if it is free."""

CONNECTIONS_MOST = 512
"""Connections open at once; above it new ones are closed. One costs about 30 kB."""

COMING_S = 1.0
"""How long one that was accepted is waited for: one that ends before it has begun is never heard of."""

KEEP_ALIVE_S = 15.0
SHUTDOWN_S = 1.0
"""How long a request may go on once the registry stops; streams have been ended by then."""

_RULE = "on loopback, for it is plaintext: set insecure_listen too, or have a proxy on this machine speak TLS"


class HttpPort:
    """The `SideDoor` that speaks HTTP."""

    def __init__(self, authenticate: Authenticate | None = None) -> None:
        """authenticate: who calls; None = as the settings say."""
        self._authenticate = authenticate
        self._sockets: list[socket.socket] = []
        self._name = ""
        self._opening: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._servers: list[asyncio.Server] = []
        self._coming: dict[asyncio.Protocol, float] = {}

    async def bind(self, settings: Settings) -> None:
        """See `SideDoor`. Where the default address is taken, the registry does without."""
        by_name = settings.http != "auto"
        text = settings.http if by_name else DEFAULT
        found = await resolve(text, exposed=settings.insecure_listen, setting="http", rule=_RULE)
        addresses = [address for address in found if isinstance(address, TcpAddress)]
        try:
            self._sockets = _bound(addresses)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "it is in use: another daemon?" if taken else (error.strerror or str(error)).lower()
            if by_name:
                raise StartError(f"http: cannot listen on {text}: {why} use --http HOST:PORT, or off") from None
            log.warning("no HTTP port", extra={"http": text, "error": why, "advice": "set --http HOST:PORT, or off"})
        parsed = parse_address(text)
        self._name = parsed.host if isinstance(parsed, TcpAddress) else ""

    async def open(self, served: Served) -> None:
        """See `SideDoor`. Answers soon: it takes as long to import aiohttp as to start all the rest, and agents that
        come back need not wait for that. Whoever connects before waits in the sockets' backlog.
        """
        if self._sockets:
            self._opening = asyncio.create_task(self._start(served), name="http port")

    async def _start(self, served: Served) -> None:
        try:
            await asyncio.to_thread(importlib.import_module, "orion_registry.web.site")
            self._runner = self._make_runner(served)
            await self._runner.setup()
            loop = asyncio.get_running_loop()
            for one in self._sockets:
                self._servers.append(await loop.create_server(self._protocol, sock=one))
        except Exception:
            log.exception("the HTTP port failed", extra=self.where())

    def _make_runner(self, served: Served) -> "web.AppRunner":
        from aiohttp import web

        from orion_registry.web.guard import Hosts
        from orion_registry.web.site import build

        known = self._authenticate or served.authenticate or anybody
        hosts = Hosts(self._name, [one.getsockname()[0] for one in self._sockets])
        return web.AppRunner(
            build(served, known, hosts),
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            keepalive_timeout=KEEP_ALIVE_S,
            shutdown_timeout=SHUTDOWN_S,
        )

    def _protocol(self) -> asyncio.Protocol:
        """What serves a new connection."""
        server = None if self._runner is None else self._runner.server
        if server is None or self._taken(server) >= CONNECTIONS_MOST:
            return _Refusing()
        handler: asyncio.Protocol = server()
        self._coming[handler] = asyncio.get_running_loop().time()
        return handler

    def _taken(self, server: "web.Server") -> int:
        """Connections that are open or about to be: many may be accepted before the server hears of the first."""
        known, late = set(server.connections), asyncio.get_running_loop().time() - COMING_S
        self._coming = {one: at for one, at in self._coming.items() if one not in known and at > late}
        return len(known) + len(self._coming)

    async def close(self) -> None:
        """See `SideDoor`."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait({opening})
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        for one in self._sockets:
            one.close()
        self._sockets = []

    def where(self) -> Mapping[str, object]:
        """See `SideDoor`."""
        if not self._sockets:
            return {}
        host, port = self._sockets[0].getsockname()[:2]
        return {"http": str(TcpAddress(host=host, port=port))}


class _Refusing(asyncio.Protocol):
    """Closes a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        transport.close()


def _bound(addresses: Sequence[TcpAddress]) -> list[socket.socket]:
    """A listening socket for each address that this machine has; the first finds the port of all if it is 0.

    Raises:
        OSError: one cannot be had, or none.
    """
    sockets: list[socket.socket] = []
    port, last = 0, OSError(errno.EADDRNOTAVAIL, "no such address")
    for address in addresses:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address.host, address.port or port))
            one.listen(128)
        except OSError as error:
            one.close()
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                for other in sockets:
                    other.close()
                raise
            last = error
            continue
        port = one.getsockname()[1]
        sockets.append(one)
    if not sockets:
        raise last
    return sockets
