"""Where a check may go. Agents name the targets of checks; the registry's machine may reach what they may not."""

import ipaddress
from dataclasses import dataclass

from orion_registry.probes.special import IPAddress, IPNetwork, embedded, plain, special

LOOPBACK = ipaddress.IPv4Address("127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Lets checks reach the address that the agent connected from, and the networks that the operator listed.

    A special address (loopback, link-local, metadata services and the like; see `special`) is only reached through a
    listed network that lies within its own range: 0.0.0.0/0 opens no metadata service, 169.254.169.254/32 does.
    An address that carries others (NAT64, 6to4, Teredo and the like) is refused if any of these is.
    """

    allow: tuple[IPNetwork, ...] = ()

    def judge(self, ip: IPAddress, peer: IPAddress | None) -> str | None:
        """Why a check may not go to ip, None if it may. peer is where the agent connects from, None = nobody knows."""
        ip = plain(ip)
        own = peer is not None and _same(ip, plain(peer))
        refusal = self._refusal(ip, own=own, special_own=own)
        if refusal is not None:
            return refusal
        for inner in embedded(ip):
            refusal = self._refusal(inner, own=own, special_own=False)
            if refusal is not None:
                return f"{ip} carries {inner}, and {refusal}"
        return None

    def _refusal(self, ip: IPAddress, *, own: bool, special_own: bool) -> str | None:
        ip = _unscoped(ip)
        listed = [network for network in self.allow if ip in network]
        row = special(ip)
        if row is None:
            return (
                None if own or listed else f"{ip} is not the agent's address, nor in a network that the operator lists"
            )
        if (row.own and special_own) or any(_within(network, row.network) for network in listed):
            return None
        return f"{ip} is {row.words}"


def peer_of(address: str) -> IPAddress | None:
    """The address that an agent connects from; empty = this machine (a Unix socket or in process).

    >>> peer_of("10.1.2.3"), peer_of(""), peer_of("nobody")
    (IPv4Address('10.1.2.3'), IPv4Address('127.0.0.1'), None)
    """
    if not address:
        return LOOPBACK
    try:
        return ipaddress.ip_address(address.replace("%25", "%"))  # gRPC quotes the zone of fe80::1%eth0
    except ValueError:
        return None


def _same(ip: IPAddress, peer: IPAddress) -> bool:
    """Whether they are one machine for sure. A zone (fe80::1%2) counts: another link has another fe80::1."""
    return ip == peer or (ip.is_loopback and peer.is_loopback)


def _unscoped(ip: IPAddress) -> IPAddress:
    return ipaddress.IPv6Address(int(ip)) if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id else ip


def _within(network: IPNetwork, wider: IPNetwork) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(wider, ipaddress.IPv4Network) and network.subnet_of(wider)
    return isinstance(wider, ipaddress.IPv6Network) and network.subnet_of(wider)
