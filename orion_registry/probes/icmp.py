"""ICMP probe: passes if an echo is answered."""

import secrets
import socket

from icmplib import AsyncSocket, ICMPRequest, ICMPv4Socket, ICMPv6Socket
from icmplib.exceptions import ICMPError, ICMPLibError, SocketPermissionError
from icmplib.sockets import ICMPSocket

from orion_registry.probes.ends import CheckUnavailable, Unreached
from orion_registry.probes.os_errors import end_of
from orion_registry.probes.resolve import Address

# icmplib watches its time-out by the wall clock, which jumps; the caller's ends the wait, so this one never does.
_NEVER_S = 1e9


async def probe_icmp(address: Address) -> None:
    """Returns if it passed.

    Raises:
        Unreached: a router or the host itself says that it cannot be reached.
        CheckUnavailable: no permission, or another error of this machine.
    """
    try:
        with AsyncSocket(_open(address)) as echo:
            # Connected: the system hands over what comes from that host alone, and tells of routers' errors.
            echo.sock.connect(address.sockaddr(0))
            request = ICMPRequest(str(address.ip), secrets.randbelow(1 << 16), secrets.randbelow(1 << 16))
            echo.send(request)
            reply = await echo.receive(request, _NEVER_S)
            reply.raise_for_status()
    except ICMPError:
        raise Unreached("host unreachable") from None
    except ICMPLibError as error:
        cause = error.__context__
        raise end_of(cause if isinstance(cause, OSError) else OSError()) from None
    except OSError as error:
        raise end_of(error) from None


def _open(address: Address) -> ICMPSocket:
    kind = ICMPv4Socket if address.family == socket.AF_INET else ICMPv6Socket
    for privileged in (False, True):
        try:
            return kind(privileged=privileged)
        except SocketPermissionError:
            continue
    raise CheckUnavailable("the registry may not send ICMP: it needs net.ipv4.ping_group_range or CAP_NET_RAW")
