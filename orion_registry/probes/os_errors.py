"""Whose fault an error of the operating system is."""

import errno
import os

from orion_registry.probes.ends import CheckUnavailable, Unreached

# The registry's own: no descriptors, buffers, memory, ports or address family left, or its own firewall.
OWN = {
    errno.EMFILE: "the registry has no file descriptors left",
    errno.ENFILE: "the registry's machine has no file descriptors left",
    errno.ENOBUFS: "the registry's machine has no buffers left",
    errno.ENOMEM: "the registry's machine has no memory left",
    errno.EPERM: "the registry's machine forbids it",
    errno.EACCES: "the registry's machine forbids it",
    errno.EADDRNOTAVAIL: "the registry's machine has no port or address for it",
    errno.EAFNOSUPPORT: "the registry's machine does not speak this protocol",
}
TARGETS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ECONNABORTED: "connection reset",
    errno.ETIMEDOUT: "connection timed out",
    errno.EHOSTUNREACH: "host unreachable",
    errno.EHOSTDOWN: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
}


def end_of(error: OSError) -> Unreached | CheckUnavailable:
    """What an error of a connection says: raise it."""
    code = error.errno or 0
    if code in OWN:
        return CheckUnavailable(OWN[code])
    return Unreached(TARGETS.get(code) or f"connection failed ({errno.errorcode.get(code, 'unknown error')})")


def end_in(text: str) -> Unreached | CheckUnavailable | None:
    """The same for an error that a library hands on as text with the system's words for it; None = it names none."""
    for words in (OWN, TARGETS):
        for code in words:
            if os.strerror(code).lower() in text.lower():
                return end_of(OSError(code, ""))
    return None
