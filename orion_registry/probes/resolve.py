"""From the host that a check names to the addresses that it connects to, and to no others."""

import socket
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from orion_registry.probes.egress import EgressPolicy, peer_of
from orion_registry.probes.ends import CheckDenied, CheckFailed
from orion_registry.probes.lookup import Lookup, literal
from orion_registry.probes.special import IPAddress, plain

MOST = 4  # addresses of a name that are tried in turn; all are judged
_HOST = 253  # characters of a DNS name; encoding a longer one can take quadratic time (CVE-2022-45061)

_KEPT = 4_096  # answers that need no asking again: as many as there are targets of many checks, about 2 MB

_SIGNS = " /\\@?#[]"  # of URLs and of people who try things; a colon stands in IPv6 addresses only, at least twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address that the egress policy lets through. A zone is a number, as in fe80::1%2."""

    ip: IPAddress

    @property
    def family(self) -> socket.AddressFamily:
        """Of a socket to it."""
        return socket.AF_INET if isinstance(self.ip, IPv4Address) else socket.AF_INET6

    def sockaddr(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """What a socket connects to; nothing is left to be looked up."""
        if isinstance(self.ip, IPv4Address):
            return (str(self.ip), port)
        return (str(self.ip).partition("%")[0], port, 0, int(self.ip.scope_id or 0))

    @property
    def in_url(self) -> str:
        """As the host of a URL."""
        return str(self.ip) if isinstance(self.ip, IPv4Address) else f"[{self.ip}]"


class Resolver:
    """Looks a host up once for each attempt and has the policy judge every address of it."""

    def __init__(self, policy: EgressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup
        self._judged = lru_cache(_KEPT)(self._judge)

    async def resolve(self, host: str, peer: str) -> tuple[Address, ...]:
        """Where to connect, in the system's order of preference; at least one.

        peer is the address that the agent connects from, empty = this machine.

        Raises:
            CheckDenied: the policy refuses one of its addresses; then the others are not tried either.
            CheckFailed: it has no address.
            CheckUnavailable: the look-up did not work.
        """
        texts = _known(host) if "%" not in host else _spoken(host)  # zones come and go with network interfaces
        if texts is None:
            texts = await self._lookup(host)
        if not texts:
            raise CheckFailed("the host has no address")
        judged = self._judged(texts, numbered(peer_of(peer)))
        if isinstance(judged, str):
            raise CheckDenied(judged)
        return judged

    def _judge(self, texts: tuple[str, ...], agent: IPAddress | None) -> tuple[Address, ...] | str:
        """The addresses to try, or why the target is refused. The policy goes by its arguments alone, so that what it
        said of the same ones still holds: kept, a run over TCP costs a quarter less.
        """
        ips = [plain(ip_address(text)) for text in texts]
        for ip in ips:
            refusal = self._policy.judge(ip, agent)
            if refusal is not None:
                return refusal
        return tuple(Address(ip=ip) for ip in ips[:MOST])


def _spoken(host: str) -> tuple[str, ...] | None:
    """The addresses that a host is by itself; none if it is nothing that may be looked up, None for a name."""
    return literal(host) if _speakable(host) else ()


_known = lru_cache(_KEPT)(_spoken)


def _speakable(host: str) -> bool:
    """Whether a host may be handed to the system at all. C reads a name up to its first zero byte."""
    return (
        0 < len(host) <= _HOST
        and host.isprintable()
        and not any(sign in host for sign in _SIGNS)
        and host.count(":") != 1
    )


def numbered(ip: IPAddress | None) -> IPAddress | None:
    """An address with its zone as a number: fe80::1%eth0 becomes fe80::1%2. None if there is no such zone."""
    if not isinstance(ip, IPv6Address) or not ip.scope_id or ip.scope_id.isdecimal():
        return ip
    try:
        return IPv6Address(f"{str(ip).partition('%')[0]}%{socket.if_nametoindex(ip.scope_id)}")
    except OSError:
        return None
