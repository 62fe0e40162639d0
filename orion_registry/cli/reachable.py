"""Several addresses on the command line: which one a command goes to."""

import socket
from typing import Final

CONNECT_S: Final = 1.0
"""That an address may take to accept, while there are others."""


def reachable_first(address: str) -> tuple[str, ...]:
    """The addresses meant, with the first that accepts a connection in front; if none does, as they were given.

    A client that fails once goes to its next address with its next call; but most commands make one call only.

    Raises:
        InvalidArgument: as `resolve_addresses`.
    """
    from orion_registry.client.channel import resolve_addresses  # gRPC: see `connect`

    addresses = resolve_addresses(address)
    for index, one in enumerate(addresses):
        if len(addresses) > 1 and _accepts(one):
            return addresses[index:] + addresses[:index]
    return addresses


def _accepts(address: str) -> bool:
    if address.startswith("unix-abstract:"):
        place: str = "\0" + address.removeprefix("unix-abstract:")
    else:
        place = address.removeprefix("unix:")
    try:
        if place != address:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(CONNECT_S)
                line.connect(place)
        else:
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError:
        return False
    return True
