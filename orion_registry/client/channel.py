"""The way to the registry: addresses, channel options, and which address serves now."""

import asyncio
import logging
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

import grpc
import grpc.aio

from orion_registry.client.credentials import Credentials, resolve_credentials
from orion_registry.client.failures import Unreachable
from orion_registry.client.profile import Patience
from orion_registry.errors import InvalidArgument, bad_field
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub

if TYPE_CHECKING:  # it exists for type checkers only
    from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceAsyncStub

logger = logging.getLogger(__name__)

DEFAULT_ADDRESS: Final = "127.0.0.1:6746"
ADDRESSES: Final = 32
"""That one client may go to: each costs a connection, and a registry names more with every go_away."""

ChannelOptions = tuple[tuple[str, int], ...]

_OPTIONS: Final[ChannelOptions] = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # The supervisor paces attempts with full jitter; gRPC's own back-off (default: 1 s growing to 120 s) must not
    # hide a registry that is back. min_reconnect_backoff is also how long one connection attempt may take.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A name is looked up again at most so often after its address failed; gRPC's default is 30 s, for which an agent
    # would knock at the place that its registry has moved away from.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # Each client its own connection: one shared by all clients of a process would fall, and stall, for all.
    ("grpc.use_local_subchannel_pool", 1),
)


def channel_options(patience: Patience) -> ChannelOptions:
    """What a channel is opened with."""
    ping_timeout_ms = round(1000 * patience.ping_timeout_s)
    return (
        ("grpc.keepalive_time_ms", round(1000 * patience.keepalive_time_s)),
        # keepalive_timeout alone is ignored for 60 s: ping_timeout rules (grpc PR#34647).
        ("grpc.keepalive_timeout_ms", ping_timeout_ms),
        ("grpc.http2.ping_timeout_ms", ping_timeout_ms),
        *_OPTIONS,
    )


def resolve_addresses(address: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses meant: as given, else ORION_ADDRESS (several separated by commas), else 127.0.0.1:6746.

    A variable that is empty counts as not set.

    Raises:
        InvalidArgument: an address is neither HOST:PORT nor unix:PATH.
    """
    given = _listed(address.split(",") if isinstance(address, str) else address)
    addresses = given or _listed(os.environ.get("ORION_ADDRESS", "").split(",")) or (DEFAULT_ADDRESS,)
    for one in addresses:
        check_address("address", one)
    if len(addresses) > ADDRESSES:
        raise bad_field("address", f"at most {ADDRESSES} addresses", len(addresses))
    return addresses


def _listed(addresses: Iterable[str]) -> tuple[str, ...]:
    """Each once, without what is empty."""
    return tuple(dict.fromkeys(one.strip() for one in addresses if one.strip()))


def check_address(field: str, address: str) -> str:
    """Returns an address that a client can go to.

    Raises:
        InvalidArgument: it is neither HOST:PORT nor unix:PATH.
    """
    host, _, port = address.rpartition(":")
    if not address.startswith(("unix:", "unix-abstract:")) and not (host and port.isdigit() and int(port) <= 65_535):
        raise bad_field(field, "HOST:PORT or unix:PATH", address)
    return address


class Connection:
    """Holds at most one channel per address and says which one to use.

    Calls go to one address until it proves unreachable, or says that it does not serve; then to the next. Not for use
    across event loops.
    """

    def __init__(self, addresses: tuple[str, ...], patience: Patience, credentials: Credentials | None = None) -> None:
        """credentials: None = those of the environment; see `resolve_credentials`."""
        self._given = addresses
        self._addresses = addresses
        self._options = channel_options(patience)
        self._credentials = resolve_credentials(credentials)
        self._written: dict[str, tuple[int, ...]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._index = 0
        self._open: dict[str, tuple[grpc.aio.Channel, RegistryServiceAsyncStub]] = {}
        self._closed = False

    @property
    def address(self) -> str:
        """The address that calls go to now."""
        return self._addresses[self._index]

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that it goes to, in turn: what the registry named last, then what the user gave."""
        return self._addresses

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return self._credentials.tls

    @property
    def token_may_change(self) -> bool:
        """Whether a token that was refused may be another one with the next call."""
        return bool(self._credentials.token_file)

    @property
    def token_mark(self) -> int:
        """What tells the file of the token that was written anew: another value than before."""
        return self._credentials.token_written()

    @property
    def is_closed(self) -> bool:
        """Whether it is closed, for good."""
        return self._closed

    @property
    def stub(self) -> "RegistryServiceAsyncStub":
        """The stub for the address of now; connects when first used.

        Raises:
            Unreachable: the client is closed, or was not entered.
        """
        return self._opened()[1]

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel under `stub`, for other services of the registry."""
        return self._opened()[0]

    def _opened(self) -> "tuple[grpc.aio.Channel, RegistryServiceAsyncStub]":
        if self._closed:
            raise Unreachable("the client is closed: use it inside `async with`", address=self.address)
        opened = self._open.get(self.address)
        if opened is None:
            self._written[self.address] = self._credentials.written()  # before they are read
            channel = self._credentials.open_channel(self.address, self._options)
            opened = self._open[self.address] = (channel, RegistryServiceStub(channel))
        return opened

    def failed(self, address: str) -> None:
        """Tells that an address could not be reached, or does not serve: the next call goes to the next one."""
        if address == self.address:
            self._index = (self._index + 1) % len(self._addresses)
        self._renew(address)

    def _renew(self, address: str) -> None:
        """Has a channel that is not connected made anew, if the files that it was made of were written anew."""
        opened = self._open.get(address)
        if opened is None or self._written[address] == self._credentials.written():
            return
        if opened[0].get_state() is not grpc.ChannelConnectivity.READY:
            del self._open[address]
            closing = asyncio.create_task(opened[0].close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def sent_away(self, address: str, alternates: Iterable[str]) -> None:
        """The registry at an address said go_away, and where to go instead: there first, then as before.

        What it named earlier is forgotten; what is no address is left out, with a warning.
        """
        named = [one for one in dict.fromkeys(alternates) if one != address and _is_address(one)]
        named = named[: ADDRESSES - len(self._given)]
        if not named:
            self.failed(address)
            return
        self._addresses = (*named, *(one for one in self._given if one not in named))
        self._index = 0

    async def close(self) -> None:
        """Closes every channel; calls still open end cancelled. Idempotent."""
        self._closed = True
        while self._open:
            _, (channel, _stub) = self._open.popitem()
            await channel.close()
        await asyncio.gather(*self._closing)

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False


def _is_address(named: str) -> bool:
    """Whether what the registry named as an alternate is an address."""
    try:
        check_address("alternates", named)
    except InvalidArgument as error:
        logger.warning("go_away: %s", error.message)
        return False
    return True
