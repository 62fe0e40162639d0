"""Addresses that are not just another machine, and the addresses that hide in others."""

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """A range that no wider listed network opens.

    words say what an address in it is; an agent that connects from there itself may be reached there if own.
    """

    network: IPNetwork
    words: str
    own: bool = False


def _rows(words: str, *networks: str, own: bool = False) -> tuple[Special, ...]:
    return tuple(Special(network=ipaddress.ip_network(network), words=words, own=own) for network in networks)


# The narrowest first: the first that holds an address decides. ipaddress's own is_global, is_private and is_reserved
# do not serve: they take NAT64 and 6to4 forms of inner addresses for global ones, and know no metadata service.
SPECIALS = (
    *_rows(
        "a cloud metadata address",
        "169.254.169.254/32",  # AWS, Azure, Google, Oracle, DigitalOcean, OpenStack and others
        "169.254.170.2/32",  # AWS ECS: credentials of the task
        "169.254.170.23/32",  # AWS EKS: credentials of the pod
        "169.254.42.42/32",  # Scaleway
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure: the wire server
        "192.0.0.192/32",  # Oracle Classic
        "fd00:ec2::/32",  # AWS: ::254 metadata, ::23 EKS, and its other services
        "fd20:ce::254/128",  # Google
        "fd00:42::42/128",  # Scaleway
    ),
    *_rows("a broadcast address", "255.255.255.255/32"),
    *_rows("an unspecified address", "0.0.0.0/8", "::/128"),
    *_rows("a loopback address", "127.0.0.0/8", "::1/128", own=True),
    *_rows("a link-local address", "169.254.0.0/16", "fe80::/10", own=True),
    *_rows("a multicast address", "224.0.0.0/4", "ff00::/8"),
    *_rows("a reserved address", "192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4", "fec0::/10"),
    # What IANA has not given out; in ::/8 are IPv4-compatible and IPv4-translated addresses, and NAT64's (below).
    *_rows("a reserved address", "::/8", "100::/8", "200::/7", "400::/6", "800::/5", "1000::/4", "4000::/3", "6000::/3",
           "8000::/3", "a000::/3", "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9"),
)  # fmt: skip
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_LOW = IPv6Network("::/64")  # IPv4-compatible ::a.b.c.d, IPv4-translated ::ffff:0:a.b.c.d
_NOWHERE = IPv4Network("0.0.0.0/8")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def special(ip: IPAddress) -> Special | None:
    """The special range that holds an address, None if it is a plain one."""
    if ip in _NAT64 or ip in _LOCAL_NAT64:
        return None  # what they carry is judged
    return next((row for row in SPECIALS if ip in row.network), None)


def plain(ip: IPAddress) -> IPAddress:
    """The address that packets really go to: an IPv4-mapped one is the IPv4 address in it."""
    return (ip.ipv4_mapped if isinstance(ip, IPv6Address) else None) or ip


def embedded(ip: IPAddress) -> tuple[IPv4Address, ...]:
    """IPv4 addresses in an IPv6 one that some router or tunnel may deliver to: all that it could mean."""
    if isinstance(ip, IPv4Address):
        return ()
    packed = ip.packed
    last = IPv4Address(packed[12:])
    if ip.sixtofour is not None:
        return (ip.sixtofour,)
    if ip.teredo is not None:
        return ip.teredo
    if ip in _LOCAL_NAT64:  # RFC 8215 leaves the length of the prefix open; RFC 6052 2.2 says where it puts the bytes
        forms = (packed[6:8] + packed[9:11], packed[7:8] + packed[9:12], packed[9:13], packed[12:])
        found = dict.fromkeys(IPv4Address(form) for form in forms)
        return tuple(form for form in found if form not in _NOWHERE) or (last,)
    if ip in _NAT64 or (ip in _LOW and int(ip) > 1) or int.from_bytes(packed[8:12], "big") in _ISATAP:
        return (last,)
    return ()
