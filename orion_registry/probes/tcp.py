"""TCP probe: passes if the connection is accepted."""

import asyncio
import socket

from orion_registry.probes.os_errors import end_of
from orion_registry.probes.resolve import Address


async def probe_tcp(port: int, address: Address) -> None:
    """Returns if it passed.

    Raises:
        Unreached: nobody accepts.
        CheckUnavailable: an error of this machine.
    """
    try:
        # No streams: asyncio's own cost three times as much CPU as the connection itself.
        with socket.socket(address.family, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, address.sockaddr(port))
    except OSError as error:
        raise end_of(error) from None
