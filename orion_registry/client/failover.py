"""Going on to the next candidate when one cannot be connected to: for selections that ask for it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Final

from orion_registry.client.selection import Selection
from orion_registry.core.selection.performance import Outcome
from orion_registry.errors import RegistryError, bad_field
from orion_registry.wire.service import Service

ATTEMPTS: Final = 100
CONNECT_S: Final = 1.0
"""How long a connection may take that is only tried: a handshake takes a round trip, and a second once a packet is
lost."""

Acquire = Callable[[frozenset[str]], Awaitable[Selection]]
"""Selects a service other than these."""


def check_attempts(attempts: int) -> int:
    """Returns how many services may be tried, if it is within limits. Raises InvalidArgument: BAD_FIELD."""
    if not 1 <= attempts <= ATTEMPTS:
        raise bad_field("attempts", f"1 to {ATTEMPTS}", attempts)
    return attempts


async def acquire_reachable(
    acquire: Acquire, end: Callable[[Selection, Outcome], None], attempts: int, exclude: Collection[str]
) -> Selection:
    """The first selection whose service takes a connection.

    Args:
        acquire: selects.
        end: ends a selection whose service did not.
        attempts: services that are tried at most.
        exclude: ids of services not wanted anyway.

    Raises:
        ConnectionError: none did; the message names each.
        RegistryError: the refusal of the first selection.
    """
    excluded, tried = frozenset(exclude), list[str]()
    while len(tried) < attempts:
        try:
            selection = await acquire(excluded)
        except RegistryError as error:
            if not tried:
                raise
            raise _none(tried) from error
        try:
            why = await _why_not(selection.service)
        except BaseException:
            end(selection, Outcome.CANCELLED)
            raise
        if not why:
            return selection
        end(selection, Outcome.FAILED)
        tried.append(f"{selection.service.address}: {why}")
        excluded |= {selection.service.service_id}
    raise _none(tried)


def _none(tried: list[str]) -> ConnectionError:
    return ConnectionError(f"none of {len(tried)} selected services could be connected to ({'; '.join(tried)})")


async def _why_not(service: Service) -> str:
    """Opens a connection and closes it; why that failed, empty if it did not."""
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(service.host, service.port)
    except TimeoutError:
        return f"no connection in {CONNECT_S:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""
