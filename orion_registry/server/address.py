"""Addresses as people write them, and what they stand for on this machine."""

import asyncio
import ipaddress
import os
import re
import socket
from dataclasses import dataclass

from orion_registry.server.start_error import SettingError, StartError

_UNIX_PATH_BYTES = 107  # sun_path of Linux holds 108 with its closing zero
_RULE = (
    "on loopback or a Unix socket, unless callers prove who they are over TLS: set tls_cert_file and tls_key_file, and "
    "tls_client_ca_file or tokens_file (orion-registry certs and token make them), or else insecure_listen"
)
_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """A host name or IP address (IPv6 without brackets), and a port; 0 = a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    """Absolute path of a Unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """An address as people write it: HOST:PORT, [IPV6]:PORT or unix:PATH.

    Raises:
        ValueError: it is none of these.
    """
    if text.startswith("unix:"):
        path = os.path.abspath(text.removeprefix("unix:"))
        if text == "unix:" or "\0" in path or len(os.fsencode(path)) > _UNIX_PATH_BYTES:
            raise ValueError("not a path for a socket")
        return UnixAddress(path=path)
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match[3]) > 65535:
        raise ValueError("not HOST:PORT")
    if match[1]:
        ipaddress.IPv6Address(match[1])
    return TcpAddress(host=match[1] or match[2], port=int(match[3]))


async def resolve(text: str, *, exposed: bool, setting: str = "listen", rule: str = _RULE) -> list[Address]:
    """The addresses that a listen entry stands for.

    Args:
        text: the entry.
        exposed: addresses that other machines can reach are allowed.
        setting: where the entry stands, for errors.
        rule: what the entry must be where they are not.

    Raises:
        StartError: the name is unknown, or other machines could reach it and nobody asked for that by name.
    """
    address = parse_address(text)
    if isinstance(address, UnixAddress):
        return [address]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise StartError(f"{setting}: the host {address.host} of {text} is unknown") from None
    hosts = list(dict.fromkeys(str(info[4][0]) for info in found))
    for host in hosts:
        if not exposed and not _is_loopback(host):
            raise SettingError(setting, rule, text)
    return [TcpAddress(host=host, port=address.port) for host in hosts]


def _is_loopback(host: str) -> bool:
    ip = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)
