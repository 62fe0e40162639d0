"""Bearer tokens on every call: a channel whose calls carry one, and the file that it may change in.

An interceptor would do the same for 20 to 50 us a call; adding metadata where the call is made costs 2.
"""

import ipaddress
import os
from contextlib import suppress
from typing import Any, Final

import grpc
import grpc.aio

from orion_registry.core.access.tokens import FORM
from orion_registry.errors import Said, bad_field

HEADER: Final = "authorization"
FILE_BYTES: Final = 4096

_RULE: Final = "a token as `orion-registry token create` prints it"


class Bearer:
    """The metadata that shows a token."""

    def __init__(self, token: str, path: str) -> None:
        """token: itself, or empty: path is of a file that holds it.

        Raises:
            InvalidArgument: BAD_FIELD, it has another form, or the file cannot be read. Its value is never repeated.
        """
        self._path = path
        self._mark = (0, 0)
        if token:
            self._metadata = _metadata(check_token("token", token))
        else:
            self._mark = _mark(path)  # before it is read: if it changes meanwhile it is looked at again
            self._metadata = _metadata(check_token("token_file", _read(path)))

    def metadata(self) -> grpc.aio.Metadata:
        """For a call that is made now: the file is read anew when it has changed. One that is broken, or gone, is not
        taken: the token before it is shown, and the registry says whether it still counts.
        """
        if self._path:
            with suppress(OSError, ValueError):  # see above
                mark = _mark(self._path)
                if mark != self._mark:
                    text = _read(self._path)
                    if FORM.fullmatch(text):
                        self._mark, self._metadata = mark, _metadata(text)
        return self._metadata


def check_token(field: str, text: str) -> str:
    """Returns what has the form of a token.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    if not FORM.fullmatch(text):
        raise bad_field(field, _RULE, Said(f"{len(text):,} characters of another form"))
    return text


def is_private(address: str) -> bool:
    """Whether nobody else can listen in on the way to an address: a Unix socket, or loopback."""
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith(("unix:", "unix-abstract:")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: who knows where it leads


def _metadata(token: str) -> grpc.aio.Metadata:
    return grpc.aio.Metadata((HEADER, f"Bearer {token}"))


def _mark(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return (found.st_ino, found.st_mtime_ns)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read(FILE_BYTES).strip()


class _Call:
    """A method of a channel, whose calls carry a token."""

    __slots__ = ("_bearer", "_inner")

    def __init__(self, inner: Any, bearer: Bearer) -> None:
        self._inner = inner
        self._bearer = bearer

    def __call__(self, *request: Any, metadata: Any = None, **options: Any) -> Any:
        carried = self._bearer.metadata()
        if metadata:
            carried = grpc.aio.Metadata(*carried, *metadata)
        return self._inner(*request, metadata=carried, **options)


class BearingChannel(grpc.aio.Channel):
    """A channel; all its calls carry a token."""

    def __init__(self, channel: grpc.aio.Channel, bearer: Bearer) -> None:
        self._channel = channel
        self._bearer = bearer

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return _Call(self._channel.unary_unary(*method, **options), self._bearer)

    def unary_stream(self, *method: Any, **options: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return _Call(self._channel.unary_stream(*method, **options), self._bearer)

    def stream_unary(self, *method: Any, **options: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return _Call(self._channel.stream_unary(*method, **options), self._bearer)

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return _Call(self._channel.stream_stream(*method, **options), self._bearer)

    async def close(self, grace: float | None = None) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """See `grpc.aio.Channel`."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> "BearingChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
