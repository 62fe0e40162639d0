"""Where a call comes from, out of gRPC's text for it."""

from urllib.parse import unquote


def peer_address(peer: str) -> str:
    """The IP address in a peer's text; empty for a Unix socket, which has none.

    >>> peer_address("ipv4:10.1.2.3:4711"), peer_address("ipv6:%5B::1%5D:4711"), peer_address("unix:")
    ('10.1.2.3', '::1', '')
    """
    if peer.startswith("ipv4:"):
        return peer[5 : peer.rindex(":")]
    if peer.startswith("ipv6:"):
        return unquote(peer[5 : peer.rindex(":")]).strip("[]")
    return ""
