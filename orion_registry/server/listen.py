"""Where the daemon listens: addresses read, resolved, and bound so that no second daemon can share or steal them.

gRPC alone would not notice: TCP ports are shared by SO_REUSEPORT unless told otherwise, several addresses behind one
name count as bound when one is, and the file of a Unix socket is silently replaced. So every address is tried by a
plain socket first (which also says *why* it cannot be had), and a Unix socket belongs to who holds its lock.
"""

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import grpc

from orion_registry.server.address import Address, TcpAddress, UnixAddress, resolve
from orion_registry.server.socket_lock import SocketLock
from orion_registry.server.start_error import StartError

_UNUSABLE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


Credentials = Callable[[], grpc.ServerCredentials]


class PortBinder(Protocol):
    """What of a gRPC server is needed here."""

    def add_insecure_port(self, address: str) -> int:
        """Binds; returns the port. Raises RuntimeError."""
        ...

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """The same, with TLS."""
        ...


class Listeners:
    """What the daemon is bound to. Thin: binds at start, tidies up after the server has stopped."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        """credentials: made for each TCP address, for TLS; None = plaintext. Unix sockets are plaintext always."""
        self.addresses: tuple[str, ...] = ()
        self._credentials = credentials
        self._locks: list[SocketLock] = []

    async def bind(self, server: PortBinder, listen: Sequence[str], *, exposed: bool) -> None:
        """Binds every entry of `listen`; all or StartError (then `close` releases what was had).

        exposed: see `resolve`.
        """
        for text in listen:
            self._bind_entry(server, await resolve(text, exposed=exposed))

    def _bind_entry(self, server: PortBinder, addresses: Sequence[Address]) -> None:
        port = 0
        bound = False
        for address in addresses:
            if isinstance(address, UnixAddress):
                self._bind_unix(server, address)
                bound = True
                continue
            # Behind one name, the second address gets the port that the first one found.
            wanted = TcpAddress(host=address.host, port=address.port or port)
            try:
                try_port(wanted)
            except OSError as error:
                unusable = error.errno in _UNUSABLE and (bound or address is not addresses[-1])
                if unusable:  # localhost is also ::1, even where there is no IPv6
                    continue
                raise StartError(_why(wanted, error)) from None
            port = _add_port(server, wanted, self._credentials)
            bound = True
            self.addresses += (str(TcpAddress(host=wanted.host, port=port)),)

    def _bind_unix(self, server: PortBinder, address: UnixAddress) -> None:
        self._locks.append(SocketLock(address.path))
        _add_port(server, address, None)
        self.addresses += (str(address),)

    def close(self) -> None:
        """Removes sockets and locks. Call it when the server has stopped, or never began."""
        for lock in self._locks:
            lock.release()
        self._locks.clear()
        self.addresses = ()


def try_port(address: TcpAddress) -> None:
    """Binds and releases a TCP port. Raises OSError with the reason why it cannot be had."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As gRPC does, or connections of a daemon that just ended would keep the port for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((address.host, address.port))
        probe.listen(1)  # SO_REUSEADDR lets two bind; only one may listen


def _add_port(server: PortBinder, address: Address, credentials: Credentials | None) -> int:
    try:
        if credentials is not None:
            return server.add_secure_port(str(address), credentials())
        return server.add_insecure_port(str(address))
    except RuntimeError:
        if isinstance(address, UnixAddress):
            raise StartError(f"cannot listen on {address}: the socket cannot be made") from None
        raise StartError(_why(address, OSError(errno.EADDRINUSE, ""))) from None


def _why(address: TcpAddress, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {address.port} on {address.host} is in use: another daemon? use --listen HOST:PORT"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"no permission to listen on port {address.port} of {address.host}: use a port from 1024 on"
    if error.errno in _UNUSABLE:
        return f"cannot listen on {address}: {address.host} is not an address of this machine"
    return f"cannot listen on {address}: {(error.strerror or str(error)).lower()}"
