"""What a browser could be made to do against the port: which hosts and origins are answered, and with which headers.

A page of somebody else can send requests here from the browser of whoever visits it. Its Origin gives it away; and if
it had its own name point here (DNS rebinding), its Host does.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Middleware

from orion_registry.errors import shown
from orion_registry.web.errors import problem

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "orion-registry",
}
"""Of every answer: no script or style but those of the port itself, nothing inline, no frames around it."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Hosts:
    """The names by which the port may be called."""

    def __init__(self, name: str, addresses: Iterable[str]) -> None:
        """Args: name: the host as it was set; addresses: those that it stands for."""
        self._names = {"localhost", name.lower().rstrip(".")}
        self._bound = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]

    def allows(self, host: str) -> bool:
        """Whether a Host header names this port. Any of the machine's addresses will do where all are listened on."""
        name = _name_of(host)
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        if any(bound.is_unspecified for bound in self._bound):
            return True
        return address in self._bound or (address.is_loopback and any(bound.is_loopback for bound in self._bound))


def guard(hosts: Hosts) -> Middleware:
    """Refuses forged hosts and foreign origins."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not hosts.allows(host):
            message = f"Host: {shown(host)} is not a name of this port; see --http"
            return problem(421, "PERMISSION_DENIED", "NOT_ALLOWED", message)
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() not in {f"http://{host.lower()}", f"https://{host.lower()}"}:
            message = f"Origin: pages of {shown(origin)} may not read this port"
            return problem(403, "PERMISSION_DENIED", "NOT_ALLOWED", message)
        return await handler(request)

    return check


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Puts `HEADERS` on an answer."""
    response.headers.update(HEADERS)


def _name_of(host: str) -> str:
    """The name or address in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")
