"""Where a check is told to go: a host, or health_check_url. Read strictly: what this says is what egress judges."""

import ipaddress
import re

from orion_registry.core import limits
from orion_registry.core.checks.spec import HttpProbe
from orion_registry.core.validation import check_host, check_number
from orion_registry.errors import Said, bad_field

_FORM = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[^\]]*\]|[^/?:\[\]]*)(?::(?P<port>[0-9]{1,5}))?(?P<path>[/?].*)?", re.IGNORECASE
)
_PRINTABLE = re.compile(r"[!-~]*")
PORTS = {"http": 80, "https": 443}


def check_target(field: str, host: str) -> str:
    """A host of a check, possibly empty: as service.host, and what looks like IPv6 is an address.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    check_host(field, host)
    if ":" in host:
        try:
            ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise bad_field(field, "a host name or address, without scheme, port or path", host) from None
    return host


def probe_of_url(field: str, url: str) -> HttpProbe:
    """GET of a URL, its port and path filled in.

    Raises:
        InvalidArgument: BAD_FIELD, it is none that a check may have.
    """
    if len(url) > limits.URL:
        raise bad_field(field, f"at most {limits.URL:,} characters", url)
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise bad_field(field, "printable ASCII without spaces or backslashes", url)
    if "#" in url:
        raise bad_field(field, "without a fragment (#...)", url)
    authority = re.split(r"[/?]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        raise bad_field(field, "without user info (...@)", Said("some"))
    found = _FORM.fullmatch(url)
    if found is None or not found["host"].strip("[]"):
        raise bad_field(field, "http:// or https://, a host, a port if need be, and a path", url)
    scheme = found["scheme"].lower()
    port = PORTS[scheme] if found["port"] is None else int(found["port"])
    check_number(f"{field} port", port, 1, limits.PORT)
    host = check_target(f"{field} host", found["host"]).strip("[]")
    path = found["path"] or "/"
    return HttpProbe(host=host, port=port, https=scheme == "https", path=path if path.startswith("/") else f"/{path}")
