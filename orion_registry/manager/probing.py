"""How an embedded registry looks at services: the daemon's probes, let loose on the process's own surroundings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from ipaddress import ip_network
from typing import TYPE_CHECKING

from orion_registry.core.checks.spec import CheckSpec, HttpProbe
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.errors import Reason, Unimplemented

if TYPE_CHECKING:
    from orion_registry.probes.prober import Prober

ALLOWED = tuple(map(ip_network, ("0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128")))
"""Whoever registers here could connect by itself. Metadata services and the like stay shut: no address range as wide
as these opens them, and a URL may have come from elsewhere."""

NO_HTTP = "checks of health_check_url need aiohttp: pip install 'orion-registry[server]'"


@asynccontextmanager
async def prober() -> AsyncIterator["Prober"]:
    """A prober of the running event loop."""
    from orion_registry.probes.prober import ProbeConfig, Prober

    opened = Prober(ProbeConfig(allow=ALLOWED))
    try:
        yield opened
    finally:
        await opened.close()


async def look(prober: "Prober", check: CheckSpec) -> Outcome:
    """Makes one run of a check; UNAVAILABLE where what it needs is not installed. Never raises but CancelledError."""
    probe = check.probes[0]
    if isinstance(probe, HttpProbe) and not http_works():
        return Outcome(verdict=Verdict.UNAVAILABLE, kind=probe.kind, detail=NO_HTTP)
    return await prober.run(check, "")


def require_http(check: CheckSpec) -> None:
    """Returns if a check's needs are installed.

    Raises:
        Unimplemented: NOT_SUPPORTED_YET, with what to install.
    """
    if isinstance(check.probes[0], HttpProbe) and not http_works():
        raise Unimplemented(Reason.NOT_SUPPORTED_YET, NO_HTTP)


def http_works() -> bool:
    """Whether HTTP can be probed: a base install has no aiohttp."""
    try:
        import_module("aiohttp")
    except ModuleNotFoundError:
        return False
    return True
